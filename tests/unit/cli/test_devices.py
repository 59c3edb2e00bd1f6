"""Which devices are left out of a group, and when the group ends for it."""

import signal

import pytest

from m4nmt.cli.devices import Devices
from m4nmt.core.config import ConfigError
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.parallel.watchdog import DEVICE, EXIT

KILLED = -signal.SIGKILL


def after(*lives: dict[int, int], number: int = 4, fewest: int = 1, shard: int = 1) -> list[int]:
    """The group after some lives."""
    devices = Devices(number, fewest, ParallelConfig(shard=shard).layout)
    for failures in lives:
        devices.died(failures)
    return devices.group


@pytest.mark.parametrize("code", [KILLED, -signal.SIGABRT, DEVICE])
def test_one_that_fails_twice_in_a_row_is_left_out(code: int) -> None:
    life = {2: code, 0: EXIT, 1: -signal.SIGTERM}
    assert after(life) == [0, 1, 2, 3]
    assert after(life, life) == [0, 1, 3]
    assert after(life, life, life) == [0, 1, 3]  # another one, whose rank is now 2
    assert after(life, life, life, life) == [0, 1]


@pytest.mark.parametrize(
    "between", [{}, {1: KILLED}, {2: EXIT}, {2: KILLED, 3: KILLED}, {2: 1}, {2: -signal.SIGTERM}]
)
def test_what_may_not_be_the_device_is_forgotten(between: dict[int, int]) -> None:
    assert after({2: KILLED}, between, {2: KILLED}) == [0, 1, 2, 3]


def test_as_many_stay_as_the_recipe_can_use() -> None:
    assert after({3: KILLED}, {3: KILLED}, shard=2) == [0, 1]


def test_too_few_end_the_run_with_what_would_fit() -> None:
    with pytest.raises(ConfigError, match=r"device 0 .* at least 3 .*; start 2.*plan RECIPE"):
        after({0: KILLED}, {0: KILLED}, fewest=3, shard=2)
    with pytest.raises(ConfigError, match=r"at least 2 \(--min-devices\); 1 left"):
        after(*[{0: KILLED}] * 4, number=3, fewest=2)


def test_none_is_left_out_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    assert after({1: KILLED}, {1: KILLED}, {1: KILLED}, fewest=4) == [0, 1, 2, 3]
    assert "device 1 failed twice in a row; with --min-devices 3" in caplog.text


def test_devices_that_vanish_are_left_out() -> None:
    devices = Devices(4, 2, ParallelConfig().layout)
    devices.seen(4)
    assert devices.whole
    devices.seen(3)
    assert devices.group == [0, 1, 2]
    assert not devices.whole
    with pytest.raises(ConfigError, match="only 1 of 4 devices are there"):
        devices.seen(1)
