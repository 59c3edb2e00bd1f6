import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.core.config import ConfigError
from m4nmt.data.settings import Temperature, UniMax, Weights
from m4nmt.data.stream.mixture import shares, unimax
from m4nmt.data.types import Direction

DIRECTIONS = [
    Direction("eng_Latn", "deu_Latn"),
    Direction("eng_Latn", "swh_Latn"),
    Direction("deu_Latn", "eng_Latn"),
    Direction("swh_Latn", "eng_Latn"),
]
SIZES = np.array([8000, 1000, 8000, 0])
sizes_of_directions = st.lists(st.integers(0, 2 * 10**9), min_size=1, max_size=30).filter(any)


def test_temperature_1_keeps_the_sizes() -> None:
    found = shares(Temperature(T=1), DIRECTIONS, SIZES, 0)
    np.testing.assert_allclose(found, SIZES / 17000)


def test_temperature_by_hand() -> None:
    found = shares(Temperature(T=3), DIRECTIONS, SIZES, 0)  # cube roots: 20, 10, 20
    np.testing.assert_allclose(found, [0.4, 0.2, 0.4, 0.0])


def test_high_temperature_is_even_over_what_exists() -> None:
    found = shares(Temperature(T=1e9), DIRECTIONS, SIZES, 0)
    np.testing.assert_allclose(found, [1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-6)


def test_unimax_by_hand() -> None:
    # 40 examples for three: an even 13.3 each, but 2 epochs of 3 are only 6; 17 each are left.
    used = unimax(np.array([100.0, 3.0, 50.0, 0.0]), 2.0, 40.0)
    np.testing.assert_allclose(used, [17, 6, 17, 0])


def test_unimax_as_published() -> None:
    """Algorithm 1 of Chung et al. 2023, written as it stands there."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        sizes, epochs = rng.pareto(1, 12) * 100 + 1, float(rng.uniform(0.5, 8))
        budget = float(rng.uniform(1, sizes.sum() * 6))
        expected, left = {}, budget
        for place, index in enumerate(sorted(range(12), key=lambda i: sizes[i])):
            per_language = left / (12 - place)
            if per_language > sizes[index] * epochs:
                expected[index] = sizes[index] * epochs
            else:
                expected[index] = per_language
            left -= expected[index]
        found = unimax(sizes, epochs, budget)
        np.testing.assert_allclose(found, [expected[i] for i in range(12)])


@settings(max_examples=60)
@given(sizes_of_directions, st.floats(0.1, 50), st.floats(1, 1e12))
def test_unimax_keeps_its_cap_and_its_budget(
    sizes: list[int], epochs: float, budget: float
) -> None:
    sizes_D = np.array(sizes, float)
    used = unimax(sizes_D, epochs, budget)
    assert (used <= sizes_D * epochs * (1 + 1e-9)).all()
    assert used.sum() <= budget * (1 + 1e-9)
    full = used < sizes_D * epochs * (1 - 1e-9)
    if full.any():  # whoever is not at the cap has the same, and no one has more
        np.testing.assert_allclose(used[full], used.max(), rtol=1e-6)
        np.testing.assert_allclose(used.sum(), budget, rtol=1e-6)


@settings(max_examples=60)
@given(sizes_of_directions, st.floats(0.5, 100))
def test_shares_sum_to_one_and_follow_size(sizes: list[int], T: float) -> None:
    directions = [Direction(f"a{i:02d}_Latn", "eng_Latn") for i in range(len(sizes))]
    for mixture in (Temperature(T=T), UniMax(max_epochs=T)):
        found = shares(mixture, directions, np.array(sizes), 1e6)
        assert abs(found.sum() - 1) < 1e-9
        order = np.argsort(sizes, kind="stable")
        assert (np.diff(found[order]) >= -1e-12).all()
        assert (found[np.array(sizes) == 0] == 0).all()


def test_weights_take_the_first_match() -> None:
    mixture = Weights(weights={"eng_Latn-swh*": 3.0, "eng_Latn-*": 1.0, "swh_Latn-*": 9.0})
    found = shares(mixture, DIRECTIONS, SIZES, 0)
    np.testing.assert_allclose(found, [0.25, 0.75, 0, 0])


def test_only_restricts() -> None:
    found = shares(Temperature(T=1), DIRECTIONS, SIZES, 0, only=("*-deu_Latn", "*-swh_Latn"))
    np.testing.assert_allclose(found, [8 / 9, 1 / 9, 0, 0])


@pytest.mark.parametrize(
    ("mixture", "only", "message"),
    [
        (Temperature(T=0), (), "T: 0 must be above 0"),
        (Temperature(T=float("nan")), (), "must be above 0"),
        (UniMax(max_epochs=0), (), "max_epochs"),
        (UniMax(), (), "number of steps"),
        (Weights(weights={}), (), "one or more patterns"),
        (Weights(weights={"*": -1.0}), (), ">= 0"),
        (Weights(weights={"*": float("nan")}), (), ">= 0"),
        (Weights(weights={"eng_Latn-fra*": 1.0}), (), "'eng_Latn-fra.*' matches no direction"),
        (Weights(weights={"swh_Latn-*": 1.0}), (), "all weights"),
        (Temperature(), ("swh_Latn-*",), "no direction with examples"),
        (Temperature(), ("fra_Latn-*",), "matches no direction"),
    ],
)
def test_impossible_mixtures_are_named(
    mixture: Temperature | UniMax | Weights, only: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        shares(mixture, DIRECTIONS, SIZES, 0, only)
