"""Texts of many requests, translated together by one worker thread.

A text waits at most `wait` seconds for company; equal texts are translated once, whether they
come together or one after the other (cache). The queue is bounded, and a text that nobody waits
for any more is never begun. The budget counts characters, since a Translator hides its pieces.
Not its job: HTTP, languages, deadlines (whoever gives up cancels its call here).
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from m4nmt_serve.errors import ServiceError, overloaded
from m4nmt_serve.lru import Cache

log = logging.getLogger("m4nmt_serve")
_SMOOTHING = 0.2  # weight of the newest batch in the running estimate of the engine's speed


class Item(NamedTuple):
    """One text to translate; `wanted` translations are made, best first."""

    text: str
    src: str
    tgt: str
    wanted: int


# Translates items; asks between steps whether it should stop, since nobody waits any more.
Engine = Callable[[Sequence[Item], Callable[[], bool]], Sequence[Sequence[str]]]


class _Job:
    """An item in the queue or in the engine, and how many callers wait for it."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.waiters = 0
        self.arrived = time.monotonic()
        self.result: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()

    @property
    def chars(self) -> int:
        return len(self.item.text)


class Batcher:
    """Feeds an engine. Owned by one event loop; `start` and `close` frame its life."""

    def __init__(
        self, engine: Engine, *, batch_chars: int, wait: float, queue_chars: int, cache_chars: int
    ) -> None:
        self._engine = engine
        self._batch_chars = batch_chars
        self._wait = wait
        self._queue_chars = queue_chars
        self._cache: Cache[Item, Sequence[str]] = Cache(cache_chars)
        self._queue: deque[_Job] = deque()
        self._open: dict[Item, _Job] = {}  # queued or running, by item
        self._arrival = asyncio.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="m4nmt-engine")
        self._worker: asyncio.Task[None] | None = None
        self._speed = 0.0  # characters a second, as last seen

    @property
    def queued(self) -> int:
        """Characters that wait for the engine."""
        return sum(job.chars for job in self._queue)

    @property
    def alive(self) -> bool:
        """Whether the worker is there to empty the queue."""
        return self._worker is not None and not self._worker.done()

    def start(self) -> None:
        """Begin to work."""
        self._worker = asyncio.create_task(self._work(), name="m4nmt-batcher")

    async def close(self) -> None:
        """Stop; whoever still waits is told that the server is going away."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        for job in list(self._open.values()):
            self._fail(job, ServiceError(503, "the server is shutting down", 1))
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def translate(self, items: Sequence[Item]) -> list[Sequence[str]]:
        """Translations of each item, in order. Cancelling the call drops what has not begun.

        Raises:
            ServiceError: 429 when the queue is full, 500 when the engine fails on an item.
        """
        cached = {item: self._cache.get(item) for item in items}
        missing = [item for item, found in cached.items() if found is None]
        self._admit([item for item in missing if item not in self._open])
        jobs = {item: self._join(item) for item in missing}
        try:
            if jobs:
                await asyncio.wait([job.result for job in jobs.values()])
            answers = [cached[item] or jobs[item].result.result() for item in items]
        finally:
            for job in jobs.values():
                self._leave(job)
        return answers

    def _admit(self, new: Sequence[Item]) -> None:
        waiting, more = self.queued, sum(len(item.text) for item in new)
        if new and waiting + more > self._queue_chars:
            raise overloaded(math.ceil(min(waiting / self._speed, 30) if self._speed else 1))

    def _join(self, item: Item) -> _Job:
        job = self._open.get(item)
        if job is None:
            job = self._open[item] = _Job(item)
            self._queue.append(job)
            self._arrival.set()
        job.waiters += 1
        return job

    def _leave(self, job: _Job) -> None:
        job.waiters -= 1
        if job.waiters == 0 and not job.result.done() and job in self._queue:
            self._queue.remove(job)
            del self._open[job.item]

    async def _work(self) -> None:
        while True:
            await self._arrival.wait()
            if self._queue and self.queued < self._batch_chars:
                oldest = self._queue[0].arrived
                await asyncio.sleep(max(0.0, oldest + self._wait - time.monotonic()))
            batch = self._take()
            if not self._queue:
                self._arrival.clear()
            if batch:
                await self._run(batch)

    def _take(self) -> list[_Job]:
        batch: list[_Job] = []
        chars = 0
        while self._queue and (not batch or chars + self._queue[0].chars <= self._batch_chars):
            batch.append(self._queue.popleft())
            chars += batch[-1].chars
        return batch

    async def _run(self, batch: list[_Job]) -> None:
        begun = time.monotonic()
        stopped = False

        def unwanted() -> bool:  # called from the engine's thread
            nonlocal stopped
            stopped = stopped or not any(job.waiters for job in batch)
            return stopped

        try:
            outputs = await asyncio.get_running_loop().run_in_executor(
                self._pool, self._engine, [job.item for job in batch], unwanted
            )
        except Exception as error:  # whatever the engine raises must not end the worker
            await self._retry(batch, error, stopped)
            return
        seconds = max(time.monotonic() - begun, 1e-6)
        speed = sum(job.chars for job in batch) / seconds
        self._speed += (speed - self._speed) * (_SMOOTHING if self._speed else 1.0)
        for job, output in zip(batch, outputs, strict=True):
            self._finish(job, output)

    async def _retry(self, batch: list[_Job], error: Exception, stopped: bool) -> None:
        """One bad text must not spoil its neighbours, nor those who left the ones that came."""
        wanted = [job for job in batch if job.waiters]
        for job in batch:
            if not job.waiters:
                self._fail(job, ServiceError(503, "nobody waits for this"))
        if stopped or len(batch) > 1:
            for job in wanted:
                await self._run([job])
        elif wanted:
            log.error("the engine failed on %d characters", batch[0].chars, exc_info=error)
            self._fail(batch[0], ServiceError(500, "the translation failed; see the server's log"))

    def _finish(self, job: _Job, output: Sequence[str]) -> None:
        del self._open[job.item]
        job.result.set_result(output)
        self._cache.put(job.item, output, job.chars + sum(map(len, output)) + 64)

    def _fail(self, job: _Job, error: ServiceError) -> None:
        del self._open[job.item]
        if job.waiters:
            job.result.set_exception(error)
        else:
            job.result.cancel()
