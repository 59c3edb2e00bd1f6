"""Run the service in this process: uvicorn, one event loop, one engine.

On SIGTERM it takes no new connection, answers what it has begun, and ends.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from m4nmt.core.progress import console
from m4nmt_serve.app import create_app
from m4nmt_serve.service import Service
from m4nmt_serve.settings import ServeConfig
from m4nmt_serve.translator import Translator

_HEADER_SECONDS = 10.0  # a client has this long to send a request's head


class StartError(RuntimeError):
    """The service could not start: the port is taken or the model cannot be loaded."""


def run(
    translator: Translator | Callable[[], Translator],
    *,
    host: str = "127.0.0.1",
    port: int = 5000,
    config: ServeConfig | None = None,
) -> None:
    """Serve a translator, or one that a function loads, until SIGTERM or Ctrl-C.

    Given a function, the address is taken first and /ready says 503 until the model is loaded.

    Raises:
        StartError: the address is taken or the model cannot be loaded; says what to do.
    """
    config = config or ServeConfig()
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    listener = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    console.print(f"listening on http://{shown}:{listener.getsockname()[1]}/ (Ctrl-C ends it)")
    load = translator if callable(translator) else lambda: translator
    server = Server(Service(load, config, failed))
    with listener:
        server.run(sockets=[listener])
    if failures:
        raise StartError(f"the model could not be loaded: {failures[0]}") from failures[0]


def listen(host: str, port: int) -> socket.socket:
    """A socket that is taken before the model is loaded, so that a wrong port is known at once.

    Raises:
        StartError: it cannot be had; says why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # TCP is named because asyncio sends small packets at once (TCP_NODELAY) only where it is;
    # else an answer's body waits some 40 ms for the client to acknowledge its head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise StartError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another host or port"
        ) from error
    return listener


class Server(uvicorn.Server):
    """uvicorn that tells the service when it begins to drain."""

    def __init__(self, service: Service) -> None:
        self._service = service
        super().__init__(
            uvicorn.Config(
                create_app(service),
                http=Protocol,
                ws="none",
                lifespan="on",
                log_level="warning",
                access_log=False,  # addresses can hold texts and keys
                proxy_headers=False,  # whoever calls could forge them
                server_header=False,
                timeout_graceful_shutdown=round(service.config.drain_seconds),
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM and Ctrl-C end the server in good order; a second Ctrl-C at once."""
        self._service.draining = True
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


class Protocol(H11Protocol):
    """uvicorn's HTTP, with a limit on how long a client may take to send a request's head."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Stop waiting once a head is whole; wait again once the next one has begun."""
        super().data_received(data)
        between = self.cycle is None or self.cycle.response_complete
        if not between:
            self._stop_waiting()
        elif self._head is None:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head = self.loop.call_later(_HEADER_SECONDS, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _too_slow(self) -> None:
        self._head = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
