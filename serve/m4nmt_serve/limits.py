"""The gate before the application: bytes, time, number of requests, and clients that leave.

Pure ASGI, since a framework's middleware hides the disconnect. The whole body is read here,
under its limits; then the application runs beside a watcher of the connection and is cancelled
when the client leaves or the deadline passes. Health checks and /metrics pass whatever the load.
Every request is counted and logged here when it is over.
"""

import asyncio
import contextlib
import json
import os
import re
import time
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from m4nmt_serve import logs, trace
from m4nmt_serve.errors import ServiceError, overloaded
from m4nmt_serve.lanes import BACKGROUND
from m4nmt_serve.meters import Meters
from m4nmt_serve.places import ALWAYS, Places, Shape
from m4nmt_serve.settings import ServeConfig

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_URGENCY = re.compile(rb"(?:^|[,\s])u=([0-7])(?![0-9])")


class _ClientLeftError(Exception):
    """The connection was closed before the body was there."""


class Gate:
    """ASGI middleware. `shape(path, error)` is a refusal's JSON in the dialect of a path."""

    def __init__(
        self,
        app: ASGIApp,
        config: ServeConfig,
        shape: Shape,
        meters: Meters,
        places: Places,
    ) -> None:
        self._app = app
        self._config = config
        self._shape = shape
        self._meters = meters
        self._places = places
        self._held = 0  # bytes of bodies
        meters.gauge("m4nmt_bodies_bytes", "Bytes of bodies held.", lambda: {(): self._held})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self._app(scope, receive, send)
            return
        told = trace.Trace(os.urandom(8).hex(), _urgency(scope))
        trace.begin(told)
        place = contextlib.ExitStack()  # what the request holds while it is worked on

        def over() -> None:
            place.close()
            self._over(told, scope, answer.status)

        answer = _Answer(send, told.id, over)
        try:
            await self._serve(scope, receive, answer, place)
        except ServiceError as error:
            await self._refuse(error, scope["path"], answer)
        except _ClientLeftError:
            pass
        finally:
            answer.close()

    async def _serve(
        self, scope: Scope, receive: Receive, answer: "_Answer", place: contextlib.ExitStack
    ) -> None:
        """A request counts once its body is there: slow senders take no one's place."""
        patient = trace.current().urgency >= BACKGROUND
        self._places.must_be(patient)
        body = bytearray()
        place.callback(lambda: self._hold(-len(body)))
        await self._read(scope, receive, body)
        patient = patient or len(body) > self._config.bulk_chars
        self._places.must_be(patient)
        self._places.count(1, patient)
        place.callback(self._places.count, -1, patient)
        await self._race(scope, bytes(body), receive, answer)

    def _hold(self, size: int) -> None:
        self._held += size

    async def _read(self, scope: Scope, receive: Receive, body: bytearray) -> None:
        """All of the body; what is in `body` is counted as held, whatever happens."""
        too_large = ServiceError(
            413, f"the request's body is larger than {self._config.max_body} bytes"
        )
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._config.max_body:
            raise too_large
        try:
            async with asyncio.timeout(self._config.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _ClientLeftError
                    part = message.get("body", b"")
                    if len(body) + len(part) > self._config.max_body:
                        raise too_large
                    if self._held + len(part) > self._config.max_held:
                        self._meters.refused.add("bytes")
                        raise overloaded(1)
                    body += part
                    self._hold(len(part))
                    if not message.get("more_body", False):
                        return
        except TimeoutError as error:
            raise ServiceError(408, "the request's body did not arrive in time") from error

    async def _race(self, scope: Scope, body: bytes, receive: Receive, answer: "_Answer") -> None:
        """Run the application until it is done, the client leaves or the deadline passes."""
        app = asyncio.create_task(_awaited(self._app(scope, _Replay(body), answer)))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait(
                {app, gone}, timeout=self._config.deadline, return_when=asyncio.FIRST_COMPLETED
            )
            finished, left = app.done(), gone.done()
        finally:
            app.cancel()
            gone.cancel()
            await asyncio.wait({app, gone})
        if finished:
            app.result()
        elif left:
            raise _ClientLeftError
        elif not answer.status:
            raise ServiceError(504, f"no answer within {self._config.deadline:g} s")

    async def _refuse(self, error: ServiceError, path: str, send: "_Answer") -> None:
        body = json.dumps(self._shape(path, error)).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        headers |= error.headers
        if error.status in (408, 413):  # the rest of the body is not worth reading
            headers["connection"] = "close"
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": error.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    def _over(self, told: trace.Trace, scope: Scope, status: int) -> None:
        """Count a request, and tell the log."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        seconds = time.monotonic() - told.begun
        if status:
            self._meters.requests.add(route, str(status))
            self._meters.seconds.observe(seconds, route)
        else:
            self._meters.left.add(route)
        logs.request(told, method, route, status, seconds)


class _Answer:
    """`send` that remembers the status (0 before there is one) and adds the request's number.

    `over` is called once, before the last of the answer leaves: whoever reads it finds the
    request's place free, and the request counted.
    """

    def __init__(self, send: Send, number: str, over: Callable[[], None]) -> None:
        self._send = send
        self._number = number.encode()
        self._over = over
        self._closed = False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self._number)]
            message = {**message, "headers": headers}
        elif not message.get("more_body", False):
            self.close()
        await self._send(message)

    def close(self) -> None:
        """The request is over."""
        if not self._closed:
            self._closed = True
            self._over()


class _Replay:
    """`receive` for the application: the body that was read, then silence."""

    def __init__(self, body: bytes) -> None:
        self._message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def __call__(self) -> Message:
        if self._message is None:  # the gate watches the connection, nothing more comes here
            await asyncio.Event().wait()
        message, self._message = self._message, None
        assert message is not None
        return message


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _awaited(call: Awaitable[None]) -> None:
    """An ASGI call as a coroutine, which a task needs."""
    await call


def _urgency(scope: Scope) -> int:
    """u of the Priority header (RFC 9218): 0, the most urgent, to 7; 3 where it is not said."""
    found = _URGENCY.search(dict(scope["headers"]).get(b"priority", b""))
    return int(found[1]) if found else 3
