"""The batch plan: what stands in block b, as a pure function of (data, config, run length, b).

mixture -> shares; blocks -> how many of each direction; order -> which; packing -> batches; then a
keyed shuffle of the batches. Nothing is remembered between blocks but caches.
Not its job: reading ids (batch.py), iterating (loader.py).
Shape letters: D directions, N examples of a block, K tags of a row.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from m4nmt.core.config import ConfigError
from m4nmt.core.seeds import numpy_generator, seed_for
from m4nmt.data.columns.ragged import joined, sliced
from m4nmt.data.directions import task_of
from m4nmt.data.settings import BlockConfig, ByLoss, DataConfig, Noise, Temperature
from m4nmt.data.stream import mixture, order
from m4nmt.data.stream.blocks import PhasedQuotas, Quotas
from m4nmt.data.stream.packing import pack
from m4nmt.data.stream.phases import Decision, Stage, by_block, stages
from m4nmt.data.tasks.noisy import Noisy
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction, ManyExamples, Shape, Slices, Split

Ints = NDArray[np.int64]
_BATCHES_PER_BLOCK = 256
_LEAST_EXAMPLES = 8192
_OPENED = ("_many", "_by_task")
_TYPICAL = 5  # max_length is about so many times a usual length


class Source(Protocol):
    """What the plan needs of a token store (store.Store is one)."""

    @property
    def directions(self) -> Sequence[Direction]: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    def size(self, direction: Direction, split: Split = "train") -> int: ...

    def many(self, directions: Sequence[Direction], split: Split = "train") -> ManyExamples: ...

    def split_directions(self, split: Split) -> Sequence[Direction]: ...


class BlockPlan(NamedTuple):
    """The batches of one block, in the order they are trained on.

    Attributes:
        direction_N, example_N: of every example; batch i is places[i, 0] to places[i, 1]. An
            example of a denoising direction is epoch * size + line.
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
    """Examples of directions by number, opened on first use.

    Args:
        noises: by task; lines of denoising directions get it, see tasks/noisy.py.
        seed: of the noise.

    Raises:
        ConfigError: a direction has a task without noise.
    """

    def __init__(
        self,
        source: Source,
        directions: Sequence[Direction],
        split: Split,
        noises: Sequence[Noise] = (),
        seed: int = 0,
    ) -> None:
        self.directions = tuple(directions)
        self._source, self._split = source, split
        self._noises, self._seed = {task_of(noise): noise for noise in noises}, seed
        unknown = [d for d in self.directions if d.task not in ("translate", *self._noises)]
        if unknown:
            raise ConfigError(
                f"data.tasks: the store has {unknown[0]}, but the recipe has no such task; put it "
                "back, or prepare the data again"
            )
        self._tasks = sorted({d.task for d in self.directions} - {"translate"})
        numbers: dict[str, int] = {task: number for number, task in enumerate(self._tasks)}
        self._task_D = np.array([numbers.get(d.task, -1) for d in self.directions], np.int64)
        self.noisy_D = self._task_D >= 0
        tokenizer = source.tokenizer
        tags = [tokenizer.prefix(direction) for direction in self.directions]
        self.tag_count_D = np.array([len(row) for row in tags], np.int64)
        most = int(self.tag_count_D.max(initial=0))
        self.tags_DK = np.array([row + [tokenizer.pad] * (most - len(row)) for row in tags])
        self.eos, self.bos, self.pad = tokenizer.eos, tokenizer.bos, tokenizer.pad

    def __getstate__(self) -> dict[str, Any]:
        """Without what was opened: files are mapped anew where it is unpacked."""
        return {name: value for name, value in vars(self).items() if name not in _OPENED}

    @cached_property
    def _many(self) -> ManyExamples:
        return self._source.many(self.directions, self._split)

    @cached_property
    def _by_task(self) -> list[Noisy]:
        """The noisy examples of each denoising task that a direction here has."""
        names = [str(direction) for direction in self.directions]
        seeds_D = np.array([seed_for(self._seed, "noise", name) for name in names], np.uint64)
        sizes = [self._source.size(d, self._split) for d in self.directions]
        mask, sizes_D = self._source.tokenizer.mask, np.array(sizes, np.int64)
        return [
            Noisy(self._many, sizes_D, seeds_D, self._noises[task], mask) for task in self._tasks
        ]

    def lengths(self, direction_N: Ints, example_N: Ints) -> tuple[Ints, Ints]:
        """(source, target) tokens with specials [N]."""
        src_N, tgt_N = np.empty_like(direction_N), np.empty_like(direction_N)
        plain = np.flatnonzero(~self.noisy_D[direction_N])
        src_N[plain], tgt_N[plain] = self._many.lengths(direction_N[plain], example_N[plain])
        for noisy, here in self._noisy(direction_N):
            src_N[here], tgt_N[here] = noisy.lengths(direction_N[here], example_N[here])
        return src_N + self.tag_count_D[direction_N] + 1, tgt_N + 1

    def tokens(self, direction_N: Ints, example_N: Ints) -> tuple[Slices, Slices]:
        """(source, target) ids, without specials."""
        plain = np.flatnonzero(~self.noisy_D[direction_N])
        where, found = [plain], [self._many.tokens(direction_N[plain], example_N[plain])]
        for noisy, here in self._noisy(direction_N):
            where.append(here)
            src, tgt = noisy.tokens(direction_N[here], example_N[here])
            found.append((sliced(src), sliced(tgt)))
        src_N, tgt_N = (joined(sides, where) for sides in zip(*found, strict=True))
        return src_N, tgt_N

    def _noisy(self, direction_N: Ints) -> Iterator[tuple[Noisy, Ints]]:
        """The examples of each denoising task there is, and the places where they are wanted."""
        task_N = self._task_D[direction_N]
        for task in np.unique(task_N[task_N >= 0]).tolist():
            yield self._by_task[task], np.flatnonzero(task_N == task)


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
        decisions: changes of a mixture by loss, in the order in which they were made.

    Attributes:
        sizes_D: examples of each direction of `source.directions`.
        quotas: of every block.
        run_blocks: blocks that the run will begin, as estimated; 0 without `run_steps`.
        run_examples: examples that the run will draw, as estimated; 0 without `run_steps`.

    Raises:
        ConfigError: impossible options, or `run_steps` is needed and missing.
    """

    def __init__(
        self,
        source: Source,
        config: DataConfig,
        run_steps: int | None = None,
        decisions: Sequence[Decision] = (),
    ) -> None:
        self.directions = tuple(source.directions)
        self.reader = Reader(source, self.directions, "train", config.tasks, config.seed)
        self.config, self.run_steps = config, run_steps
        self.examples = block_examples(config.blocks)
        self.sizes_D = np.array([source.size(d) for d in self.directions], np.int64)
        keys = [seed_for(config.seed, "order", str(d)) for d in self.directions]
        self._keys_D = np.array(keys, np.uint64)
        self.run_examples, self.run_blocks = 0.0, 0
        self.quotas = self._decided(decisions)
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
        position_N = within_N + quotas.before(number)[direction_N]
        size_N = self.sizes_D[direction_N]
        example_N = order.examples_at(position_N, size_N, self._keys_D[direction_N])
        # noise differs by epoch, and so do the numbers of noisy examples (tasks/noisy.py)
        example_N += np.where(self.reader.noisy_D[direction_N], position_N // size_N * size_N, 0)
        return lay(self.reader, direction_N, example_N, self.config.blocks)

    def _stages(self) -> tuple[list[int], list[Quotas]]:
        """First block and quotas of each stage of the mixture; counts what the run will draw.

        Stages are given in steps, quotas change at a block: how many batches a block makes is read
        off each stage's first block.
        """
        found = stages(self.config.mixture, self.run_steps)
        ends = [*(stage.start for stage in found[1:]), float(self.run_steps or 0)]
        starts: list[int] = []
        quotas: list[Quotas] = []
        reached = 0.0
        for stage, end in zip(found, ends, strict=True):
            steps = max(0.0, end - stage.start)
            quotas.append(self._quotas(stage, steps))
            starts.append(max(round(reached), starts[-1] + 1 if starts else 0))
            if steps:
                reached += steps / self._batches(quotas[-1])
        self.run_examples = reached * self.examples
        self.run_blocks = max(starts[-1] + 1, round(reached)) if self.run_steps else 0
        return starts, quotas

    def _decided(self, decisions: Sequence[Decision]) -> PhasedQuotas:
        """The quotas of all stages, or of the mixture as it was changed while the run went on."""
        starts, quotas = self._stages()
        if not isinstance(self.config.mixture, ByLoss):
            return PhasedQuotas(starts, quotas)
        usual_D = quotas[0].cycle_D / quotas[0].cycle_D.sum()
        for decision in by_block(decisions):
            factor_D = np.array([decision.factors.get(str(d), 1.0) for d in self.directions])
            share_D = usual_D * factor_D
            starts.append(decision.block)
            quotas.append(Quotas(share_D / share_D.sum(), self.examples))
        return PhasedQuotas(starts, quotas)

    def _quotas(self, stage: Stage, steps: float) -> Quotas:
        """Quotas of one stage of so many batches."""
        budget = 0.0
        if steps and not isinstance(stage.mixture, Temperature):
            usual = self._shares(stage._replace(mixture=Temperature()), 0.0)
            budget = steps * self.examples / self._batches(Quotas(usual, self.examples))
        return Quotas(self._shares(stage, budget), self.examples)

    def _shares(self, stage: Stage, budget: float) -> NDArray[np.float64]:
        return mixture.shares(
            stage.mixture, self.directions, self.sizes_D, budget, stage.only, stage.without
        )

    def _batches(self, quotas: Quotas) -> int:
        """Batches in the first block of these quotas."""
        return len(self._packed(PhasedQuotas([0], [quotas]), 0).shapes)


def block_examples(config: BlockConfig) -> int:
    """Examples of a block: as configured, or about 256 batches' worth."""
    if config.examples:
        return config.examples
    return max(_LEAST_EXAMPLES, _BATCHES_PER_BLOCK * _TYPICAL * config.tokens // config.max_length)
