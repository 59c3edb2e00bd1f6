"""The models at work: loaded at the start, replaced while requests go on, freed when done with.

A new version is loaded and tried out beside the old one; then requests go to the new one, the old
one finishes what it has, and is let go. A version that cannot be loaded changes nothing.
Not its job: what models know together (known.py), requests (service.py).
"""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from m4nmt_serve.batcher import Batcher, Done, Item, Room, waiting
from m4nmt_serve.engine import Engine
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.known import Known, Live, tables
from m4nmt_serve.lanes import Lane
from m4nmt_serve.meters import Meters
from m4nmt_serve.order import Full, how_of
from m4nmt_serve.settings import ServeConfig
from m4nmt_serve.trace import current
from m4nmt_serve.translator import Translator

log = logging.getLogger("m4nmt_serve")
_LOOK = 0.05  # seconds between two looks whether a replaced model is done


class Reload(NamedTuple):
    """What became of a reload: seconds it took; `error` is empty if the new version is at work."""

    model: str
    seconds: float
    error: str


class Models:
    """Some models by name, in the order of preference. Owned by one event loop."""

    def __init__(
        self,
        loads: Mapping[str, Callable[[], Translator]],
        config: ServeConfig,
        meters: Meters,
    ) -> None:
        self._loads = dict(loads)
        self._config = config
        self._meters = meters
        self._lives: dict[str, Live] = {}
        self._known: dict[str, Known] = {}
        self._versions: dict[str, int] = {}  # loaded so far
        self._turn = asyncio.Lock()  # one model is loaded at a time
        self._leaving: set[asyncio.Task[None]] = set()
        meters.gauge(
            "m4nmt_queue_tokens",
            "Tokens that wait for the engine.",
            lambda: waiting({n: live.batcher for n, live in self._lives.items()}),
            ("model", "lane"),
        )
        meters.gauge(
            "m4nmt_cache_chars",
            "Characters remembered.",
            lambda: {(n,): live.batcher.cache.used for n, live in self._lives.items()},
            ("model",),
        )
        meters.gauge(
            "m4nmt_open_texts",
            "Texts queued or in the engine.",
            lambda: {(n,): live.batcher.open for n, live in self._lives.items()},
            ("model",),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, loaded or not."""
        return tuple(self._loads)

    @property
    def ready(self) -> bool:
        """Whether all of them are at work."""
        return len(self._lives) == len(self._loads) and all(
            live.batcher.alive for live in self._lives.values()
        )

    def known(self, name: str = "") -> Known:
        """What a model knows, or all of them together.

        Raises:
            ServiceError: 503 while they are being loaded, 400 for a model that is not here.
        """
        if name and name not in self._loads:
            raise ServiceError(
                400, f"there is no model {name[:40]!r} here; models: {', '.join(self._loads)}"
            )
        if not self._known:
            raise ServiceError(503, "the model is being loaded; try again soon", 2)
        return self._known[name]

    async def load(self) -> None:
        """Load all of them, one after another.

        Raises:
            Exception: whatever loading raises.
        """
        for name in self._loads:
            self._lives[name] = await self._made(name)
        self._known = tables(self._lives)

    def describe(self) -> list[dict[str, Any]]:
        """Each model for people who ask what is here."""
        return [
            {
                "name": name,
                "ready": name in self._known,
                "sources": sorted(self._lives[name].engine.sources) if name in self._lives else [],
                "targets": sorted(self._lives[name].engine.targets) if name in self._lives else [],
                "domains": [*self._lives[name].engine.translator.domains]
                if name in self._lives
                else [],
                "versions": self._versions.get(name, 0),
            }
            for name in self._loads
        ]

    async def reload(self, name: str = "") -> list[Reload]:
        """Put the newest version of a model, or of all, to work without failing a request.

        Raises:
            ServiceError: as `known`.
        """
        self.known(name)
        return [await self._replace(each) for each in ([name] if name else self._loads)]

    async def translate(
        self, known: Known, items: Sequence[Item], lane: Lane, done: Done[Full] | None = None
    ) -> dict[Item, Sequence[Full]]:
        """What is made of items (order.py), each by the model that knows its direction.

        `done` is told of each as soon as it is there, from this event loop.

        Raises:
            ServiceError: 400 for a direction or domain that none knows, or a search that cannot
                be; as Batcher.translate.
        """
        groups: dict[str, list[Item]] = {}
        lives: dict[str, Live] = {}
        for item in dict.fromkeys(items):
            name = known.live(item.src, item.tgt, how_of(item).domain).name
            lives[name] = self._lives[name]  # the newest version: the one known may have left
            lives[name].engine.check(item, self._config.max_beam)
            groups.setdefault(name, []).append(item)
        current().model = ",".join(groups) or current().model
        calls = [lives[name].batcher.translate(group, lane, done) for name, group in groups.items()]
        if len(calls) == 1:
            answers = [await calls[0]]
        else:
            answers = await _together([asyncio.ensure_future(call) for call in calls])
        return {
            item: answer
            for group, found in zip(groups.values(), answers, strict=True)
            for item, answer in zip(group, found, strict=True)
        }

    async def close(self) -> None:
        """Stop all of them."""
        for task in self._leaving:
            task.cancel()
        for live in self._lives.values():
            await live.batcher.close()

    async def _made(self, name: str) -> Live:
        """A new version of a model, tried out."""

        def make() -> Engine:
            engine = Engine(self._loads[name](), self._config.search)
            engine.try_out()
            return engine

        try:
            engine = await asyncio.to_thread(make)
        except Exception:
            self._meters.loads.add(name, "failed")
            raise
        batcher = Batcher(engine.run, engine.costs, room(self._config), self._meters, name)
        batcher.start()
        self._meters.loads.add(name, "loaded")
        self._versions[name] = self._versions.get(name, 0) + 1
        return Live(name, engine, batcher)

    async def _replace(self, name: str) -> Reload:
        begun = time.monotonic()
        async with self._turn:
            try:
                new = await self._made(name)
            except Exception as error:
                log.error("model %s is kept, its new version cannot be used: %s", name, error)
                return Reload(name, time.monotonic() - begun, str(error) or repr(error))
            old, self._lives[name] = self._lives[name], new
            self._known = tables(self._lives)
        log.info("model %s was loaded anew", name)
        leaving = asyncio.create_task(_let_go(old), name=f"m4nmt-leave-{name}")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        return Reload(name, time.monotonic() - begun, "")


def by_name(
    translator: Translator | Callable[[], Translator] | Mapping[str, Callable[[], Translator]],
) -> dict[str, Callable[[], Translator]]:
    """Functions that load translators, by name; one that is given alone is called "model"."""
    if isinstance(translator, Mapping):
        return dict(translator)
    return {"model": translator if callable(translator) else lambda: translator}


def room(config: ServeConfig) -> Room:
    """The part of the settings that a batcher needs."""
    return Room(
        batch_tokens=config.batch_tokens,
        wait=config.batch_wait,
        queue_tokens=config.queue_tokens,
        queue_seconds=config.queue_seconds,
        cache_chars=config.cache_chars,
        workers=config.workers,
    )


async def _let_go(old: Live) -> None:
    """End a replaced model once nobody waits for it any more."""
    while old.batcher.busy:
        await asyncio.sleep(_LOOK)
    await old.batcher.close()
    del old
    kept = gc.get_freeze_count()
    gc.unfreeze()  # it may be among what the collector was told to leave alone (server.py)
    gc.collect()  # models hold circles; their memory is wanted now
    if kept:
        gc.freeze()


async def _together(
    tasks: Sequence["asyncio.Future[list[Sequence[Full]]]"],
) -> list[list[Sequence[Full]]]:
    """All results, or the first failure, after which nobody waits for the others."""
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
