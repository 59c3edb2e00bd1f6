"""The batch plan: what stands in block b, as a pure function of (data, config, run length, b).

mixture -> shares; blocks -> how many of each direction; order -> which; packing -> batches; then a
keyed shuffle of the batches. Nothing is remembered between blocks but caches.
Not its job: reading ids (batch.py), iterating (loader.py).
Shape letters: D directions, N examples of a block, K tags of a row.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from m4nmt.core.config import ConfigError
from m4nmt.core.seeds import numpy_generator, seed_for
from m4nmt.data import mixture, order
from m4nmt.data.blocks import PhasedQuotas, Quotas
from m4nmt.data.packing import pack
from m4nmt.data.settings import BlockConfig, DataConfig, Phase, Phases, Temperature
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction, Examples, Shape, Split

Ints = NDArray[np.int64]
_BATCHES_PER_BLOCK = 256
_LEAST_EXAMPLES = 8192
_TYPICAL = 5  # max_length is about so many times a usual length


class Source(Protocol):
    """What the plan needs of a token store (store.Store is one)."""

    @property
    def directions(self) -> Sequence[Direction]: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    def size(self, direction: Direction, split: Split = "train") -> int: ...

    def examples(self, direction: Direction, split: Split = "train") -> Examples: ...

    def split_directions(self, split: Split) -> Sequence[Direction]: ...


class BlockPlan(NamedTuple):
    """The batches of one block, in the order they are trained on.

    Attributes:
        direction_N, example_N: of every example; batch i is places[i, 0] to places[i, 1].
        places: first and one-past-last place of each batch.
        shapes: of each batch; rows beyond its examples are padding.
        tokens: real target tokens (end included) of each batch.
        src_tokens: real source tokens (tags and end included) of each batch.
    """

    direction_N: Ints
    example_N: Ints
    places: Ints
    shapes: list[Shape]
    tokens: Ints
    src_tokens: Ints


class Reader:
    """Examples of directions by number, opened on first use."""

    def __init__(self, source: Source, directions: Sequence[Direction], split: Split) -> None:
        self.directions = tuple(directions)
        self._source, self._split = source, split
        tokenizer = source.tokenizer
        tags = [tokenizer.prefix(direction) for direction in self.directions]
        self.tag_count_D = np.array([len(row) for row in tags], np.int64)
        most = int(self.tag_count_D.max(initial=0))
        self.tags_DK = np.array([row + [tokenizer.pad] * (most - len(row)) for row in tags])
        self.eos, self.bos, self.pad = tokenizer.eos, tokenizer.bos, tokenizer.pad
        self._open: dict[int, Examples] = {}

    def examples(self, direction: int) -> Examples:
        """The examples of a direction."""
        if direction not in self._open:
            found = self._source.examples(self.directions[direction], self._split)
            self._open[direction] = found
        return self._open[direction]

    def lengths(self, direction_N: Ints, example_N: Ints) -> tuple[Ints, Ints]:
        """(source, target) tokens with specials; `direction_N` must be sorted."""
        src_N, tgt_N = np.empty_like(direction_N), np.empty_like(direction_N)
        for direction, start, end in runs(direction_N):
            src, tgt = self.examples(direction).lengths(example_N[start:end])
            src_N[start:end], tgt_N[start:end] = src, tgt
        return src_N + self.tag_count_D[direction_N] + 1, tgt_N + 1


def runs(sorted_N: Ints) -> list[tuple[int, int, int]]:
    """(value, start, end) of each run of equal values."""
    starts = np.flatnonzero(np.diff(sorted_N, prepend=-2))
    edges = [*starts.tolist(), len(sorted_N)]
    return list(zip(sorted_N[starts].tolist(), edges, edges[1:], strict=False))


def lay(reader: Reader, direction_N: Ints, example_N: Ints, config: BlockConfig) -> BlockPlan:
    """Lay these examples (sorted by direction) into batches, in packing order.

    Raises:
        ValueError: an example is longer than the config allows.
    """
    src_N, tgt_N = reader.lengths(direction_N, example_N)
    packing = pack(src_N, tgt_N, config)
    first = packing.starts[:-1]
    return BlockPlan(
        direction_N[packing.order_N],
        example_N[packing.order_N],
        np.stack([first, packing.starts[1:]], 1),
        packing.shapes,
        np.add.reduceat(tgt_N[packing.order_N], first),
        np.add.reduceat(src_N[packing.order_N], first),
    )


class Plan:
    """The endless plan of a run.

    Args:
        source: the token store.
        config: the data section of the recipe.
        run_steps: batches of the whole run; UniMax and Phases need it.

    Attributes:
        sizes_D: examples of each direction of `source.directions`.
        quotas: of every block.
        run_blocks: blocks that the run will begin, as estimated; 0 without `run_steps`.
        run_examples: examples that the run will draw, as estimated; 0 without `run_steps`.

    Raises:
        ConfigError: impossible options, or `run_steps` is needed and missing.
    """

    def __init__(self, source: Source, config: DataConfig, run_steps: int | None = None) -> None:
        self.directions = tuple(source.directions)
        self.reader = Reader(source, self.directions, "train")
        self.config, self.run_steps = config, run_steps
        self.examples = block_examples(config.blocks)
        self.sizes_D = np.array([source.size(d) for d in self.directions], np.int64)
        keys = [seed_for(config.seed, "order", str(d)) for d in self.directions]
        self._keys_D = np.array(keys, np.uint64)
        self.run_examples = 0.0
        self.quotas, self.run_blocks = self._phases()
        self._recent: dict[int, BlockPlan] = {}

    def block(self, number: int) -> BlockPlan:
        """The plan of one block.

        Raises:
            ValueError: an example is longer than the config allows.
        """
        if number not in self._recent:
            self._recent = {number: self._block(number)}
        return self._recent[number]

    def _block(self, number: int) -> BlockPlan:
        plan = self._packed(self.quotas, number)
        order_ = numpy_generator(self.config.seed, "batches", number).permutation(len(plan.shapes))
        return plan._replace(
            places=plan.places[order_],
            shapes=[plan.shapes[i] for i in order_],
            tokens=plan.tokens[order_],
            src_tokens=plan.src_tokens[order_],
        )

    def _packed(self, quotas: PhasedQuotas, number: int) -> BlockPlan:
        counts_D = quotas.counts(number)
        direction_N = np.repeat(np.arange(len(counts_D)), counts_D)
        firsts_D = np.cumsum(counts_D) - counts_D
        within_N = np.arange(len(direction_N)) - firsts_D[direction_N]
        example_N = order.examples_at(
            within_N + quotas.before(number)[direction_N],
            self.sizes_D[direction_N],
            self._keys_D[direction_N],
        )
        return lay(self.reader, direction_N, example_N, self.config.blocks)

    def _phases(self) -> tuple[PhasedQuotas, int]:
        """Quotas of all phases, and the blocks of the run.

        Phases are given as shares of the run's batches, quotas change at a block: how many batches
        a block makes is read off each phase's first block.
        """
        given = self.config.mixture
        phases = given.phases if isinstance(given, Phases) else (Phase(start=0.0, mixture=given),)
        if isinstance(given, Phases) and not self.run_steps:
            raise ConfigError("data.mixture: Phases need to know the number of steps of the run")
        ends = [phase.start for phase in phases[1:]] + [1.0]
        if phases[0].start != 0 or any(
            not phase.start < end <= 1 for phase, end in zip(phases, ends, strict=True)
        ):
            raise ConfigError(
                "data.mixture.phases: starts must rise from 0 and stay below 1, got "
                f"{[phase.start for phase in phases]}"
            )
        starts, quotas, at = [], [], 0
        for phase, end in zip(phases, ends, strict=True):
            steps = (end - phase.start) * (self.run_steps or 0)
            made = self._quotas(phase, steps)
            starts.append(at)
            quotas.append(made)
            if self.run_steps:
                blocks = steps / self._batches(made)
                self.run_examples += blocks * self.examples
                at += max(1, round(blocks))
        return PhasedQuotas(starts, quotas), at

    def _quotas(self, phase: Phase, steps: float) -> Quotas:
        """Quotas of one phase of so many batches."""
        budget = 0.0
        if steps and not isinstance(phase.mixture, Temperature):
            usual = self._shares(Phase(start=0.0, mixture=Temperature(), only=phase.only), 0.0)
            budget = steps * self.examples / self._batches(Quotas(usual, self.examples))
        return Quotas(self._shares(phase, budget), self.examples)

    def _shares(self, phase: Phase, budget: float) -> NDArray[np.float64]:
        return mixture.shares(phase.mixture, self.directions, self.sizes_D, budget, phase.only)

    def _batches(self, quotas: Quotas) -> int:
        """Batches in the first block of these quotas."""
        return len(self._packed(PhasedQuotas([0], [quotas]), 0).shapes)


def block_examples(config: BlockConfig) -> int:
    """Examples of a block: as configured, or about 256 batches' worth."""
    if config.examples:
        return config.examples
    return max(_LEAST_EXAMPLES, _BATCHES_PER_BLOCK * _TYPICAL * config.tokens // config.max_length)
