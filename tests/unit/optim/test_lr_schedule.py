"""Schedules at steps where their value is known."""

import math

import pytest

from m4nmt.optim import schedule
from m4nmt.optim.settings import (
    Constant,
    Cosine,
    InverseSqrt,
    Linear,
    Schedule,
    WarmupStableDecay,
)

STEPS = 1000
EVERY: list[Schedule] = [
    Constant(),
    Constant(warmup=10),
    InverseSqrt(warmup=10),
    Linear(warmup=10),
    Cosine(warmup=10, floor=0.1),
    WarmupStableDecay(warmup=10),
]


@pytest.mark.parametrize(("dim", "peak"), [(512, 6.63e-4), (1024, 4.69e-4)])
def test_the_papers_pair_3_40k(dim: int, peak: float) -> None:
    lr = schedule.build(InverseSqrt(scale=3.0, warmup=40_000), 123.0, dim, STEPS)
    assert lr(39_999) == pytest.approx(peak, rel=1e-3)
    assert lr(39_999) == pytest.approx(3.0 / math.sqrt(dim * 40_000), rel=1e-12)
    assert lr(39_998) < lr(39_999) > lr(40_000)
    assert lr(159_999) == pytest.approx(lr(39_999) / 2, rel=1e-12)
    assert lr(0) == pytest.approx(3.0 * dim**-0.5 * 40_000**-1.5, rel=1e-12)


def test_without_the_dimension_the_peak_is_relative() -> None:
    config = InverseSqrt(scale=3.0, warmup=40_000, dim_factor=False)
    assert schedule.build(config, 123.0, 512, STEPS)(39_999) == pytest.approx(1.5e-2, rel=1e-12)


def test_inverse_square_root_with_a_given_peak_ignores_the_width() -> None:
    config = InverseSqrt(warmup=100)
    narrow, wide = (schedule.build(config, 1e-3, dim, STEPS) for dim in (8, 4096))
    assert narrow(99) == pytest.approx(1e-3, rel=1e-12)
    assert narrow(0) == pytest.approx(1e-5, rel=1e-12)
    assert narrow(399) == pytest.approx(5e-4, rel=1e-12)
    assert [narrow(t) for t in range(500)] == [wide(t) for t in range(500)]


def test_constant() -> None:
    lr = schedule.build(Constant(warmup=4), 8.0, 1, STEPS)
    assert [lr(t) for t in (0, 1, 2, 3, 4, 10**6)] == [2.0, 4.0, 6.0, 8.0, 8.0, 8.0]
    assert schedule.build(Constant(), 8.0, 1, STEPS)(0) == 8.0


def test_linear() -> None:
    lr = schedule.build(Linear(warmup=10, floor=0.1), 1.0, 1, 111)
    assert lr(9) == lr(10) == 1.0
    assert lr(60) == pytest.approx(0.55)
    assert lr(110) == pytest.approx(0.1)
    assert lr(111) == lr(10**6) == pytest.approx(0.1)


def test_cosine() -> None:
    lr = schedule.build(Cosine(warmup=10, floor=0.2), 1.0, 1, 111)
    assert lr(10) == 1.0
    assert lr(60) == pytest.approx(0.6)
    assert lr(35) == pytest.approx(0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert lr(110) == lr(10**6) == pytest.approx(0.2)


@pytest.mark.parametrize(("shape", "middle"), [("linear", 0.75), ("sqrt", 0.5)])
def test_warmup_stable_decay(shape: str, middle: float) -> None:
    config = WarmupStableDecay(warmup=10, decay=0.4, shape=shape)  # type: ignore[arg-type]
    lr = schedule.build(config, 1.0, 1, 100)
    assert [lr(0), lr(9), lr(10), lr(59)] == [0.1, 1.0, 1.0, 1.0]
    assert lr(69) == pytest.approx(middle)  # a quarter of the way down
    assert lr(60) < 1.0
    assert lr(99) == lr(10**6) == 0.0


@pytest.mark.parametrize("config", EVERY, ids=str)
def test_the_rate_is_positive_until_the_end_and_never_above_its_peak(config: Schedule) -> None:
    lr = schedule.build(config, 1e-3, 64, STEPS)
    rates = [lr(t) for t in range(STEPS)]
    assert all(0 < rate <= 1e-3 * (1 + 1e-12) for rate in rates[:-1])
    assert max(rates) == pytest.approx(1e-3)


@pytest.mark.parametrize("config", EVERY, ids=str)
def test_a_run_shorter_than_its_warmup_still_trains(config: Schedule) -> None:
    lr = schedule.build(config, 1e-3, 64, 3)
    assert all(lr(t) > 0 for t in range(2))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Constant, {"warmup": -1}),
        (Linear, {"floor": -0.1}),
        (Cosine, {"floor": 1.5}),
        (WarmupStableDecay, {"decay": 0.0}),
        (InverseSqrt, {"warmup": 0}),
        (InverseSqrt, {"scale": -1.0}),
    ],
)
def test_senseless_options_are_refused(kind: type, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need"):
        kind(**options)
