"""The places of the requests that are worked on, and the short way to say that there is none.

A server that is asked ten times what it can do must spend next to nothing on each refusal, or it
refuses late and keeps the engine from its work. So a request of the usual form, whole in what has
arrived, is answered before it is parsed. Any other goes the long way to the gate (limits.py), which
refuses it just the same. Not its job: the connection (server.py), other limits (limits.py).
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from m4nmt_serve import logs
from m4nmt_serve.errors import ServiceError, overloaded
from m4nmt_serve.meters import Meters
from m4nmt_serve.settings import ServeConfig
from m4nmt_serve.trace import Trace

ALWAYS = {"/health", "/ready", "/metrics"}  # served whatever the load
_FIRST = re.compile(rb"post (/[!-$&-~]*) http/1\.1\r\n")  # with a path that needs no decoding
_LENGTH = re.compile(rb"\r\ncontent-length: ?([0-9]{1,9})\r\n")
# What changes where a request ends, or what its answer must say.
_UNUSUAL = (b"transfer-encoding", b"expect", b"upgrade", b"\r\norigin", b"\r\n ", b"\r\n\t")
_KEEP = b"\r\nconnection: keep-alive\r\n"

# A refusal's JSON in the dialect of a path.
Shape = Callable[[str, ServiceError], dict[str, Any]]


class Places:
    """`running` requests, of which `patient` ones are large, or say that they can wait; `coming`
    ones have been read and will reach the gate before the event loop reads again."""

    def __init__(self, config: ServeConfig, meters: Meters) -> None:
        self._most = config.max_requests
        self._meters = meters
        self.running = 0
        self.patient = 0
        self.coming = 0
        meters.gauge("m4nmt_requests_running", "Requests worked on.", lambda: {(): self.running})

    @property
    def full(self) -> bool:
        """Whether there is none for anybody."""
        return self.running + self.coming >= self._most

    def come(self, by: int) -> None:
        """One more request on its way to the gate, or one less."""
        self.coming += by

    def count(self, by: int, patient: bool) -> None:
        """One more request, or one less."""
        self.running += by
        self.patient += by * patient

    def must_be(self, patient: bool) -> None:
        """Half of the places are for small requests, however many others wait.

        Raises:
            ServiceError: 429, there is none.
        """
        if self.running >= self._most or (patient and 2 * self.patient >= self._most):
            self._meters.refused.add("requests")
            raise overloaded(1)

    def refusal(
        self, data: bytes, shape: Shape, headers: Iterable[tuple[bytes, bytes]]
    ) -> bytes | None:
        """The whole answer to a request for which there is no place, counted and logged; None for
        what must go the long way.

        Args:
            data: all that has arrived, on a connection on which nothing is under way.
            headers: further ones.
        """
        begun = time.monotonic()
        path = usual(data)
        if path is None or path in ALWAYS:
            return None
        error, number = overloaded(1), os.urandom(8).hex()
        body = json.dumps(shape(path, error)).encode()
        said = {"content-type": "application/json", "content-length": str(len(body))}
        said |= {name.lower(): value for name, value in error.headers.items()}
        said["x-request-id"] = number
        raw = [*headers, *((name.encode(), value.encode()) for name, value in said.items())]
        lines = b"".join(b"%b: %b\r\n" % header for header in raw)
        self._meters.refused.add("requests")
        self._meters.requests.add("none", "429")
        seconds = time.monotonic() - begun
        self._meters.seconds.observe(seconds, "none")
        logs.request(Trace(number), "POST", "none", error.status, seconds)
        return b"HTTP/1.1 429 Too Many Requests\r\n%b\r\n%b" % (lines, body)


def usual(data: bytes) -> str | None:
    """The path of a request, if this is one POST of a plain form from beginning to end."""
    end = data.find(b"\r\n\r\n")
    head = data[: end + 2].lower()
    first, lengths = _FIRST.match(head), _LENGTH.findall(head)
    if (
        end < 0
        or first is None
        or not data.startswith(b"POST")
        or len(lengths) != 1
        or head.count(b"content-length") != 1
    ):
        return None
    if len(data) != end + 4 + int(lengths[0]) or head.count(b"\n") != head.count(b"\r\n"):
        return None
    if any(word in head for word in _UNUSUAL) or head.count(b"connection:") != head.count(_KEEP):
        return None
    return data[5 : first.end(1)].partition(b"?")[0].decode()
