"""`m4nmt serve` in a process of its own, and what it tells of itself.

Not its job: asking it for translations (serve_client.py), what is measured (serve_load.py).
"""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

_PATIENCE = 120  # seconds for a model to be loaded


class Told(NamedTuple):
    """A request as the server's log tells of it; `status` 0: its client left."""

    status: int
    seconds: float


class Server(NamedTuple):
    """A running service."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def measure(self, name: str) -> float:
        """A number of /metrics, summed over its labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as page:
            lines = page.read().decode().splitlines()
        found = [x for x in lines if x.startswith((name + " ", name + "{"))]
        return sum(float(x.rpartition(" ")[2]) for x in found)

    def told(self, since: int) -> list[Told]:
        """The log's requests behind a place in it."""
        rows = self.log.read_bytes()[since:].decode().splitlines()
        lines = [json.loads(row) for row in rows if row.startswith("{")]
        found = [line for line in lines if line["event"] == "request"]
        return [Told(x["status"] if x["status"] != "left" else 0, x["seconds"]) for x in found]


@contextlib.contextmanager
def serving(model: Path, folder: Path, options: Sequence[str]) -> Iterator[Server]:
    """The service over a model until the block ends; its log is written to `folder`.

    Raises:
        RuntimeError: it does not come up; says what its log says.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "log"
    command = [sys.executable, "-m", "m4nmt.cli.main", "serve", str(model), "--port", str(port)]
    with log.open("wb") as out, subprocess.Popen([*command, *options], stderr=out) as process:
        try:
            _wait(process, port, log)
            yield Server(port, process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    ends = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < ends:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"the service did not come up: {log.read_text('utf-8')[-2000:]}")
