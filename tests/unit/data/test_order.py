from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.core.seeds import seed_for
from m4nmt.data.stream.order import examples_at

keys = st.integers(0, 2**63 - 1)


def draw(start: int, count: int, size: int, key: int) -> list[int]:
    positions = np.arange(start, start + count)
    sizes, many = np.full(count, size), np.full(count, key, np.uint64)
    return examples_at(positions, sizes, many).tolist()  # type: ignore[no-any-return]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 50), keys)
def test_every_epoch_has_each_example_once(size: int, epoch: int, key: int) -> None:
    assert sorted(draw(epoch * size, size, size, key)) == list(range(size))


@settings(max_examples=50)
@given(st.integers(1, 5 * 10**9), st.integers(0, 10**15), keys)
def test_positions_do_not_depend_on_what_is_asked_with_them(
    size: int, start: int, key: int
) -> None:
    together = draw(start, 40, size, key)
    assert together == [draw(start + i, 1, size, key)[0] for i in range(40)]
    assert all(0 <= example < size for example in together)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 10**10), st.integers(0, 10**12), keys), min_size=1))
def test_streams_of_many_sizes_at_once(streams: list[tuple[int, int, int]]) -> None:
    sizes, starts, many = (np.array(column) for column in zip(*streams, strict=True))
    mixed = examples_at(starts, sizes, many.astype(np.uint64)).tolist()
    assert mixed == [draw(start, 1, size, key)[0] for size, start, key in streams]


def test_epochs_and_keys_differ() -> None:
    first, second = draw(0, 1000, 1000, 5), draw(1000, 1000, 1000, 5)
    other = draw(0, 1000, 1000, 6)
    for one, two in ((first, second), (first, other), (second, other), (first, list(range(1000)))):
        same = sum(a == b for a, b in zip(one, two, strict=True))
        assert same < 15  # one is expected by chance


def test_all_orders_of_a_small_stream_come_up_alike() -> None:
    orders = Counter(tuple(draw(4 * epoch, 4, 4, seed_for("x"))) for epoch in range(4800))
    assert len(orders) == 24
    assert 140 < min(orders.values()) <= max(orders.values()) < 260  # 200 expected, sigma 14


@pytest.mark.parametrize("size", [5, 10, 1000])
def test_each_example_is_anywhere(size: int) -> None:
    epochs = 40_000 // size
    drawn = np.array(draw(0, epochs * size, size, 77)).reshape(epochs, size)
    where = np.argsort(drawn, axis=1)[:, :5]
    seen, _ = np.histogram(where, bins=5, range=(0, size))
    expected = epochs
    chi_square = ((seen - expected) ** 2 / expected).sum()
    assert chi_square < 25  # 4 degrees of freedom


def test_a_window_of_a_huge_stream_looks_random() -> None:
    size = 2_100_000_000
    drawn = np.array(draw(10**9, 50_000, size, 3), float)
    assert abs(drawn.mean() / size - 0.5) < 0.01
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.02
    steps = np.abs(np.diff(drawn)) / size
    assert abs(steps.mean() - 1 / 3) < 0.01


def test_impossible_streams_are_refused() -> None:
    for start, size in ((0, 0), (-1, 5)):
        with pytest.raises(ValueError, match="at least one example"):
            draw(start, 2, size, 1)
    assert draw(0, 0, 5, 1) == []
