"""A request whose sentences are given away one by one, as soon as they are done.

Not its job: what goes over the wire (dialects/own.py).
"""

import asyncio
import time

from m4nmt_serve.ask import Answer, Ask, Sentence
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.service import Service
from m4nmt_serve.trace import current

_EARLY = 0.2  # seconds before the gate's deadline, so that the client hears of it


class Stream:
    """The work on a request; `close` ends it, done or not."""

    def __init__(self, service: Service, ask: Ask) -> None:
        self._queue: asyncio.Queue[Sentence | None] = asyncio.Queue()
        self._whole = asyncio.ensure_future(service.translate(ask, self._queue.put_nowait))
        self._whole.add_done_callback(self._over)
        self._deadline = service.config.deadline
        self._ends = current().begun + self._deadline - _EARLY

    async def next(self) -> Sentence | list[Answer]:
        """Each sentence once, in the order in which they are done; then all answers.

        Raises:
            ServiceError: as Service.translate; 504 at the deadline.
        """
        left = max(0.0, self._ends - time.monotonic())
        try:
            one = await asyncio.wait_for(self._queue.get(), left)
        except TimeoutError as error:
            raise ServiceError(504, f"no answer within {self._deadline:g} s") from error
        return await self._whole if one is None else one

    def _over(self, whole: "asyncio.Future[list[Answer]]") -> None:
        self._queue.put_nowait(None)
        if not whole.cancelled():
            whole.exception()  # nobody may be there to hear of it

    def close(self) -> None:
        """Nobody waits any more."""
        self._whole.cancel()
