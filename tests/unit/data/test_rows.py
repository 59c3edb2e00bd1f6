"""Bitmaps, rank and select: the rows of a pair without a list of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.data import rows
from m4nmt.data.rows import Directory, PairRows


def made(total: int, density: float, drop: float, seed: int) -> tuple[PairRows, np.ndarray]:
    """A pair of random columns, and its rows by listing them."""
    draw = np.random.default_rng(seed)
    one, other = (draw.random(total) < density for _ in range(2))
    both = np.flatnonzero(one & other)
    dropped = np.flatnonzero(draw.random(len(both)) < drop)
    kept = np.delete(both, dropped)
    pair = PairRows(
        rows.pack(one),
        rows.pack(other),
        rows.shifts(dropped),
        len(kept),
        ("c", "a", "b"),
        Directory(),
    )
    return pair, kept


@given(
    st.integers(0, 20_000),
    st.sampled_from([0.02, 0.5, 0.99, 1.0]),
    st.sampled_from([0.0, 0.1, 0.9]),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_select_against_listing(total: int, density: float, drop: float, seed: int) -> None:
    pair, kept = made(total, density, drop, seed)
    assert len(pair) == len(kept)
    assert np.array_equal(pair.select(np.arange(len(kept))), kept)
    some = np.random.default_rng(seed).permutation(len(kept))[:50]
    assert np.array_equal(pair.select(some), kept[some])


def test_select_across_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_AT_ONCE", 7)
    pair, kept = made(5000, 0.7, 0.05, 3)
    assert np.array_equal(pair.select(np.arange(len(kept))), kept)


@given(st.lists(st.booleans(), max_size=200))
@settings(max_examples=60, deadline=None)
def test_bitmaps_round_trip(mask: list[bool]) -> None:
    words = rows.pack(np.array(mask, bool))
    assert len(words) == -(-len(mask) // 64)
    assert rows.unpack(words, len(mask)).tolist() == mask


def test_the_directory_stays_within_its_budget() -> None:
    directory = Directory(budget=800)
    made_of = []

    def get(name: str) -> None:
        def make() -> np.ndarray:
            made_of.append(name)
            return np.zeros(50, np.int64)

        directory.get(("c", "a", name), make)

    for name in ["x", "y", "x", "z", "x", "y"]:  # y is the one longest unused when z comes
        get(name)
    assert made_of == ["x", "y", "z", "y"]
