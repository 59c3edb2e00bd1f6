import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.core.config import ConfigError
from m4nmt.data.stream.blocks import CYCLE, PhasedQuotas, Quotas

DRIFT = 6  # examples; a van der Corput prefix strays by less than log2(65536) / 3 + 1


def quotas_of(weights: list[float], examples: int) -> tuple[Any, Quotas]:
    shares = np.array(weights) / np.sum(weights)
    return shares, Quotas(shares, examples)


weights_of_directions = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-9, 1), st.integers(1, 5).map(float)),
    min_size=1,
    max_size=40,
).filter(lambda weights: sum(weights) > 0)


@settings(max_examples=60, deadline=None)
@given(weights_of_directions, st.integers(1, 10_000), st.integers(0, 3 * CYCLE))
def test_every_block_is_full(weights: list[float], examples: int, block: int) -> None:
    shares, quotas = quotas_of(weights, examples)
    counts = quotas.counts(block)
    assert counts.sum() == examples
    assert counts.min() >= 0
    assert (counts[shares == 0] == 0).all()


@settings(max_examples=40, deadline=None)
@given(weights_of_directions, st.integers(1, 5000), st.integers(0, 2 * CYCLE))
def test_before_is_the_sum_of_what_came(weights: list[float], examples: int, start: int) -> None:
    _, quotas = quotas_of(weights, examples)
    sums = quotas.before(start)
    for block in range(start, start + 20):
        np.testing.assert_array_equal(quotas.before(block), sums)
        sums = sums + quotas.counts(block)
    np.testing.assert_array_equal(quotas.before(0), 0)


@settings(max_examples=60, deadline=None)
@given(weights_of_directions, st.integers(1, 10_000), st.integers(0, 10 * CYCLE))
def test_no_direction_drifts(weights: list[float], examples: int, block: int) -> None:
    shares, quotas = quotas_of(weights, examples)
    cycles = block // CYCLE + 1
    strayed = np.abs(quotas.before(block) - shares * examples * block)
    assert strayed.max() <= DRIFT + cycles  # a cycle is rounded to whole examples


def test_a_whole_cycle_is_exact() -> None:
    _, quotas = quotas_of([3, 1, 1, 0.5, 1e-7], 100)
    total = sum(quotas.counts(block) for block in range(CYCLE))
    np.testing.assert_array_equal(total, quotas.cycle_D)
    wanted = np.array([3, 1, 1, 0.5, 1e-7]) / 5.5000001 * 100 * CYCLE
    assert np.abs(total - wanted).max() < 1
    assert quotas.cycle_D.sum() == 100 * CYCLE


def test_a_rare_direction_is_spread_not_clumped() -> None:
    """One example in 50 blocks: never two close together."""
    _, quotas = quotas_of([4999, 1], 100)
    hits = [block for block in range(5000) if quotas.counts(block)[1]]
    assert 95 <= len(hits) <= 105
    gaps = np.diff(hits)
    assert 16 <= gaps.min() <= gaps.max() <= 130


def test_asking_in_any_order_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    shares, quotas = quotas_of(list(rng.pareto(1, 50) + 0.01), 512)
    wanted = rng.permutation(200)
    shuffled = {block: quotas.counts(block) for block in wanted}
    fresh = Quotas(shares, 512)
    for block in range(200):
        np.testing.assert_array_equal(shuffled[block], fresh.counts(block))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 400), min_size=0, max_size=4),
    st.lists(weights_of_directions, min_size=5, max_size=5),
    st.integers(0, 2000),
)
def test_phases_add_up(lengths: list[int], weights: list[list[float]], block: int) -> None:
    size = min(map(len, weights))
    made = [quotas_of([*w[: size - 1], 1.0], 60)[1] for w in weights[: len(lengths) + 1]]
    starts = [0, *np.cumsum(lengths).tolist()]
    phased = PhasedQuotas(starts, made)
    expected = 0
    for start, end, quotas in zip(starts, [*starts[1:], 10**9], made, strict=True):
        expected = expected + quotas.before(max(0, min(block, end) - start))
    np.testing.assert_array_equal(phased.before(block), expected)
    np.testing.assert_array_equal(
        phased.before(block) + phased.counts(block), phased.before(block + 1)
    )


@pytest.mark.parametrize("starts", [[1, 5], [0, 5, 5], [0, 7, 3]])
def test_phases_must_rise(starts: list[int]) -> None:
    _, quotas = quotas_of([1, 1], 10)
    with pytest.raises(ConfigError, match="each later than the one before"):
        PhasedQuotas(starts, [quotas] * len(starts))


def test_a_block_needs_examples() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        quotas_of([1], 0)


def test_the_scale_of_m4() -> None:
    """25 billion examples over 200 directions, and 15,500 directions: exact, and quick anywhere."""
    sizes = np.geomspace(35e3, 2e9, 200)
    sizes = sizes * (25e9 / sizes.sum())
    for weights in (sizes, np.linspace(1, 1000, 15_500)):
        _, quotas = quotas_of(list(weights), 32_768)
        for block in (0, 1, 12_345, 10**7):
            assert quotas.counts(block).sum() == 32_768
            assert quotas.before(block).sum() == 32_768 * block
        start = time.perf_counter()
        for block in range(10**6, 10**6 + 20):
            quotas.counts(block)
            quotas.before(block)
        assert (time.perf_counter() - start) / 20 < 0.05
