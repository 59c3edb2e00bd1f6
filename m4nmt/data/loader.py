"""Batches for training and validation, from a plan, in this process or by workers.

The stream is a function of (store, config, run length): the same for any number of workers, and
cut, not changed, by the number of ranks. A position in it is two integers, and any position is
reached without walking there.
Not its job: what is in a block (plan.py), how a batch is padded (batch.py).
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from m4nmt.core.config import ConfigError
from m4nmt.data.settings import DataConfig
from m4nmt.data.stream.batch import Chunk, assemble, fetch
from m4nmt.data.stream.order import examples_at
from m4nmt.data.stream.phases import Decision
from m4nmt.data.stream.plan import Plan, Reader, Source, block_examples, lay
from m4nmt.data.types import Batch, Split

_CHUNK_EXAMPLES = 65536
_WORKER_TIMEOUT = 600.0
_AHEAD = 2


class LoaderError(RuntimeError):
    """The loader cannot go on; says why."""


@dataclass(frozen=True)
class LoaderState:
    """A position in the stream: the next batch is number `index` of block `block`."""

    block: int = 0
    index: int = 0


Item = tuple[int, int]  # block, chunk


class Loader:
    """The training stream of a store.

    Args:
        store: an opened token store.
        config: the data section of the recipe.
        rank, world: which equal part of every global batch's rows to hold.
        pieces: the rows held here are a multiple of this.
        workers: processes that read ahead; 0 reads ahead in a thread of this one.
        run_steps: batches of the whole run; needed by UniMax and Phases.
        decisions: changes of a mixture by loss, in the order in which they were made.

    Raises:
        ConfigError: impossible options.
    """

    def __init__(
        self,
        store: Source,
        config: DataConfig,
        *,
        rank: int = 0,
        world: int = 1,
        pieces: int = 1,
        workers: int = 0,
        run_steps: int | None = None,
        decisions: Sequence[Decision] = (),
    ) -> None:
        _check_world(rank, world)
        self.plan = Plan(store, config, run_steps, decisions)
        self._store, self._part = store, (rank, world, pieces)
        self._chunks = _Chunks(self.plan, *self._part)
        self._workers = workers

    def by(self, decisions: Sequence[Decision]) -> "Loader":
        """The stream with these decisions instead; the same up to the first block they change."""
        rank, world, pieces = self._part
        return Loader(
            self._store,
            self.plan.config,
            rank=rank,
            world=world,
            pieces=pieces,
            workers=self._workers,
            run_steps=self.plan.run_steps,
            decisions=decisions,
        )

    def batches(self, state: LoaderState | None = None) -> Iterator[tuple[LoaderState, Batch]]:
        """Endless (state after the batch, batch), from `state` on.

        `direction_B` indexes `store.directions`.

        Raises:
            LoaderError: a worker died or hangs, or the state is beyond its block.
            ValueError: the store holds an example longer than `blocks.max_length`.
        """
        state = state or LoaderState()
        first = self._item(state)
        skip = state.index
        items = self._chunks.items(*first)
        made = (
            self._by_workers(first[0], items) if self._workers else _by_thread(self._chunks, items)
        )
        for (block, _), chunk in made:
            for index in range(max(0, skip - chunk.first), len(chunk.shapes)):
                batch = assemble(chunk, self.plan.reader, index)
                ended = chunk.last and index + 1 == len(chunk.shapes)
                after = (block + 1, 0) if ended else (block, chunk.first + index + 1)
                yield LoaderState(*after), batch
            skip = 0

    def _item(self, state: LoaderState) -> Item:
        """The chunk in which a position lies."""
        if state.index == 0:
            return state.block, 0
        total = len(self.plan.block(state.block).shapes)
        if not 0 <= state.index < total:
            raise LoaderError(
                f"block {state.block} has {total} batches, the saved position is {state.index}: "
                "the data or its settings are not those of the run that saved it"
            )
        ends = (self._chunks.bounds(total, chunk)[1] for chunk in count())
        return state.block, next(chunk for chunk, end in enumerate(ends) if state.index < end)

    def _by_workers(self, block: int, items: Iterator[Item]) -> Iterator[tuple[Item, Chunk]]:
        self.plan.block(block)  # forked workers inherit what is opened and counted for it
        loader: DataLoader[tuple[Item, Chunk]] = DataLoader(
            self._chunks,
            sampler=_Items(items),
            batch_size=None,
            num_workers=self._workers,
            prefetch_factor=_AHEAD,
            collate_fn=_as_it_is,
            worker_init_fn=_stand_apart,
            timeout=_WORKER_TIMEOUT,
            generator=torch.Generator(),  # its own: the global one belongs to training
        )
        running = iter(loader)
        _explain_the_dead()
        try:
            yield from running
        except LoaderError:
            raise
        except RuntimeError as error:
            raise _failed(error) from error


class _Chunks(Dataset[tuple[Item, Chunk]]):
    """Chunk c of block b: some consecutive batches, read for one rank. Blocks are cut into a fixed
    number of chunks, so that the next item is known without planning."""

    def __init__(self, plan: Plan, rank: int, world: int, pieces: int) -> None:
        self._plan, self._part = plan, (rank, world, pieces)
        self._count = -(-plan.examples // _CHUNK_EXAMPLES)

    def __getitem__(self, item: Item) -> tuple[Item, Chunk]:
        block, chunk = item
        plan = self._plan.block(block)
        first, end = self.bounds(len(plan.shapes), chunk)
        return item, fetch(self._plan.reader, plan, first, end, *self._part)

    def bounds(self, batches: int, chunk: int) -> tuple[int, int]:
        """First and one-past-last batch of a chunk of a block of so many batches."""
        return chunk * batches // self._count, (chunk + 1) * batches // self._count

    def items(self, block: int, chunk: int) -> Iterator[Item]:
        """All items from here on."""
        for number in count(block * self._count + chunk):
            yield divmod(number, self._count)


class _Items(Sampler[Item]):
    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Item]:
        return self._items


def _stand_apart(worker: int) -> None:
    """Launchers and terminals signal a whole group of processes. What it means is for the process
    that trains to decide, so its workers stand in groups of their own. They end with it."""
    os.setpgid(0, 0)


def _as_it_is(chunk: Any) -> Any:
    return chunk


def _failed(error: RuntimeError) -> LoaderError:
    return LoaderError(
        f"a data worker failed: {str(error).rstrip('. ')}. If it was killed, memory may have run "
        "out: give fewer workers. The run resumes from its last checkpoint"
    )


class _Explained:
    """A signal handler whose RuntimeError is a LoaderError."""

    def __init__(self, inner: Callable[[int, FrameType | None], Any]) -> None:
        self._inner = inner

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            self._inner(number, frame)
        except RuntimeError as error:
            raise _failed(error) from error


def _explain_the_dead() -> None:
    """When a child process ends, torch raises if it was a worker that failed, wherever the main
    thread then is: mostly in a training step, not here. What that means is said there too."""
    inner = signal.getsignal(signal.SIGCHLD)
    if threading.current_thread() is not threading.main_thread():
        return  # torch has set no handler, and we cannot
    if callable(inner) and not isinstance(inner, _Explained):
        signal.signal(signal.SIGCHLD, _Explained(inner))


def _by_thread(
    make: Dataset[tuple[Item, Chunk]], items: Iterator[Item]
) -> Iterator[tuple[Item, Chunk]]:
    """Make items in order, one ahead of the reader."""
    get: Callable[[Item], tuple[Item, Chunk]] = make.__getitem__
    with ThreadPoolExecutor(1, thread_name_prefix="loader") as pool:
        coming = pool.submit(get, next(items))
        for item in items:
            done = coming.result()
            coming = pool.submit(get, item)
            yield done


def fixed_batches(
    store: Source,
    config: DataConfig,
    split: Split,
    rows_per_direction: int,
    *,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """The same batches each time: at most so many examples of each direction of a split.

    `direction_B` indexes `store.split_directions(split)`.

    Raises:
        ConfigError: impossible options.
        ValueError: an example is longer than `blocks.max_length`.
    """
    _check_world(rank, world)
    directions = store.split_directions(split)
    reader = Reader(store, directions, split)
    held = block_examples(config.blocks)
    for part in _groups([store.size(d, split) for d in directions], rows_per_direction, held):
        direction_N = np.concatenate([np.full(take, d) for d, _, take in part])
        size_N = np.concatenate([np.full(take, size) for _, size, take in part])
        rank_N = np.concatenate([np.arange(take) for _, _, take in part])
        # one key for all: directions of a multi-way set get the same lines
        example_N = examples_at(rank_N, size_N, np.zeros(len(rank_N), np.uint64))
        plan = lay(reader, direction_N, example_N, config.blocks)
        chunk = fetch(reader, plan, 0, len(plan.shapes), rank, world)
        for index in range(len(plan.shapes)):
            yield assemble(chunk, reader, index)


def _groups(sizes: Sequence[int], wanted: int, most: int) -> Iterator[list[tuple[int, int, int]]]:
    """(direction, its size, examples to take), in groups of about `most` examples."""
    group: list[tuple[int, int, int]] = []
    total = 0
    for direction, size in enumerate(sizes):
        take = min(size, wanted)
        if take:
            group.append((direction, size, take))
            total += take
        if total >= most:
            yield group
            group, total = [], 0
    if group:
        yield group


def _check_world(rank: int, world: int) -> None:
    if not 0 <= rank < world:
        raise ConfigError(f"rank {rank} is not one of {world}")
