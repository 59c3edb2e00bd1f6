"""The gate before the application: bytes, time, number of requests, and clients that leave.

Pure ASGI, since a framework's middleware hides the disconnect. The whole body is read here,
under its limits; then the application runs beside a watcher of the connection and is cancelled
when the client leaves or the deadline passes. Health checks pass whatever the load.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from m4nmt_serve.errors import ServiceError, overloaded
from m4nmt_serve.settings import ServeConfig

_ALWAYS = {"/health", "/ready"}


class _ClientLeftError(Exception):
    """The connection was closed before the body was there."""


class Gate:
    """ASGI middleware. `shape(path, message)` is a refusal's JSON in the dialect of a path."""

    def __init__(
        self, app: ASGIApp, config: ServeConfig, shape: Callable[[str, str], dict[str, Any]]
    ) -> None:
        self._app = app
        self._config = config
        self._shape = shape
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self._app(scope, receive, send)
            return
        self._running += 1
        try:
            if self._running > self._config.max_requests:
                raise overloaded(1)
            body = await self._body(scope, receive)
            await self._race(scope, body, receive, send)
        except ServiceError as error:
            await self._refuse(error, scope["path"], send)
        except _ClientLeftError:
            pass
        finally:
            self._running -= 1

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        too_large = ServiceError(
            413, f"the request's body is larger than {self._config.max_body} bytes"
        )
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._config.max_body:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._config.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _ClientLeftError
                    body += message.get("body", b"")
                    if len(body) > self._config.max_body:
                        raise too_large
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError as error:
            raise ServiceError(408, "the request's body did not arrive in time") from error

    async def _race(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Run the application until it is done, the client leaves or the deadline passes."""
        answer = _Answer(send)
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
        elif not left and not answer.begun:
            raise ServiceError(504, f"no answer within {self._config.deadline:g} s")

    async def _refuse(self, error: ServiceError, path: str, send: Send) -> None:
        body = json.dumps(self._shape(path, error.message)).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        headers |= error.headers
        if error.status in (408, 413):  # the rest of the body is not worth reading
            headers["connection"] = "close"
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": error.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


class _Answer:
    """`send` that remembers whether the response has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


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
