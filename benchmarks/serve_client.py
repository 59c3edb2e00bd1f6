"""A small HTTP client for loading a service: bare sockets, requests that were written beforehand.

It shares the machine with what it measures, so it must cost little: one loop over epoll, no
parsing beyond status and length, some 40 microseconds a request. Not its job: what is measured
(serve_load.py).
"""

import json
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Self

_PATIENCE = 90.0  # seconds without any answer after which what is open counts as lost


class Question(NamedTuple):
    """One text and its direction."""

    text: str
    src: str
    tgt: str

    @property
    def message(self) -> bytes:
        """The request as it is sent."""
        asked = {"q": self.text, "source": self.src, "target": self.tgt}
        body = json.dumps(asked).encode()
        head = f"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Content-Type: application/json\r\n\r\n".encode() + body


class Outcome(NamedTuple):
    """An answer: status (0: the connection broke), seconds, and whether it says when to return."""

    status: int
    seconds: float
    says_when: bool


def answered(data: bytes, seconds: float) -> Outcome | None:
    """What an answer says; None while it is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[:end].lower()
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    if len(data) < end + 4 + int(length):
        return None
    return Outcome(int(head[9:12]), seconds, b"retry-after" in head)


class Wire:
    """A connection that is used again and again, one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        self._sent = 0.0

    def ask(self, message: bytes) -> None:
        """Send a request; it is small, so that it goes at once."""
        self._data, self._sent = b"", time.perf_counter()
        self.socket.sendall(message)

    def read(self) -> Outcome | None:
        """The answer, if this is its end; waits for more where nothing has come."""
        try:
            more = self.socket.recv(65536)
        except OSError:
            more = b""
        self._data += more
        seconds = time.perf_counter() - self._sent
        return answered(self._data, seconds) if more else Outcome(0, seconds, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def whole(self, message: bytes) -> Outcome:
        """Ask, and wait for the answer."""
        self.ask(message)
        while (found := self.read()) is None:
            pass
        return found


class _Load:
    """Many wires that are listened to together."""

    def __init__(self, port: int) -> None:
        self.found: list[Outcome] = []
        self.free: deque[Wire] = deque()
        self._port = port
        self._ears = selectors.DefaultSelector()
        self._open = 0

    def send(self, message: bytes) -> None:
        """On a wire that is free, or on a new one."""
        if self.free:
            wire = self.free.popleft()
        else:
            wire = Wire(self._port)
            self._ears.register(wire.socket, selectors.EVENT_READ, wire)
        wire.ask(message)
        self._open += 1

    def hear(self, seconds: float) -> int:
        """Wait so long for answers; gives how many came."""
        before = len(self.found)
        for key, _ in self._ears.select(seconds):
            wire: Wire = key.data
            outcome = wire.read()
            if outcome is None:
                continue
            self._open -= 1
            self.found.append(outcome)
            if outcome.status:
                self.free.append(wire)
            else:
                self._ears.unregister(wire.socket)
                wire.socket.close()
        return len(self.found) - before

    def finish(self) -> list[Outcome]:
        """All outcomes, once they are there."""
        heard = time.perf_counter()
        while self._open and time.perf_counter() < heard + _PATIENCE:
            if self.hear(1.0):
                heard = time.perf_counter()
        self.found += [Outcome(0, _PATIENCE, False)] * self._open
        for key in list(self._ears.get_map().values()):
            key.data.socket.close()
        self._ears.close()
        return self.found


def closed(
    port: int, messages: Sequence[bytes], connections: int, seconds: float
) -> tuple[list[Outcome], float]:
    """So many clients, each asking as soon as it was answered; the outcomes, and the time it took.

    Messages are taken in turn, from the start again when they are used up.
    """
    load, begun = _Load(port), time.perf_counter()
    for i in range(connections):
        load.send(messages[i % len(messages)])
    following = connections
    while time.perf_counter() < begun + seconds:
        for _ in range(load.hear(0.1)):
            load.send(messages[following % len(messages)])
            following += 1
    return load.finish(), time.perf_counter() - begun


def opened(port: int, messages: Sequence[bytes], rate: float, seconds: float) -> list[Outcome]:
    """Requests that arrive at a fixed rate, whether or not earlier ones were answered."""
    load, begun, sent = _Load(port), time.perf_counter(), 0
    while sent < int(rate * seconds):
        due = min(int(rate * seconds), int((time.perf_counter() - begun) * rate) + 1)
        for i in range(sent, due):
            load.send(messages[i % len(messages)])
        sent = max(sent, due)
        load.hear(max(0.0, begun + sent / rate - time.perf_counter()))
    return load.finish()
