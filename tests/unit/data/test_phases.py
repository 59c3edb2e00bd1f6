from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fake_store import FakeStore, data_config
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.core.config import ConfigError
from m4nmt.data.settings import (
    ByLoss,
    Phase,
    Phases,
    Scaled,
    Temperature,
    Timed,
    UniMax,
    Weights,
)
from m4nmt.data.stream.phases import Decision, stages
from m4nmt.data.stream.plan import Plan

STORE = FakeStore([50, 1000, 100_000, 7])
TIMED = Timed(introduced={"s00001*": 300, "s00003*": 300}, retired={"s00002*": 700})


def batches(plan: Plan, blocks: int) -> list[set[int]]:
    """The directions of every batch."""
    found = []
    for number in range(blocks):
        block = plan.block(number)
        found += [set(block.direction_N[a:b].tolist()) for a, b in block.places.tolist()]
    return found


def test_directions_come_and_go_by_step() -> None:
    """To within a block: its batches are shuffled, and all of one mixture."""
    plan = Plan(STORE, data_config(TIMED), run_steps=1000)
    made = batches(plan, plan.run_blocks)
    edge = len(plan.block(0).shapes)
    assert edge < 40
    first = next(step for step, found in enumerate(made) if found & {1, 3})
    last = max(step for step, found in enumerate(made) if 2 in found)
    assert abs(first - 300) <= edge
    assert abs(last - 700) <= edge
    assert abs(len(made) - 1000) < 50
    assert all(0 in set().union(*made[at : at + edge]) for at in range(0, 900, edge))


def test_the_length_of_the_run_does_not_change_what_comes_before() -> None:
    """A run can be given more steps: its stream is the same."""
    plans = [Plan(STORE, data_config(TIMED), run_steps=n) for n in (400, 1000, None)]
    for number in range(plans[0].run_blocks):
        one, *others = (plan.block(number) for plan in plans)
        assert all(np.array_equal(one.example_N, other.example_N) for other in others)
    assert plans[2].quotas.starts == plans[1].quotas.starts


def test_many_changes_do_not_drift() -> None:
    steps = [40 + 61 * i for i in range(30)]
    store = FakeStore([1000] * 31)
    timed = Timed(introduced={f"s{i + 1:05d}*": step for i, step in enumerate(steps)})
    plan = Plan(store, data_config(timed, examples=300), run_steps=2000)
    made = batches(plan, plan.run_blocks)
    firsts = [next(s for s, found in enumerate(made) if i + 1 in found) for i in range(30)]
    assert max(abs(a - b) for a, b in zip(firsts, steps, strict=True)) <= 2 * 20


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (Timed(introduced={"s00001*": 9}, retired={"s00001*": 9}), "retired at step 9, but"),
        (Timed(retired={"s00001*": -1}), "before step 0"),
        (Timed(introduced={"fra*": 3}), "'fra.*' matches no direction"),
        (Timed(retired={"*": 3}), "no direction with examples is left"),
        (Timed(mixture=UniMax()), "number of steps"),
        (Phases(phases=()), "number of steps"),
        (Scaled(factors={}), "one or more patterns with factors >= 0"),
        (Scaled(factors={"*": -1}), "one or more patterns with factors >= 0"),
        (Scaled(factors={"*": 0}), "all weights"),
    ],
)
def test_what_makes_no_sense_is_said(mixture: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Plan(STORE, data_config(mixture))


def test_phases_without_phases() -> None:
    with pytest.raises(ConfigError, match="starts must rise from 0"):
        stages(Phases(phases=()), 10)


def share(plan: Plan, first: int = 0, blocks: int = 200) -> Any:
    drawn = plan.quotas.before(first + blocks) - plan.quotas.before(first)
    return drawn / drawn.sum()


def test_scaled_multiplies_the_shares_of_another_mixture() -> None:
    base, scaled = (
        share(Plan(STORE, data_config(mixture, examples=8000)))
        for mixture in (Temperature(), Scaled(factors={"re:s0000[12].*": 3, "*": 1}))
    )
    expected = base * [1, 3, 3, 1]
    np.testing.assert_allclose(scaled, expected / expected.sum(), rtol=1e-3)


def test_a_decision_changes_the_stream_from_its_block_on() -> None:
    config = data_config(ByLoss(mixture=Temperature()), examples=8000)
    names = [str(d) for d in STORE.directions]
    plain = Plan(STORE, config)
    changed = Plan(STORE, config, None, [Decision(50, {names[0]: 4.0}), Decision(80, {})])
    for number in (0, 49):
        assert np.array_equal(plain.block(number).example_N, changed.block(number).example_N)
    usual = share(plain)
    expected = usual * [4, 1, 1, 1]
    np.testing.assert_allclose(share(changed, 50, 30), expected / expected.sum(), rtol=2e-3)
    np.testing.assert_allclose(share(changed, 80, 100), usual, rtol=2e-3)


def test_the_last_decision_of_a_block_holds_and_others_are_not_for_every_mixture() -> None:
    name = str(STORE.directions[0])
    some = [Decision(5, {name: 2.0}), Decision(9, {name: 3.0}), Decision(5, {name: 0.5})]
    one, other = (
        Plan(STORE, data_config(ByLoss()), None, made) for made in (some, [some[2], some[1]])
    )
    assert all(np.array_equal(one.quotas.counts(b), other.quotas.counts(b)) for b in range(20))
    fixed = Plan(STORE, data_config(Temperature()), None, some)
    assert fixed.quotas.starts == [0]


mixtures = st.one_of(
    st.builds(Temperature, T=st.floats(0.5, 100)),
    st.builds(UniMax, max_epochs=st.floats(0.5, 8)),
    st.builds(Weights, weights=st.fixed_dictionaries({"re:s0000[02].*": st.floats(0.01, 1)})),
    st.builds(Scaled, factors=st.fixed_dictionaries({"*s00001*": st.floats(0, 9)})),
)
schedules = st.one_of(
    mixtures,
    st.builds(Timed, mixture=mixtures, introduced=st.just({"s00001*": 60})),
    st.builds(ByLoss, mixture=mixtures),
    mixtures.map(
        lambda m: Phases(
            phases=(
                Phase(start=0, mixture=Temperature(T=1), only=("s0000[0-2]*",)),
                Phase(start=0.4, mixture=m),
            )
        )
    ),
)


@settings(max_examples=25, deadline=None)
@given(schedules, st.integers(0, 5), st.integers(1, 400))
def test_each_example_comes_once_an_epoch_whatever_the_mixture(
    mixture: Any, seed: int, examples: int
) -> None:
    """Over all its draws, across phases: the stream of a direction is its epochs one by one."""
    store = FakeStore([50, 300, 2000, 7])
    config = replace(data_config(mixture, examples=examples), seed=seed)
    plan = Plan(store, config, 200, [Decision(3, {str(store.directions[2]): 2.0})])
    drawn: list[list[int]] = [[] for _ in plan.directions]
    for number in range(8):
        block = plan.block(number)
        assert len(block.direction_N) == examples
        counts = np.bincount(block.direction_N, minlength=4)
        np.testing.assert_array_equal(counts, plan.quotas.counts(number))
        for direction in range(4):
            drawn[direction] += block.example_N[block.direction_N == direction].tolist()
    np.testing.assert_array_equal([len(rows) for rows in drawn], plan.quotas.before(8))
    for rows, size in zip(drawn, plan.sizes_D.tolist(), strict=True):
        times = np.bincount(rows, minlength=size)
        assert times.max() - times.min() <= 1
