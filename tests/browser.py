"""A headless Chromium steered over its DevTools pipe: no driver, no further package.

Only what the tests of pages need: open, evaluate, wait, screenshot.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

_FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars
--disable-background-networking --disable-component-update --disable-sync
--remote-debugging-pipe"""
_KEYS = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}


def chromium() -> str | None:
    """The program, if it is installed."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return next((path for path in found if path), None)


class Browser:
    """One page of one browser. `requests` are the addresses it asked for."""

    def __init__(self, width: int = 1200, height: int = 800, dark: bool = False) -> None:
        program = chromium()
        if program is None:
            raise FileNotFoundError("no Chromium")
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._size, self._dark = (width, height), dark
        self._profile = tempfile.mkdtemp(prefix="m4nmt-chromium-")
        in_read, in_write = os.pipe()
        out_read, out_write = os.pipe()

        def connect() -> None:  # the browser reads commands on 3 and answers on 4
            high = [os.dup2(handle, slot) for handle, slot in ((in_read, 60), (out_write, 61))]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)
            os.closerange(5, 62)

        self._process = subprocess.Popen(
            [program, *_FLAGS.split(), f"--user-data-dir={self._profile}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=connect,
            close_fds=False,
        )
        os.close(in_read)
        os.close(out_write)
        self._to = os.fdopen(in_write, "wb", buffering=0)
        self._from = os.fdopen(out_read, "rb", buffering=0)
        self._buffer = b""
        self._last = 0
        self._session = ""

    def __enter__(self) -> "Browser":
        page = self._send("Target.createTarget", url="about:blank")["targetId"]
        attached = self._send("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._send(f"{domain}.enable")
        width, height = self._size
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if self._dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._to.close()
        self._from.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str) -> None:
        """Go to an address and wait until the page is there."""
        self._send("Page.navigate", url=url)
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        """The value of an expression, promises awaited."""
        answer = self._send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 20) -> None:
        """Until an expression is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise AssertionError(f"still not true after {seconds} s: {condition}")
            time.sleep(0.05)

    def type(self, text: str) -> None:
        """Type into whatever has the focus."""
        self._send("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press a key of `_KEYS`."""
        code = _KEYS[key]
        for kind in ("rawKeyDown", "keyUp"):
            self._send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def point(self, element: str, click: bool = False) -> None:
        """Put the pointer on the middle of an element, and click there."""
        middle = f"(({element}).getBoundingClientRect())"
        x, y = self.evaluate(f"(r => [r.x + r.width / 2, r.y + r.height / 2]){middle}")
        kinds = ("mouseMoved", "mousePressed", "mouseReleased") if click else ("mouseMoved",)
        for kind in kinds:
            button = "none" if kind == "mouseMoved" else "left"
            self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def offline(self, is_so: bool = True) -> None:
        """Take the network away, or give it back."""
        self._send(
            "Network.emulateNetworkConditions",
            offline=is_so,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    def before_the_page(self, script: str) -> None:
        """Run a script in every page to come, before its own."""
        self._send("Page.addScriptToEvaluateOnNewDocument", source=script)

    def contrast(self) -> float:
        """The lowest contrast (WCAG 2, 1.4.3) of text that is seen against the colour behind it."""
        return float(self.evaluate(_CONTRAST))

    def screenshot(self, path: Path) -> None:
        """What is seen, as PNG."""
        data = self._send("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = self._from.read(65536)
            if not chunk:
                raise RuntimeError("the browser ended")
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(str(params["entry"]["text"]))


# Colours are read from a canvas, since a mixed one is told in oklab.
_CONTRAST = """
(() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((x) => x / 255)
    .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const texts = [...document.querySelectorAll("body *")]
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
    .filter((e) => e.checkVisibility() && !e.closest(":disabled"))
    .filter((e) => rgb(getComputedStyle(e).color)[3] === 255);
  return Math.min(...texts.map((e) => {
    const pair = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
  }));
})()
"""
