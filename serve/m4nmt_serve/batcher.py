"""Texts of many requests, translated together by the engine's workers.

A text waits at most `wait` seconds for company; equal texts are translated once, whether they
come together or one after the other (cache). The queue is bounded, and a text that nobody waits
for any more is never begun. Budgets count tokens.
Not its job: HTTP, languages, deadlines (whoever gives up cancels its call here), the order of the
queue (lanes.py).
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from m4nmt_serve.errors import ServiceError, overloaded
from m4nmt_serve.lanes import LANES, Lane, Queue
from m4nmt_serve.lru import Cache
from m4nmt_serve.meters import Meters
from m4nmt_serve.trace import current

log = logging.getLogger("m4nmt_serve")
_SMOOTHING = 0.2  # weight of the newest batch in the running estimate of the engine's speed
_MUCH = 2_000  # characters that are counted beside the event loop
_ENTRY = 256  # characters that an entry of the cache costs beside its texts


class Item(NamedTuple):
    """One text to translate; `wanted` translations are made, best first.

    `aligned`: with links between the characters of text and translation.
    """

    text: str
    src: str
    tgt: str
    wanted: int
    aligned: bool = False

    @property
    def weight(self) -> int:
        """Characters: what it costs to keep, and to count."""
        return len(self.text)


# What an engine makes of an item's text; its length is what it costs to keep.
T = TypeVar("T", bound=Sized)


# Translates items, or refuses some; asks between steps whether it should stop, since nobody waits.
Engine = Callable[[Sequence[Item], Callable[[], bool]], Sequence[Sequence[T] | ServiceError]]
# Tokens of items.
Count = Callable[[Sequence[Item]], Sequence[int]]
# Told of each item as soon as it is done.
Done = Callable[[Item, Sequence[T]], None]


@dataclass(frozen=True, kw_only=True)
class Room:
    """How much is taken in, and taken together.

    Attributes:
        batch_tokens: tokens translated together; a longer text goes alone.
        wait: seconds a text waits for company.
        queue_tokens: tokens that may wait in a lane, whatever the engine's speed.
        queue_seconds: work, in seconds of the engine, that may wait in a lane; two batches always.
        cache_chars: characters (texts and translations) remembered; 0 is off.
        workers: batches in the engine at one time.
    """

    batch_tokens: int
    wait: float
    queue_tokens: int
    queue_seconds: float
    cache_chars: int
    workers: int = 1


class _Job(Generic[T]):
    """An item in the queue or in the engine, and how many callers wait for it."""

    def __init__(self, item: Item, cost: int) -> None:
        self.item = item
        self.cost = cost
        self.waiters = 0
        self.arrived = time.monotonic()
        self.begun = math.inf
        self.result: asyncio.Future[Sequence[T]] = asyncio.get_running_loop().create_future()


class Batcher(Generic[T]):
    """Feeds an engine. Owned by one event loop; `start` and `close` frame its life.

    `name` is the model's, for the meters.
    """

    def __init__(
        self, engine: Engine[T], count: Count, room: Room, meters: Meters, name: str = ""
    ) -> None:
        self._engine = engine
        self._count = count
        self._room = room
        self._meters = meters
        self._name = name
        self.cache: Cache[Item, Sequence[T]] = Cache(room.cache_chars)
        self.queue: Queue[_Job[T]] = Queue(room.batch_tokens)
        self._open: dict[Item, _Job[T]] = {}  # queued or running, by item
        self._arrival = asyncio.Event()
        self._pool = ThreadPoolExecutor(room.workers, thread_name_prefix="m4nmt-engine")
        self._workers: list[asyncio.Task[None]] = []
        self._deliveries: set[asyncio.Task[None]] = set()
        self._calls = 0
        self._speed = 0.0  # tokens a second, as last seen, of one worker

    @property
    def open(self) -> int:
        """Texts that are queued or in the engine."""
        return len(self._open)

    @property
    def busy(self) -> bool:
        """Whether anybody waits for anything."""
        return bool(self._calls or self._open)

    @property
    def alive(self) -> bool:
        """Whether all workers are there to empty the queue."""
        return bool(self._workers) and not any(worker.done() for worker in self._workers)

    @property
    def speed(self) -> float:
        """Tokens a second that the engine does when it is kept busy; 0 while that is unknown."""
        return self._speed * self._room.workers

    def start(self) -> None:
        """Begin to work."""
        names = (f"m4nmt-batcher-{i}" for i in range(self._room.workers))
        self._workers = [asyncio.create_task(self._work(), name=name) for name in names]

    async def close(self) -> None:
        """Stop; whoever still waits is told that the server is going away."""
        tasks = [*self._workers, *self._deliveries]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for job in list(self._open.values()):
            self._fail(job, ServiceError(503, "the server is shutting down", 1))
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def translate(
        self, items: Sequence[Item], lane: Lane = "interactive", done: Done[T] | None = None
    ) -> list[Sequence[T]]:
        """Translations of each item, in order. Cancelling the call drops what has not begun.

        `done` is told of each different item as soon as it is there, from this event loop.

        Raises:
            ServiceError: 429 when the queue is full, 500 when the engine fails on an item, or what
                the engine refuses it with.
        """
        self._calls += 1
        try:
            return await self._translate(items, lane, done or _nobody)
        finally:
            self._calls -= 1

    async def _translate(
        self, items: Sequence[Item], lane: Lane, done: Done[T]
    ) -> list[Sequence[T]]:
        answers = {item: self.cache.get(item) for item in items}
        missing = [item for item, found in answers.items() if found is None]
        if any(item not in self._open for item in missing):
            self._admit(lane)
        costs = await self._costs(missing)
        joined = sum(item in self._open for item in missing)
        jobs = {item: self._join(item, costs[item], lane) for item in missing}
        self._told(len(answers) - len(missing), joined)
        try:
            for item, found in answers.items():
                if found is not None:
                    done(item, found)
            waiting = {job.result: item for item, job in jobs.items()}
            while waiting:
                ready, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                # What is done is told before a failure that comes with it ends the call.
                for result in sorted(ready, key=lambda result: result.exception() is not None):
                    item = waiting.pop(result)
                    answers[item] = result.result()
                    done(item, result.result())
        finally:
            for job in jobs.values():
                self._leave(job)
        self._waited(jobs)
        return [found for item in items if (found := answers[item]) is not None]

    async def _costs(self, items: Sequence[Item]) -> dict[Item, int]:
        """Tokens; of much text in a thread, not to hold up the loop."""
        if sum(item.weight for item in items) > _MUCH:
            counts = await asyncio.to_thread(self._count, items)
        else:
            counts = self._count(items)
        return dict(zip(items, counts, strict=True))

    def _admit(self, lane: Lane) -> None:
        """A request comes in if there is room before it, so that a large one finds some too."""
        waiting, room = self.queue.tokens(lane), self._room
        most = float(room.queue_tokens)
        if self.speed:
            most = min(most, max(2 * room.batch_tokens, self.speed * room.queue_seconds))
        if waiting >= most:
            self._meters.refused.add("queue")
            raise overloaded(math.ceil(min(waiting / self.speed, 30)) if self.speed else 1)

    def _join(self, item: Item, cost: int, lane: Lane) -> _Job[T]:
        job = self._open.get(item)
        if job is None:
            job = self._open[item] = _Job(item, cost)
            self.queue.add(job, lane)
            self._arrival.set()
        elif lane == "interactive" and self.queue.remove(job):  # it need not wait as bulk does
            self.queue.add(job, lane)
        job.waiters += 1
        return job

    def _leave(self, job: _Job[T]) -> None:
        job.waiters -= 1
        if job.waiters == 0 and not job.result.done() and self.queue.remove(job):
            del self._open[job.item]
            self._meters.texts.add(self._name, "dropped")

    def _told(self, cached: int, joined: int) -> None:
        """What this request needs no work for."""
        current().cached += cached
        for outcome, number in (("cached", cached), ("joined", joined)):
            if number:
                self._meters.texts.add(self._name, outcome, by=number)

    def _waited(self, jobs: Mapping[Item, _Job[T]]) -> None:
        """How long this request's texts were queued."""
        trace = current()
        for job in jobs.values():
            trace.queued = max(trace.queued, job.begun - max(job.arrived, trace.begun))

    async def _work(self) -> None:
        while True:
            await self._arrival.wait()
            if len(self.queue) and not self.queue.full():
                oldest = min(job.arrived for job in self.queue.oldest())
                await asyncio.sleep(max(0.0, oldest + self._room.wait - time.monotonic()))
            batch = self.queue.take()
            if not len(self.queue):
                self._arrival.clear()
            if batch:
                self._begin(batch)
                await self._run([job for job, _ in batch])

    def _begin(self, batch: Sequence[tuple[_Job[T], Lane]]) -> None:
        now = time.monotonic()
        for job, lane in batch:
            job.begun = now
            self._meters.waits.observe(now - job.arrived, self._name, lane)
        self._meters.batch_texts.observe(len(batch), self._name)
        self._meters.batch_tokens.observe(sum(job.cost for job, _ in batch), self._name)

    async def _run(self, batch: list[_Job[T]]) -> None:
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
            if len(outputs) != len(batch):
                raise RuntimeError(f"{len(batch)} texts went in, {len(outputs)} came out")
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # whatever the engine raises must not end the worker
            await self._retry(batch, error, stopped)
            return
        self._measure(sum(job.cost for job in batch), time.monotonic() - begun)
        # Beside the next batch, which is not to wait for answers.
        delivery = asyncio.create_task(self._deliver(batch, outputs))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def _deliver(
        self, batch: Sequence[_Job[T]], outputs: Sequence[Sequence[T] | ServiceError]
    ) -> None:
        """Hand out what was made, text by text: the answers to a whole batch, written one after
        another, would hold up everybody else by some 50 ms."""
        for job, output in zip(batch, outputs, strict=True):
            if isinstance(output, ServiceError):
                self._fail(job, output)
            else:
                self._finish(job, output)
            await asyncio.sleep(0)

    def _measure(self, tokens: int, seconds: float) -> None:
        """Learn the engine's speed: small batches tell only that it is no slower than they are."""
        speed = tokens / max(seconds, 1e-6)
        if 2 * tokens >= self._room.batch_tokens and self._speed:
            self._speed += (speed - self._speed) * _SMOOTHING
        else:
            self._speed = max(self._speed, speed)
        self._meters.batch_seconds.observe(seconds, self._name)
        self._meters.tokens.add(self._name, by=tokens)

    async def _retry(self, batch: list[_Job[T]], error: BaseException, stopped: bool) -> None:
        """One bad text must not spoil its neighbours, nor those who left the ones that came."""
        wanted = [job for job in batch if job.waiters]
        for job in batch:
            if not job.waiters:
                self._fail(job, ServiceError(503, "nobody waits for this"))
        if stopped:
            self._meters.stopped.add(self._name)
        if stopped or len(batch) > 1:
            for job in wanted:
                await self._run([job])
        elif wanted:
            log.error("the engine failed on %d characters", len(batch[0].item.text), exc_info=error)
            self._fail(batch[0], ServiceError(500, "the translation failed; see the server's log"))

    def _finish(self, job: _Job[T], output: Sequence[T]) -> None:
        del self._open[job.item]
        job.result.set_result(output)
        self.cache.put(job.item, output, job.item.weight + sum(map(len, output)) + _ENTRY)
        self._meters.texts.add(self._name, "translated")

    def _fail(self, job: _Job[T], error: ServiceError) -> None:
        del self._open[job.item]
        if job.waiters:
            job.result.set_exception(error)
            job.result.exception()  # a caller reads one of its failures, not all of them
            self._meters.texts.add(self._name, "failed")
        else:
            job.result.cancel()
            self._meters.texts.add(self._name, "dropped")


def _nobody(_: Item, __: Sequence[Any]) -> None:
    """Nobody wants to be told."""


def waiting(batchers: Mapping[str, Batcher[T]]) -> dict[tuple[str, ...], float]:
    """Tokens in the queue by model and lane, for a gauge."""
    return {
        (name, lane): batcher.queue.tokens(lane)
        for name, batcher in batchers.items()
        for lane in LANES
    }
