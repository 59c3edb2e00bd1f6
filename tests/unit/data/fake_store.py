"""A store without files: examples are arithmetic, so that tests can tell who is who.

Example r of direction d: every source id is 100 + d, every target id is 1000 + r % 5000, and the
lengths are functions of r.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.columns.ragged import in_order
from m4nmt.data.settings import BlockConfig, DataConfig
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction, Ragged, Slices, Split

Ints = NDArray[np.int64]
Lengths = NDArray[np.int32]
TAG, TASK, MASK = 50, 9, 10


class Tags:
    """As much of a tokenizer as a loader needs."""

    pad, unk, bos, eos = 0, 1, 2, 3
    mask = MASK

    def prefix(self, direction: Direction) -> list[int]:
        task = [] if direction.task == "translate" else [TASK]
        return [TAG, *task]


class FakeMany:
    """The examples of directions of these numbers and sizes."""

    def __init__(self, numbers: Sequence[int], sizes: Sequence[int], longest: int) -> None:
        self._number_D, self._size_D = np.array(numbers), np.array(sizes)
        self._longest = longest

    def lengths(self, direction_N: Ints, example_N: Ints) -> tuple[Lengths, Lengths]:
        assert ((example_N >= 0) & (example_N < self._size_D[direction_N])).all()
        src = 1 + (example_N * 7919 + self._number_D[direction_N]) % self._longest
        tgt = np.minimum(self._longest, src + example_N % 5)
        return src.astype(np.int32), tgt.astype(np.int32)

    def tokens(self, direction_N: Ints, example_N: Ints) -> tuple[Slices, Slices]:
        src, tgt = self.lengths(direction_N, example_N)
        ids = (100 + self._number_D[direction_N], 1000 + example_N % 5000)
        made = [
            Slices(
                np.repeat(values, lengths).astype(np.int32), np.cumsum(lengths) - lengths, lengths
            )
            for values, lengths in zip(ids, (src, tgt), strict=True)
        ]
        return made[0], made[1]


class FakeExamples:
    def __init__(self, direction: int, size: int, longest: int) -> None:
        self._many, self._size = FakeMany([direction], [size], longest), size

    def __len__(self) -> int:
        return self._size

    def lengths(self, rows: Ints) -> tuple[Lengths, Lengths]:
        return self._many.lengths(np.zeros_like(rows), rows)

    def tokens(self, rows: Ints) -> tuple[Ragged, Ragged]:
        src, tgt = self._many.tokens(np.zeros_like(rows), rows)
        return in_order(src), in_order(tgt)


class FakeStore:
    """Directions of one task, or of these tasks in turn."""

    def __init__(self, sizes: Sequence[int], longest: int = 20, *tasks: str) -> None:
        kinds = cast(Any, tasks or ("translate",))
        self.directions = tuple(
            Direction(f"s{i:05d}_Latn", f"t{i:05d}_Latn", kinds[i % len(kinds)])
            for i in range(len(sizes))
        )
        self.tokenizer = cast(Tokenizer, Tags())
        self._number = {direction: i for i, direction in enumerate(self.directions)}
        self._sizes, self._longest = sizes, longest

    def size(self, direction: Direction, split: Split = "train") -> int:
        return self._sizes[self._number[direction]]

    def examples(self, direction: Direction, split: Split = "train") -> FakeExamples:
        return FakeExamples(self._number[direction], self.size(direction), self._longest)

    def many(self, directions: Sequence[Direction], split: Split = "train") -> FakeMany:
        sizes = [self.size(direction, split) for direction in directions]
        return FakeMany([self._number[d] for d in directions], sizes, self._longest)

    def split_directions(self, split: Split) -> Sequence[Direction]:
        return self.directions


def data_config(mixture: Any = None, tasks: Any = (), **blocks: int) -> DataConfig:
    settings = {"tokens": 512, "examples": 600, "max_length": 32} | blocks
    config = DataConfig(manifest="none", blocks=BlockConfig(**settings), tasks=tasks)
    return config if mixture is None else DataConfig(**{**vars(config), "mixture": mixture})
