"""No place for a request: the short way says what the long way says, and only to plain requests."""

import gc
import json
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from serve_helpers import FakeTranslator, Running, running

from m4nmt_serve.operate import digest
from m4nmt_serve.places import usual
from m4nmt_serve.server import settle
from m4nmt_serve.settings import ServeConfig

BODY = json.dumps({"q": "x", "source": "en", "target": "de"}).encode()
PLAIN = b"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(BODY)
JSON = b"Content-Type: application/json\r\n\r\n"


def test_a_plain_request_is_read() -> None:
    assert usual(PLAIN + JSON + BODY) == "/translate"
    assert usual(PLAIN.replace(b"/translate", b"/v2/Translate?a=b") + JSON + BODY) == (
        "/v2/Translate"
    )
    assert usual(PLAIN + b"Connection: keep-alive\r\n" + JSON + BODY) == "/translate"
    assert usual(PLAIN.replace(b"Content-Length", b"content-LENGTH") + JSON + BODY) == "/translate"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN,
        PLAIN + JSON,
        PLAIN + JSON + BODY[:-1],
        PLAIN + JSON + BODY + b"P",
        2 * (PLAIN + JSON + BODY),
        (PLAIN + JSON + BODY).replace(b"POST", b"PUT"),
        (PLAIN + JSON + BODY).replace(b"POST", b"post"),
        (PLAIN + JSON + BODY).replace(b"HTTP/1.1", b"HTTP/1.0"),
        (PLAIN + JSON + BODY).replace(b"/translate", b"/tr%61nslate"),
        (PLAIN + JSON + BODY).replace(b"/translate", b"http://x/translate"),
        PLAIN + b"Transfer-Encoding: chunked\r\n" + JSON + BODY,
        PLAIN + b"X: a\nTransfer-Encodin: chunked\r\n" + JSON + BODY,
        PLAIN + b"Content-Length: 1\r\n" + JSON + BODY,
        PLAIN + b"Content-Length : 1\r\n" + JSON + BODY,
        PLAIN + b"Expect: 100-continue\r\n" + JSON + BODY,
        PLAIN + b"Origin: https://a.example\r\n" + JSON + BODY,
        PLAIN + b"Upgrade: websocket\r\n" + JSON + BODY,
        PLAIN + b"Connection: close\r\n" + JSON + BODY,
        PLAIN + b"X: a\r\n b\r\n" + JSON + BODY,
    ],
)
def test_any_other_goes_the_long_way(data: bytes) -> None:
    assert usual(data) is None


@contextmanager
def full(seconds: float, config: ServeConfig) -> Iterator[Running]:
    """A server whose only place is taken for so long."""
    with running(FakeTranslator(seconds=seconds), config) as up:
        ask = {"q": "first", "source": "en", "target": "de"}
        url = up.url + "translate"
        first = threading.Thread(target=lambda: httpx.post(url, json=ask, timeout=20))
        first.start()
        while not up.service.places.full:
            time.sleep(0.005)
        yield up
        first.join()


def answer(wire: socket.socket) -> tuple[bytes, dict[str, str], bytes]:
    """Status line, headers and body of the next answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = wire.recv(65536)
        assert more, "the connection was closed"
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = dict(line.decode().split(": ", 1) for line in lines)
    while len(body) < int(headers["content-length"]):
        body += wire.recv(65536)
    return first, headers, body


def test_both_ways_say_the_same() -> None:
    with full(1.5, ServeConfig(max_requests=1)) as up:
        short, refused = [], up.service.places.refusal
        up.service.places.refusal = lambda *x: short.append(refused(*x)) or short[-1]  # type: ignore[assignment,func-returns-value]
        with socket.create_connection(("127.0.0.1", up.port)) as wire:
            wire.sendall(PLAIN + JSON + BODY)
            one = answer(wire)
            assert len(short) == 1  # and not by the application
            assert short[0] is not None
            wire.sendall(PLAIN + JSON)  # the body has not come
            other = answer(wire)
            assert short[1:] == [None]
        page = up.service.meters.page()
    assert one[0] == other[0] == b"HTTP/1.1 429 Too Many Requests"
    assert one[2] == other[2]
    other[1].pop("vary", "")  # for caches, which keep no answer to a POST
    assert one[1].keys() == other[1].keys() >= {"retry-after", "x-request-id", "date"}
    assert one[1]["x-request-id"] != other[1]["x-request-id"]
    varying = {"x-request-id", "date"}
    assert all(one[1][name] == other[1][name] for name in one[1].keys() - varying)
    assert 'm4nmt_requests_total{route="none",status="429"} 2' in page
    assert 'm4nmt_refused_total{reason="requests"} 2' in page


def test_a_refused_connection_lives_on() -> None:
    with (
        full(1.0, ServeConfig(max_requests=1, head_seconds=0.3)) as up,
        socket.create_connection(("127.0.0.1", up.port)) as wire,
    ):
        wire.sendall(PLAIN + JSON + BODY)
        assert b" 429 " in answer(wire)[0]
        time.sleep(0.5)  # it has sent its head: there is nothing to wait for
        while up.service.places.full:
            time.sleep(0.01)
        wire.sendall(PLAIN + JSON + BODY)
        assert answer(wire)[0].startswith(b"HTTP/1.1 200")


def test_of_a_burst_only_as_many_as_find_a_place_go_the_long_way() -> None:
    with (
        running(FakeTranslator(seconds=0.5), ServeConfig(max_requests=2)) as up,
        ExitStack() as wires,
    ):
        short, refused = [], up.service.places.refusal
        up.service.places.refusal = lambda *x: short.append(refused(*x)) or short[-1]  # type: ignore[assignment,func-returns-value]
        (worker,) = up.service.models._lives["fake"].batcher._workers
        open_ = [
            wires.enter_context(socket.create_connection(("127.0.0.1", up.port))) for _ in range(20)
        ]
        time.sleep(0.3)  # all are accepted
        worker.get_loop().call_soon_threadsafe(time.sleep, 0.5)
        time.sleep(0.1)
        for wire in open_:  # all are there when the event loop looks again
            wire.sendall(PLAIN + JSON + BODY)
        found = [answer(wire)[0] for wire in open_]
    assert [line.endswith(b"200 OK") for line in found].count(True) == 2
    assert len(short) == 18
    assert None not in short


def test_a_replaced_model_is_freed_though_it_was_settled() -> None:
    class Circle(FakeTranslator):
        """Only the collector frees it."""

        def __init__(self) -> None:
            super().__init__()
            self.own = self

    gone: list[weakref.ref[Circle]] = []

    def load() -> Circle:
        made = Circle()
        gone.append(weakref.ref(made))
        return made

    config = ServeConfig(admin_sha256=digest("key"))
    try:
        with running(load, config) as up:
            settle()
            headers = {"authorization": "Bearer key"}
            assert up.client.post("admin/reload", headers=headers).status_code == 200
            ends = time.monotonic() + 10
            while (gone[0]() or not gc.get_freeze_count()) and time.monotonic() < ends:
                time.sleep(0.05)
            assert gone[0]() is None
            assert gone[1]() is not None
            assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
