"""Starting, failing to start, and ending in good order."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from serve_helpers import FakeTranslator, running

from m4nmt_serve.app import create_app
from m4nmt_serve.server import StartError, listen, run

HERE = Path(__file__).parent


def test_it_is_alive_but_not_ready_while_it_loads() -> None:
    go = threading.Event()

    def load() -> FakeTranslator:
        go.wait(10)
        return FakeTranslator()

    with running(load, wait=False) as up:
        assert up.client.get("health").json() == {"status": "ok"}
        loading = up.client.get("ready")
        assert (loading.status_code, loading.json()) == (503, {"status": "loading"})
        early = up.client.post("translate", json={"q": "x", "source": "en", "target": "de"})
        assert early.status_code == 503
        assert early.headers["retry-after"] == "2"
        go.set()
        deadline = time.monotonic() + 10
        while up.client.get("ready").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert up.client.get("ready").json() == {"status": "ready"}


def test_a_model_that_cannot_be_loaded_ends_the_server_with_the_reason() -> None:
    def load() -> FakeTranslator:
        raise OSError("no model here")

    with pytest.raises(StartError, match="no model here"):
        run(load, port=0)


def test_a_taken_port_is_named() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"127.0.0.1:{port}"):
            run(FakeTranslator(), port=port)


def test_a_port_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(StartError, match=r"127\.0\.0\.1:99999: a port is a number from 0 to 65535"):
        run(FakeTranslator(), port=99_999)


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with running(FakeTranslator()) as up:
        seconds = []
        for _ in range(15):  # one connection, kept alive
            begun = time.perf_counter()
            assert up.client.get("health").status_code == 200
            seconds.append(time.perf_counter() - begun)
    assert min(seconds[3:]) < 0.03  # 40 ms, were each body held back


def test_the_app_runs_under_any_asgi_server() -> None:
    app = create_app(FakeTranslator())
    assert "/translate" in app.openapi()["paths"]


_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from serve_helpers import FakeTranslator
from m4nmt_serve.server import run
class Telling(FakeTranslator):
    def translate(self, texts, *args, **kwargs):
        print(len(texts), flush=True)
        return super().translate(texts, *args, **kwargs)
run(Telling(seconds=1.0), port=int(sys.argv[2]))
"""


def test_sigterm_answers_what_was_begun_and_ends_with_zero() -> None:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", _PROGRAM, str(HERE), str(port)]
    url = f"http://127.0.0.1:{port}/"
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
        httpx.Client(base_url=url, timeout=30) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        try:
            assert process.stdout
            _wait_until_ready(client)
            body = {"source": "en", "target": "de"}
            asked = [
                pool.submit(client.post, "translate", json={**body, "q": letter})
                for letter in "abcdefgh"
            ]
            begun = 0
            while begun < len(asked):  # the last of them is in the engine, for a second
                begun += int(process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            assert [future.result().status_code for future in asked] == [200] * 8
            assert process.wait(20) == 0
            assert process.stderr
            told = [json.loads(line)["event"] for line in process.stderr]
            assert told[-1] == "ended"
            assert any(event.startswith("ending: nothing new is taken") for event in told)
            with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port)):
                pass
        finally:
            process.kill()


def _wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if client.get("ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server did not come up")
