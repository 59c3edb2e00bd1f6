"""Which batch a step trains on: step t takes the t-th batch of the stream that is not left out.

Batches are numbered from 0 in the order of the loader. What is left out is a list of ranges of
these numbers, so that the batch of a step, and how far to move in the stream, are arithmetic. A
range is only ever added behind what was trained on, so that earlier steps keep their batches.
Not its job: what is in a batch (the loader), what is left out (rewind).
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import cast

from m4nmt.data.loader import Loader, LoaderState
from m4nmt.data.types import Batch


class Skips:
    """Ranges of batches that are left out, merged and ascending.

    Args:
        ranges: (first, one past the last); they may overlap.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        merged: list[tuple[int, int]] = []
        for first, end in sorted(ranges):
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((first, end))
        self.ranges = tuple(merged)

    def batch(self, step: int) -> int:
        """Number of the batch of a step."""
        number = step
        for first, end in self.ranges:
            if number < first:
                break
            number += end - first
        return number

    def behind(self, step: int) -> int:
        """Number of the batch after the one of the step before: where the stream stands."""
        return self.batch(step - 1) + 1 if step else 0

    def left(self, number: int) -> int | None:
        """Batches from this one on before the next range; None: no more ranges."""
        return next((first - number for first, _ in self.ranges if first > number), None)


def stream(
    loader: Loader, skips: Skips, step: int, position: LoaderState
) -> Iterator[tuple[LoaderState, Batch]]:
    """Endless (state after the batch, batch) of this step and those after it.

    Args:
        position: where the stream stands before the step: behind the batch of the step before.
    """
    while True:
        number = skips.batch(step)
        position = moved(loader, position, number - skips.behind(step))
        made = cast(Generator[tuple[LoaderState, Batch]], loader.batches(position))
        with closing(made) as found:
            for after, batch in islice(found, skips.left(number)):
                position = after
                yield after, batch
                step += 1


def moved(loader: Loader, position: LoaderState, count: int) -> LoaderState:
    """A position `count` batches further on."""
    if not count:
        return position
    block, index = position.block, position.index + count
    while index >= (size := len(loader.plan.block(block).shapes)):
        block, index = block + 1, index - size
    return LoaderState(block, index)
