"""Arrays of id sequences, against lists."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.data.columns.ragged import groups, in_order, indices, joined, sliced
from m4nmt.data.types import Ragged, Slices

sequences = st.lists(st.lists(st.integers(0, 500), max_size=6), max_size=8)


def ragged(lists: list[list[int]]) -> Ragged:
    values = np.array([value for one in lists for value in one], np.int32)
    return Ragged(values, np.cumsum([0, *map(len, lists)]))


def shuffled(lists: list[list[int]], seed: int) -> Slices:
    """The same sequences, in an array in which they stand in another order."""
    order = np.random.default_rng(seed).permutation(len(lists))
    made = sliced(ragged([lists[i] for i in order]))
    back = np.argsort(order)
    return Slices(made.values.astype(np.uint16), made.starts_N[back], made.lengths_N[back])


def listed(given: Slices) -> list[list[int]]:
    pairs = zip(given.starts_N.tolist(), given.lengths_N.tolist(), strict=True)
    return [given.values[start : start + length].tolist() for start, length in pairs]


@given(st.lists(st.integers(0, 5), max_size=30))
def test_groups(keys: list[int]) -> None:
    found = [(key, places.tolist()) for key, places in groups(np.array(keys, np.int64))]
    assert found == [
        (key, [i for i, other in enumerate(keys) if other == key]) for key in sorted(set(keys))
    ]


@given(sequences, st.integers(0, 9))
@settings(deadline=None)
def test_order(lists: list[list[int]], seed: int) -> None:
    found = in_order(shuffled(lists, seed))
    expected = ragged(lists)
    assert found.values.dtype == np.int32
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    assert listed(sliced(found)) == lists


def test_indices() -> None:
    assert indices(np.array([7, 3, 5]), np.array([2, 0, 1])).tolist() == [7, 8, 5]
    none = np.array([], np.int64)
    assert indices(none, none).tolist() == []


@given(sequences, st.integers(1, 3), st.integers(0, 9))
@settings(deadline=None)
def test_joined(lists: list[list[int]], count: int, seed: int) -> None:
    part = np.random.default_rng(seed).integers(0, count, len(lists))
    where = [np.flatnonzero(part == i) for i in range(count)]
    parts = [shuffled([lists[i] for i in here], seed) for here in where]
    assert listed(joined(parts, where)) == lists
