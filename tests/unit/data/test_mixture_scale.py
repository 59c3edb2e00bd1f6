"""The scale of M4: 25 billion examples over 200 directions, 35 thousand to 2 billion each
(Arivazhagan et al. 2019), translated and denoised, in constant memory and constant time a block."""

import time
import tracemalloc

import numpy as np
import pytest
from fake_store import FakeStore, data_config
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from m4nmt.data.settings import Infill, Mass, Temperature, UniMax
from m4nmt.data.stream.order import examples_at
from m4nmt.data.stream.plan import Plan

BLOCK = 8192
LAST = 25_000_000_000 // BLOCK  # blocks in which all of it could be drawn once


def sizes() -> NDArray[np.int64]:
    """200 numbers from 35 thousand to 2 billion, 25 billion in all."""
    place = np.linspace(0, 1, 200)
    low, high = 0.1, 10.0
    for _ in range(60):
        power = (low + high) / 2
        made = 35e3 * (2e9 / 35e3) ** (place**power)
        low, high = (power, high) if made.sum() > 25e9 else (low, power)
    return made.astype(np.int64)


SIZES = sizes()
STORE = FakeStore(SIZES.tolist(), 20, "translate", "translate", "denoise", "mass")
CONFIG = data_config(tasks=(Infill(), Mass()), examples=BLOCK, tokens=4096)


def peak(make: object) -> int:
    """Most bytes that were held at once while something was made."""
    assert callable(make)
    tracemalloc.start()
    try:
        make()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_sizes_are_those_of_m4() -> None:
    assert (SIZES[0], SIZES[-1], len(SIZES)) == (35_000, 2_000_000_000, 200)
    assert SIZES.sum() == pytest.approx(25e9, rel=1e-6)


def test_memory_is_constant() -> None:
    """Of the plan, and of a block wherever it lies."""
    assert peak(lambda: Plan(STORE, CONFIG)) < 4 << 20
    plan = Plan(STORE, CONFIG)
    plan.block(5)
    peaks = [peak(lambda n=n: plan.block(n)) for n in (7, 10**3, LAST, 10**8)]  # type: ignore[misc]
    assert max(peaks) < 1.2 * min(peaks) < 16 << 20


def test_time_is_constant() -> None:
    """Medians over 5 blocks at each of these places, taken in turn."""
    plan = Plan(STORE, CONFIG)
    plan.block(5)
    places = (0, 10**3, LAST, 10**8)
    spent: dict[int, list[float]] = {place: [] for place in places}
    for turn in range(5):
        for place in places:
            start = time.process_time()
            plan.block(place + 1 + turn)
            spent[place].append(time.process_time() - start)
    medians = [float(np.median(found)) for found in spent.values()]
    assert max(medians) < 3 * min(medians)
    assert max(medians) < 2


def test_quotas_are_exact_to_the_last_block() -> None:
    for mixture in (Temperature(T=1), Temperature(T=5), Temperature(T=100), UniMax()):
        plan = Plan(STORE, data_config(mixture, CONFIG.tasks, examples=BLOCK), run_steps=10**6)
        quotas = plan.quotas
        assert quotas.before(LAST).sum() == LAST * BLOCK
        wanted = quotas.phases[0].cycle_D / 65536 * LAST
        assert np.abs(quotas.before(LAST) - wanted).max() < 8
        both = quotas.before(LAST) + quotas.counts(LAST)
        np.testing.assert_array_equal(both, quotas.before(LAST + 1))


def test_at_temperature_1_an_epoch_of_all_is_an_epoch_of_each() -> None:
    plan = Plan(STORE, data_config(Temperature(T=1), CONFIG.tasks, examples=BLOCK))
    epochs = plan.quotas.before(LAST) / SIZES
    np.testing.assert_allclose(epochs, 1, atol=2e-3)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(range(200)), st.integers(0, 2**62), st.integers(0, 3), st.data())
def test_each_example_once_an_epoch(
    direction: int, key: int, epoch: int, data: st.DataObject
) -> None:
    """Any 10,000 places of an epoch are as many examples; of the smallest, all of them."""
    size = int(SIZES[direction])
    count = size if size < 40_000 else 10_000
    first = data.draw(st.integers(0, size - count))
    places = epoch * size + first + np.arange(count)
    keys = np.full(count, key, np.uint64)
    found = examples_at(places, np.full(count, size), keys)
    assert len(np.unique(found)) == count
    assert 0 <= found.min() <= found.max() < size
