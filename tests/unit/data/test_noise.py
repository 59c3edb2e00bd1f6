from typing import Any, cast

import numpy as np
import pytest
from fake_store import FakeMany
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from m4nmt.data.columns.ragged import in_order
from m4nmt.data.settings import Infill, Mass, Noise
from m4nmt.data.tasks import noise as noises
from m4nmt.data.tasks.noisy import Noisy
from m4nmt.data.types import Ragged, Slices

Ints = NDArray[np.int64]
MASK = 7
kinds = st.one_of(
    st.builds(Mass, ratio=st.floats(0.01, 1)),
    st.builds(Infill, ratio=st.floats(0.01, 0.99), mean=st.floats(1, 20)),
)
rows = st.lists(st.integers(0, 10**12), min_size=1, max_size=20)


class Lines:
    """Line r of each direction: lengths[r % 9] pieces 100, 101, 102, ..."""

    def __init__(self, lengths: list[int]) -> None:
        self._lengths = np.array(lengths)

    def lengths(self, directions: Ints, rows: Ints) -> Any:
        length = self._lengths[rows % len(self._lengths)].astype(np.int32)
        return length, length

    def tokens(self, directions: Ints, rows: Ints) -> Any:
        lengths = self.lengths(directions, rows)[0]
        values = np.concatenate([100 + np.arange(n) for n in lengths]).astype(np.int32)
        line = Slices(values, (np.cumsum(lengths) - lengths).astype(np.int64), lengths)
        return line, line


class OfOne:
    """The noisy lines of one direction, which has 1000."""

    def __init__(self, lines: Any, noise: Noise, seed: int) -> None:
        seeds = np.array([seed], np.uint64)
        self._noisy = Noisy(lines, np.array([1000]), seeds, noise, MASK)

    def lengths(self, rows: Ints) -> tuple[Any, Any]:
        return self._noisy.lengths(np.zeros_like(rows), rows)

    def tokens(self, rows: Ints) -> tuple[Ragged, Ragged]:
        return self._noisy.tokens(np.zeros_like(rows), rows)


def noisy(noise: Noise, lengths: list[int] | None = None, seed: int = 1) -> OfOne:
    return OfOne(Lines(lengths or list(range(1, 60))), noise, seed)


def plain(rows: list[int]) -> Ragged:
    numbers = np.array(rows) % 1000
    return in_order(Lines(list(range(1, 60))).tokens(numbers, numbers)[0])


def lists(ragged: Ragged) -> list[list[int]]:
    ends = zip(ragged.offsets[:-1].tolist(), ragged.offsets[1:].tolist(), strict=True)
    return [ragged.values[a:b].tolist() for a, b in ends]


@settings(max_examples=40, deadline=None)
@given(kinds, rows, st.integers(0, 2**62))
def test_lengths_are_known_before_the_ids_are_read(
    noise: Noise, rows: list[int], seed: int
) -> None:
    numbers = np.array(rows)
    made = noisy(noise, seed=seed)
    src, tgt = (lists(side) for side in made.tokens(numbers))
    wanted = [side.tolist() for side in made.lengths(numbers)]
    assert [list(map(len, src)), list(map(len, tgt))] == wanted
    line = np.diff(plain(rows).offsets)
    assert all(len(one) <= n for one, n in zip(src, line.tolist(), strict=True))


@settings(max_examples=40, deadline=None)
@given(kinds, rows)
def test_noise_does_not_depend_on_what_is_asked_with_it(noise: Noise, rows: list[int]) -> None:
    """Hence not on workers, ranks, blocks or order."""
    made = noisy(noise)
    together = list(zip(*map(lists, made.tokens(np.array(rows))), strict=True))
    assert together == [
        tuple(lists(side)[0] for side in made.tokens(np.array([number]))) for number in rows
    ]


@settings(max_examples=40, deadline=None)
@given(kinds, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 10**12)), min_size=1))
def test_directions_are_read_together_as_each_alone(
    noise: Noise, asked: list[tuple[int, int]]
) -> None:
    lines, seeds = Lines(list(range(1, 60))), [1, 2**63, 3]
    together = Noisy(cast(Any, lines), np.full(3, 1000), np.array(seeds, np.uint64), noise, MASK)
    directions, rows = np.array(asked).T
    src, tgt = map(lists, together.tokens(directions, rows))
    alone = [OfOne(lines, noise, seeds[d]).tokens(np.array([row])) for d, row in asked]
    assert src == [lists(one)[0] for one, _ in alone]
    assert tgt == [lists(other)[0] for _, other in alone]


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 1), rows)
def test_mass_masks_one_stretch_and_asks_for_it(ratio: float, rows: list[int]) -> None:
    lines = plain(rows)
    src, tgt = noisy(Mass(ratio=ratio)).tokens(np.array(rows))
    for one, other, line in zip(lists(src), lists(tgt), lists(lines), strict=True):
        assert len(other) == min(len(line), max(1, round(len(line) * ratio)))
        first = one.index(MASK)
        end = first + len(other)
        assert one == line[:first] + [MASK] * len(other) + line[end:]
        assert other == line[first:end]


@settings(max_examples=40, deadline=None)
@given(st.builds(Infill, ratio=st.floats(0.01, 0.99), mean=st.floats(1, 20)), rows)
def test_infilling_masks_so_many_pieces_in_spans(noise: Infill, rows: list[int]) -> None:
    lines = plain(rows)
    src, tgt = noisy(noise).tokens(np.array(rows))
    assert lists(tgt) == lists(lines)
    for one, line in zip(lists(src), lists(lines), strict=True):
        left = [piece for piece in one if piece != MASK]
        assert left == sorted(set(left) & set(line))  # what stays, stays in its order
        assert len(line) - len(left) == min(len(line) - 1, round(len(line) * noise.ratio))
        assert [MASK, MASK] not in [one[i : i + 2] for i in range(len(one))]
        gaps = sum(b - a > 1 for a, b in zip([99, *left], [*left, 100 + len(line)], strict=True))
        assert one.count(MASK) == gaps


def test_spans_have_the_wanted_length() -> None:
    """1 + Poisson(2.5), of lines so long that the cut of the last span hardly shows."""
    found = noises._drawn(Infill(ratio=0.5), np.full(200, 4000), np.arange(200, dtype=np.uint64))[1]
    assert found.mean() == pytest.approx(3.5, rel=0.02)
    assert found.var() == pytest.approx(2.5, rel=0.04)
    assert (found == 1).mean() == pytest.approx(np.exp(-2.5), rel=0.1)


def test_spans_lie_everywhere() -> None:
    rows = np.arange(20_000) * 1000  # the same line in 20,000 epochs
    for noise in (Mass(ratio=0.1), Infill(ratio=0.2, mean=2)):
        masked = np.zeros(20)
        src, _ = noisy(noise, [20]).tokens(rows)
        for one in lists(src):
            masked[[p - 100 for p in set(range(100, 120)) - set(one)]] += 1
        assert masked.min() > 0.4 * masked.max()  # the ends of a line are in fewer stretches
        assert masked[3:17].min() > 0.8 * masked.max()


def test_each_epoch_and_seed_has_its_own_noise() -> None:
    for noise in (Mass(), Infill()):
        one, other = (
            lists(noisy(noise, [50]).tokens(np.arange(100) + epoch * 1000)[0]) for epoch in (0, 1)
        )
        reseeded = lists(noisy(noise, [50], seed=2).tokens(np.arange(100))[0])
        for found in (other, reseeded):
            assert sum(a == b for a, b in zip(one, found, strict=True)) < 15


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_lines(length: int) -> None:
    src, tgt = map(lists, noisy(Infill(), [length]).tokens(np.arange(50)))
    assert all(set(one) - {MASK} for one in src)  # something of a line always stays
    assert all(len(one) == length for one in tgt)
    src, tgt = map(lists, noisy(Mass(), [length]).tokens(np.arange(50)))
    assert all(MASK in one and other for one, other in zip(src, tgt, strict=True))


def test_the_target_side_is_the_line() -> None:
    _, tgt = OfOne(FakeMany([3], [1000], 20), Infill(), 1).tokens(np.array([5, 1005]))
    assert [set(one) for one in lists(tgt)] == [{1005}, {1005}]
