"""Run the service in this process: uvicorn, one event loop, an engine for each model.

On SIGTERM it takes no new connection, answers what it has begun, and ends. On SIGHUP it loads its
models anew while it serves.
"""

import asyncio
import contextlib
import functools
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from m4nmt.core.progress import console
from m4nmt_serve import logs
from m4nmt_serve.app import create_app, shape
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.models import by_name
from m4nmt_serve.service import Service
from m4nmt_serve.settings import ServeConfig
from m4nmt_serve.translator import Translator

log = logging.getLogger("m4nmt_serve")
_TURN = 0.001  # seconds after which a thread that computes lets the event loop have the interpreter
_USER_TIMEOUT = 60_000  # ms that data may wait for the other side's acknowledgement


class StartError(RuntimeError):
    """The service could not start: the port is taken or the model cannot be loaded."""


def run(
    translator: Translator | Callable[[], Translator] | Mapping[str, Callable[[], Translator]],
    *,
    host: str = "127.0.0.1",
    port: int = 5000,
    config: ServeConfig | None = None,
) -> None:
    """Serve a translator, one that a function loads, or several by name, until SIGTERM or Ctrl-C.

    Given functions, the address is taken first and /ready says 503 until the models are loaded;
    they are called again to load a new version.

    Raises:
        StartError: the address is taken or the model cannot be loaded; says what to do.
    """
    config = config or ServeConfig()
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    sys.setswitchinterval(_TURN)
    _allow_connections()
    listener = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    where = f"listening on http://{shown}:{listener.getsockname()[1]}/"
    with logs.as_json(config.log_texts), listener:
        log.info(where)
        if console.is_terminal:
            console.print(f"{where} (Ctrl-C ends it)")
        server = Server(Service(by_name(translator), config, failed, settle))
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
        if sys.platform == "linux":  # one that takes nothing of what is sent is let go
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT)
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        why = getattr(error, "strerror", "") or "a port is a number from 0 to 65535"
        raise StartError(
            f"cannot listen on {host}:{port}: {why}; choose another host or port"
        ) from error
    return listener


def settle() -> None:
    """Leave alone what is here to stay: modules and models are most of a million objects, and the
    collector, which holds up every request while it looks through them, would do so every few
    thousand requests."""
    gc.collect()
    gc.freeze()


def _allow_connections() -> None:
    """A connection is an open file: take as many as the system lets this process have."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Server(uvicorn.Server):
    """uvicorn that tells the service when it begins to drain."""

    def __init__(self, service: Service) -> None:
        self._service = service
        super().__init__(
            uvicorn.Config(
                create_app(service),
                http=functools.partial(Protocol, service=service),  # type: ignore[arg-type]
                ws="none",
                lifespan="on",
                log_config=None,  # logs.py
                access_log=False,  # addresses can hold texts and keys
                proxy_headers=False,  # whoever calls could forge them
                server_header=False,
                timeout_graceful_shutdown=round(service.config.drain_seconds),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and to heed SIGHUP where signals can be had."""
        await super().startup(sockets)
        if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what was begun, and tell the log."""
        seconds = self._service.config.drain_seconds
        log.info(f"ending: nothing new is taken, what was begun has {seconds:g} s")
        await super().shutdown(sockets)
        log.info("ended")

    def _reload(self) -> None:
        with contextlib.suppress(ServiceError):  # still loading what it would load anew
            self._service.reload()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM and Ctrl-C end the server in good order; a second Ctrl-C at once."""
        self._service.draining = True
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


class Protocol(H11Protocol):
    """uvicorn's HTTP, with limits on connections and on how long a client may take to send a head,
    or to take what it is sent."""

    def __init__(self, *args: Any, service: Service, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits, self._places = service.config, service.places
        self._head: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head, if there is room for one more."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            transport.abort()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Stop waiting once a head is whole; wait again once the next one has begun."""
        if self._places.full and self._is_refused(data):
            return
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            # The request's task is at the gate when the event loop comes to this. Without it all
            # that a flood sends at one moment would take the long way once one place is free.
            self._places.come(1)
            self.loop.call_soon(self._places.come, -1)
        between = self.cycle is None or self.cycle.response_complete
        if not between:
            self._stop_waiting()
        elif self._head is None:
            self._expect_head()

    def _is_refused(self, data: bytes) -> bool:
        """Whether this was answered at once, since there is no place for it."""
        between = self.conn.our_state is h11.IDLE and self.conn.their_state is h11.IDLE
        if not between or self.conn.trailing_data != (b"", False) or self.flow.write_paused:
            return False
        answer = self._places.refusal(data, shape, self.server_state.default_headers)
        if answer is None:
            return False
        self._stop_waiting()
        self.transport.write(answer)
        self.server_state.total_requests += 1
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_waiting()
        self._is_taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not take what it is sent."""
        super().pause_writing()
        self._taking = self.loop.call_later(self._limits.head_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self._is_taken()

    def _is_taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _expect_head(self) -> None:
        self._head = self.loop.call_later(self._limits.head_seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _too_slow(self) -> None:
        self._head = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
