"""The guard: what it refuses, what it forgets, what it keeps."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.train.guard import STRETCH, Guard, deviations
from m4nmt.train.settings import GuardConfig

CLEAN = 20_000


def losses(count: int, seed: int = 0) -> list[float]:
    """A falling loss with heavy-tailed noise (Student t, 5 degrees of freedom)."""
    noise = np.random.default_rng(seed).standard_t(5, count) * 0.05
    return (4 * np.exp(-np.arange(count) / 2000) + 2 + noise).tolist()


def norms(count: int) -> list[float]:
    return np.exp(np.random.default_rng(1).standard_t(5, count) * 0.1).tolist()


def warm(guard: Guard, count: int = 200) -> None:
    for loss, norm in zip(losses(count), norms(count), strict=True):
        guard.judge(loss, norm, True)


def test_few_of_20_000_clean_steps_are_refused_and_none_is_trouble() -> None:
    """At most 10 in 10,000 (see CLEAN)."""
    guard, refused = Guard(GuardConfig()), 0
    for loss, norm in zip(losses(CLEAN), norms(CLEAN), strict=True):
        refused += not guard.judge(loss, norm, True).accept
        assert guard.trouble is None
        assert not guard.overdrawn
    assert refused <= 20


@pytest.mark.parametrize("what", ["loss", "norm"])
def test_a_spike_is_refused_at_its_first_step(what: str) -> None:
    guard = Guard(GuardConfig())
    warm(guard)
    loss, norm = (9.0, 1.0) if what == "loss" else (5.8, 1000.0)
    verdict = guard.judge(loss, norm, True)
    assert not verdict.accept
    assert what in verdict.reason
    assert guard.judge(5.8, 1.0, True).accept


def test_a_plateau_never_becomes_normal() -> None:
    guard = Guard(GuardConfig())
    warm(guard)
    assert not any(guard.judge(9.0, 1.0, True).accept for _ in range(500))
    assert guard.judge(5.8, 1.0, True).accept


@pytest.mark.parametrize("sigma", [0.0, 8.0])
@pytest.mark.parametrize(
    ("loss", "norm", "finite"),
    [(math.nan, 1.0, True), (1.0, math.inf, True), (1.0, math.nan, True), (1.0, 1.0, False)],
)
def test_what_is_not_finite_is_refused_always_and_not_remembered(
    sigma: float, loss: float, norm: float, finite: bool
) -> None:
    guard = Guard(GuardConfig(sigma=sigma))
    before = guard.state()
    assert not guard.judge(loss, norm, finite).accept
    told = {"refused_in_a_row": 1, "judged": 1, "refusals": [1]}
    assert guard.state() == before | told


def test_falls_are_never_refused() -> None:
    guard = Guard(GuardConfig())
    warm(guard)
    assert guard.judge(0.01, 1e-6, True).accept


def test_nothing_is_refused_before_it_is_armed_or_when_off() -> None:
    early, off = Guard(GuardConfig(armed=64)), Guard(GuardConfig(sigma=0))
    warm(early, 63)
    warm(off)
    assert early.judge(1e6, 1e6, True).accept
    assert off.judge(1e6, 1e6, True).accept


def test_some_refusals_in_a_row_are_trouble_since_the_first() -> None:
    guard = Guard(GuardConfig(patience=3))
    for accept in (False, False, True, False, False):
        guard.judge(1.0 if accept else math.nan, 1.0, True)
        assert guard.trouble is None
    guard.judge(math.nan, 1.0, True)
    assert guard.trouble is not None
    assert guard.trouble.age == 3


def rising(guard: Guard, by: float, steps: int) -> int:
    """Let the loss rise evenly, and stay; after how many steps there is trouble (0: none)."""
    level = losses(2000)[-1]
    for step in range(1, 400):
        guard.judge(level + by * min(1.0, step / steps), 1.0, True)
        if guard.trouble is not None:
            return step
    return 0


def test_a_rise_that_no_step_shows_is_trouble_since_it_began() -> None:
    guard = Guard(GuardConfig())
    warm(guard, 2000)
    found = rising(guard, 2.0, 300)
    assert 50 < found < 300
    assert guard.trouble is not None
    assert guard.refused_in_a_row == 0
    assert found - 30 <= guard.trouble.age <= found + 30  # means are late, noise may be early


def test_a_small_rise_or_the_guard_off_is_no_trouble() -> None:
    one, off, none = (Guard(GuardConfig(**c)) for c in ({}, {"sigma": 0.0}, {"rise": 0.0}))
    for guard, by in ((one, 0.4), (off, 2.0), (none, 2.0)):
        warm(guard, 2000)
        assert not rising(guard, by, 300)


def test_a_level_that_came_down_again_is_no_trouble() -> None:
    """Far above the slow mean, but not rising: what was to be done about it is done."""
    guard = Guard(GuardConfig(sigma=1e6, rise=0.5))
    warm(guard)
    guard._fast.total, guard._rising = guard._fast.weight * 99, True
    assert guard.trouble is not None
    guard.judge(5.8, 1.0, True)
    assert guard.trouble is None


def test_refusals_that_are_too_many_together_are_counted_over_a_stretch() -> None:
    guard = Guard(GuardConfig(refusals=5))
    for step in range(60):
        guard.judge(math.nan if step % 10 == 5 else 5.0, 1.0, True)
        assert bool(guard.overdrawn) == (step >= 55)
    other = Guard(GuardConfig(refusals=5))
    for step in range(STRETCH):
        other.judge(math.nan if step % 2000 == 0 else 5.0, 1.0, True)
    for _ in range(2 * STRETCH):
        assert not other.overdrawn
        other.judge(5.0, 1.0, True)
    assert other.state()["refusals"] == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=40))
def test_state_survives_json_exactly(values: list[float]) -> None:
    one, other = (Guard(GuardConfig(window=20, armed=10)) for _ in range(2))
    for value in values:
        one.judge(value, value, True)
    other.load(json.loads(json.dumps(one.state())))
    assert other.state() == one.state()
    assert other.judge(7.3, 1.1, True) == one.judge(7.3, 1.1, True)


def test_deviations_of_a_normal_sample_are_sigmas() -> None:
    values = np.random.default_rng(0).normal(3, 2, 20_000).tolist()
    assert deviations(3 + 2 * 5, values, 1e-3) == pytest.approx(5, rel=0.03)
