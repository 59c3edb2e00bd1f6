"""Bitmaps, rank and select: the rows of pairs without a list of them."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.data.columns import rows
from m4nmt.data.columns.rows import PairRows, bisect, group_words

COLUMNS = 3
PAIRS = list(combinations_with_replacement(range(COLUMNS), 2))


def made(
    total: int, density: float, drop: float, seed: int, group: int
) -> tuple[PairRows, list[np.ndarray]]:
    """All pairs of random columns, a column with itself too, and their rows by listing them."""
    draw = np.random.default_rng(seed)
    masks = [draw.random(total) < density for _ in range(COLUMNS)]
    words = -(-total // 64)
    kept, shifts = [], []
    for one, other in PAIRS:
        both = np.flatnonzero(masks[one] & masks[other])
        dropped = np.flatnonzero(draw.random(len(both)) < drop)
        kept.append(np.delete(both, dropped))
        shifts.append(rows.shifts(dropped))
    pairs = PairRows(
        np.concatenate([rows.pack(mask) for mask in masks]),
        np.array(PAIRS) * words,
        words,
        np.concatenate(shifts),
        np.cumsum([0, *map(len, shifts)]),
        group,
    )
    return pairs, kept


def asked(kept: list[np.ndarray], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All numbers of all pairs, shuffled: pair, number, row."""
    pair = np.repeat(np.arange(len(kept)), [*map(len, kept)])
    number = np.concatenate([np.arange(len(one)) for one in kept])
    order = np.random.default_rng(seed).permutation(len(pair))
    return pair[order], number[order], np.concatenate(kept)[order]


@given(
    st.integers(0, 20_000),
    st.sampled_from([0.02, 0.5, 0.99, 1.0]),
    st.sampled_from([0.0, 0.1, 0.9]),
    st.integers(0, 99),
    st.sampled_from([8, 16, 64]),
)
@settings(max_examples=60, deadline=None)
def test_select_against_listing(
    total: int, density: float, drop: float, seed: int, group: int
) -> None:
    pairs, kept = made(total, density, drop, seed, group)
    pair, number, row = asked(kept, seed)
    some = slice(0, 40)
    np.testing.assert_array_equal(pairs.select(pair[some], number[some]), row[some])
    np.testing.assert_array_equal(pairs.select(pair, number), row)


def test_select_in_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_AT_ONCE", 7 * 8)
    monkeypatch.setattr(rows, "_COUNTED", 24)
    pairs, kept = made(5000, 0.7, 0.05, 3, 8)
    pair, number, row = asked(kept, 3)
    np.testing.assert_array_equal(pairs.select(pair, number), row)


@given(st.lists(st.lists(st.integers(0, 9), max_size=20), min_size=1), st.integers(-1, 10))
@settings(max_examples=60, deadline=None)
def test_bisect_is_searchsorted_in_each_part(parts: list[list[int]], wanted: int) -> None:
    ends = np.cumsum([*map(len, parts)])
    firsts = ends - [*map(len, parts)]
    values = np.array([value for part in parts for value in sorted(part)], np.uint16)
    found = bisect(values, firsts, ends, np.full(len(parts), wanted))
    expected = [
        first + np.searchsorted(np.sort(part), wanted, side="right")
        for first, part in zip(firsts, parts, strict=True)
    ]
    assert found.tolist() == expected


def test_counts_stay_within_their_budget() -> None:
    """Whatever the size of the corpora: larger groups, not more counts."""
    assert group_words(0) == group_words(1 << 20) == 8
    for pairs, length in ((100, 25 * 10**9 // 100), (500_000, 10**6), (1, 10**12)):
        words = pairs * (length // 64)
        group = group_words(words)
        assert 1 / 2 < words / group / (1 << 24) <= 1 or group == 8
    assert group_words(25 * 10**9 // 64) == 32


@given(st.lists(st.booleans(), max_size=200))
@settings(max_examples=60, deadline=None)
def test_bitmaps_round_trip(mask: list[bool]) -> None:
    words = rows.pack(np.array(mask, bool))
    assert len(words) == -(-len(mask) // 64)
    assert rows.unpack(words, len(mask)).tolist() == mask
