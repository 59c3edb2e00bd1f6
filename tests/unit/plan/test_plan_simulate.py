"""The simulator against closed forms, and a slow twin that looks for the next action everywhere."""

import random
import time
from typing import Any

import pytest

from m4nmt.plan.orders import Action, orders
from m4nmt.plan.simulate import Timeline, Times, play, simulate

ALL = [("gpipe", 1), ("1f1b", 1), ("interleaved", 2), ("bfs", 2)]


def slowly(lines: list[list[Action]], times: Times) -> float:
    """The makespan, from the rules alone: repeat until nothing changes."""
    stages, devices = len(times.forward), len(lines)
    ends: dict[Action, float] = {}
    while len(ends) < sum(map(len, lines)):
        for line in lines:
            before = 0.0
            for action in line:
                stage, forward, m = action
                if forward:
                    need = Action(stage - 1, True, m) if stage else None
                else:
                    need = Action(stage + 1, False, m) if stage + 1 < stages else None
                    need = need or Action(stage, True, m)
                if need is not None and need not in ends:
                    break
                begin = before
                if need is not None:
                    moved = need.stage % devices != stage % devices
                    cut = min(need.stage, stage)
                    begin = max(before, ends[need] + (times.transfer[cut] if moved else 0.0))
                cost = times.forward if forward else times.backward
                before = ends[action] = begin + cost[stage]
    return max(ends.values())


@pytest.mark.parametrize(("devices", "pieces"), [(1, 4), (2, 1), (4, 4), (4, 16), (8, 32)])
@pytest.mark.parametrize("name", ["gpipe", "1f1b"])
def test_bubble_is_gpipes(name: Any, devices: int, pieces: int) -> None:
    """(K-1) / (M+K-1) where stages are equal (arXiv:1811.06965, section 2.3)."""
    if name == "1f1b" and pieces < devices:
        return
    line = simulate(name, devices, 1, pieces, Times.even(devices))
    assert line.bubble == pytest.approx((devices - 1) / (pieces + devices - 1))
    assert line.makespan == pytest.approx(3 * (pieces + devices - 1))


@pytest.mark.parametrize(("name", "virtual"), [("interleaved", 2), ("interleaved", 4), ("bfs", 4)])
def test_virtual_stages_divide_the_bubble(name: Any, virtual: int) -> None:
    """(K-1) / (V M) of the ideal time (arXiv:2104.04473, section 2.2): V times less idle time."""
    devices, pieces = 4, 8
    stages = devices * virtual
    line = simulate(name, devices, virtual, pieces, Times.even(stages, 1 / virtual, 2 / virtual))
    assert line.makespan == pytest.approx(3 * pieces + 3 * (devices - 1) / virtual)


def test_one_device_is_never_idle() -> None:
    line = simulate("1f1b", 1, 1, 5, Times.even(1))
    assert line.makespan == 15
    assert line.bubble == 0
    assert line.alive == [1]


@pytest.mark.parametrize(("name", "virtual"), ALL)
def test_any_times_as_the_rules_say(name: Any, virtual: int) -> None:
    draw = random.Random(7)
    for devices in (1, 2, 3):
        stages, pieces = devices * virtual, 2 * devices
        times = Times(
            [draw.uniform(0.5, 2) for _ in range(stages)],
            [draw.uniform(0.5, 2) for _ in range(stages)],
            [draw.uniform(0, 1) for _ in range(stages - 1)],
        )
        line = simulate(name, devices, virtual, pieces, times)
        assert line.makespan == pytest.approx(slowly(line.orders, times))


@pytest.mark.parametrize(("name", "virtual"), ALL)
def test_nothing_overlaps_and_nothing_comes_too_early(name: Any, virtual: int) -> None:
    devices, pieces = 4, 8
    stages = devices * virtual
    times = Times.even(stages)._replace(transfer=[0.25] * (stages - 1))
    line = simulate(name, devices, virtual, pieces, times)
    ends = {(e.stage, e.forward, e.microbatch): e.end for e in line.events()}
    for device in range(devices):
        clock = 0.0
        for event in line.events([device]):
            assert event.start >= clock
            assert event.stage % devices == device
            clock = event.end
            if event.forward and event.stage:
                assert event.start >= ends[event.stage - 1, True, event.microbatch] + 0.25
            if not event.forward and event.stage + 1 < stages:
                assert event.start >= ends[event.stage + 1, False, event.microbatch] + 0.25


def test_transfers_delay() -> None:
    quick = simulate("gpipe", 4, 1, 4, Times.even(4))
    slow = simulate("gpipe", 4, 1, 4, Times.even(4)._replace(transfer=[1.0] * 3))
    assert slow.makespan == quick.makespan + 2 * 3 * 1.0
    assert slow.busy == quick.busy


def test_a_slow_stage_sets_the_pace() -> None:
    times = Times([1, 1, 3, 1], [2, 2, 6, 2])
    line = simulate("1f1b", 4, 1, 100, times)
    assert line.makespan == pytest.approx(100 * 9 + 3 * 3, rel=0.01)


def test_orders_that_wait_for_each_other_are_refused() -> None:
    lines = orders("1f1b", 2, 1, 2)
    lines[0] = [lines[0][-1], *lines[0][:-1]]
    with pytest.raises(ValueError, match="wait for each other"):
        play(lines, Times.even(2))


def test_times_of_other_stages_are_refused() -> None:
    with pytest.raises(ValueError, match="as many forward"):
        simulate("gpipe", 2, 1, 2, Times.even(3))
    with pytest.raises(ValueError, match="transfer"):
        simulate("gpipe", 2, 1, 2, Times.even(2)._replace(transfer=[1.0, 1.0]))


def test_thousands_of_devices_take_seconds() -> None:
    start = time.perf_counter()
    line: Timeline = simulate("gpipe", 4096, 1, 32, Times.even(4096))
    assert line.bubble == pytest.approx(4095 / (32 + 4095))
    assert time.perf_counter() - start < 30
