"""What a block costs where there are 25 billion examples: quotas, order, rows, packing.

    python benchmarks/loader_scale.py --examples 25e6 25e9

A store of 200 directions that is not there: two columns with holes, one line in eight, stand for
those of all pairs, and an example's lengths are arithmetic on its row. All else is what the loader
does: quotas of block b, the keyed order, rank and select over bitmaps of the true size, packing.
Blocks far into the stream are planned, one here and one there: processor time of a block, that of
the first one, for which all bitmaps are counted, and the most memory that was held beside the
bitmaps, which in a store are files.
"""

import argparse
import os
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any, cast

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.columns.rows import PairRows, group_words
from m4nmt.data.settings import BlockConfig, DataConfig, Temperature
from m4nmt.data.stream.plan import Plan
from m4nmt.data.types import Direction, Split

Ints = NDArray[np.int64]
GOOD = 7 / 8  # of the lines of a column
BLOCKS = 9


class Tags:
    """As much of a tokenizer as planning needs."""

    pad, unk, bos, eos, mask = range(5)

    def prefix(self, direction: Direction) -> list[int]:
        """One tag."""
        return [5]


class Synthetic:
    """A store of so many directions that have so many examples in all."""

    def __init__(self, directions: int, examples: float) -> None:
        names = [f"s{number:04d}_Latn" for number in range(directions)]
        self.directions = tuple(Direction(name, "eng_Latn") for name in names)
        self.tokenizer = cast(Any, Tags())
        words = round(examples / directions / GOOD**2) // 64
        draw = np.random.default_rng(1)
        self._words = np.concatenate([_column(draw, words) for _ in range(2)])
        both = self._words[:words] & self._words[words:]
        self._size = int(np.bitwise_count(both).sum())
        tracemalloc.start()
        self._rows = PairRows(
            self._words,
            np.tile([0, words], (directions, 1)),
            words,
            np.empty(0, np.int64),
            np.zeros(directions + 1, np.int64),
            group_words(words * directions),
        )

    def size(self, direction: Direction, split: Split = "train") -> int:
        """Examples of a direction."""
        return self._size

    def many(self, directions: Sequence[Direction], split: Split = "train") -> "Synthetic":
        """All directions are read together."""
        return self

    def lengths(self, direction_N: Ints, example_N: Ints) -> tuple[Any, Any]:
        """(source, target) pieces, which depend on the row."""
        row_N = self._rows.select(direction_N, example_N)
        src_N = 1 + row_N * 7919 % 60
        return src_N, np.maximum(1, src_N + row_N % 9 - 4)


def _column(draw: np.random.Generator, words: int) -> NDArray[np.uint64]:
    """A bitmap; each bit is set unless three coins say no."""
    found = np.zeros(words, np.uint64)
    for _ in range(3):
        found |= draw.integers(0, 2**64, words, np.uint64)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=float, nargs="+", default=[25e6, 25e9])
    parser.add_argument("--directions", type=int, default=200)
    given = parser.parse_args()
    print("| examples | directions | examples a block | first block, s | ms a block | MiB |")
    print("|---:|---:|---:|---:|---:|---:|")
    for total in given.examples:
        store = Synthetic(given.directions, total)
        config = DataConfig(
            manifest="none", mixture=Temperature(T=5.0), blocks=BlockConfig(tokens=8192)
        )
        start = time.process_time()
        plan = Plan(cast(Any, store), config)
        plan.block(0)
        first = time.process_time() - start
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        spent = []
        for number in np.linspace(10**5, 10**7, BLOCKS, dtype=np.int64).tolist():
            start = time.process_time()
            plan.block(number)
            spent.append(time.process_time() - start)
        print(
            f"| {plan.sizes_D.sum():,} | {given.directions} | {plan.examples:,} | {first:.2f} "
            f"| {np.median(spent) * 1e3:.0f} | {peak / (1 << 20):.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
