"""Which batch a step trains on: arithmetic against a walk over the stream."""

from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.data.loader import LoaderState
from m4nmt.train.stream import Skips, moved, stream

SIZES = (3, 5, 2, 7, 1, 4) * 10  # batches of each block
MANY = 100
ranges = st.lists(st.tuples(st.integers(0, 80), st.integers(1, 30)), max_size=5)


class Made:
    """A loader whose batches are their own numbers."""

    def __init__(self) -> None:
        self.plan = SimpleNamespace(block=lambda n: SimpleNamespace(shapes=[None] * SIZES[n]))
        self.opened: list[LoaderState] = []
        self.closed = 0

    def batches(self, state: LoaderState) -> Iterator[tuple[LoaderState, Any]]:
        self.opened.append(state)
        number = sum(SIZES[: state.block]) + state.index
        block, index = state.block, state.index
        try:
            while True:
                index += 1
                if index == SIZES[block]:
                    block, index = block + 1, 0
                yield LoaderState(block, index), number
                number += 1
        finally:
            self.closed += 1


def skips(found: list[tuple[int, int]]) -> Skips:
    return Skips((first, first + count) for first, count in found)


def walked(found: list[tuple[int, int]]) -> list[int]:
    left_out = {n for first, count in found for n in range(first, first + count)}
    return [n for n in range(3 * MANY) if n not in left_out][:MANY]


@settings(deadline=None)
@given(ranges)
def test_step_t_takes_the_t_th_batch_that_is_not_left_out(found: list[tuple[int, int]]) -> None:
    one = skips(found)
    assert [one.batch(step) for step in range(MANY)] == walked(found)


@settings(deadline=None, max_examples=50)
@given(ranges, st.integers(0, 90))
def test_the_stream_is_that_from_any_step_on(found: list[tuple[int, int]], step: int) -> None:
    """From the position that a run has which came so far: behind the batch of the step before."""
    loader, one = Made(), skips(found)
    whole = list(islice(stream(loader, one, 0, LoaderState()), MANY))  # type: ignore[arg-type]
    assert [batch for _, batch in whole] == walked(found)
    position = whole[step - 1][0] if step else LoaderState()
    rest = islice(stream(loader, one, step, position), MANY - step)  # type: ignore[arg-type]
    assert list(rest) == whole[step:]


def test_nothing_left_out_is_read_and_every_reader_is_closed() -> None:
    loader = Made()
    made = stream(loader, Skips([(2, 50), (60, 70)]), 0, LoaderState())  # type: ignore[arg-type]
    assert [batch for _, batch in islice(made, 13)] == [0, 1, *range(50, 60), 70]
    assert len(loader.opened) == 3
    made.close()  # type: ignore[attr-defined]
    assert loader.closed == 3


@pytest.mark.parametrize("count", [0, 1, 2, 3, 40])
def test_a_position_moves_over_blocks(count: int) -> None:
    found = moved(Made(), LoaderState(0, 1), count)  # type: ignore[arg-type]
    assert sum(SIZES[: found.block]) + found.index == 1 + count
    assert found.index < SIZES[found.block]
