"""Times of passes: what tensor parallelism leaves whole, what is done again, what runs beside."""

from typing import Any

import pytest
from model_made import config
from plan_held import run, wider

from m4nmt.parallel.settings import ParallelConfig, Recompute, Selective
from m4nmt.plan.estimate import Plan, plan
from m4nmt.plan.job import Machine

SLOW = Machine(flops=1e9, launch=0.0, bandwidth=1e30)


def planned(machine: Machine, device: Any = "cpu", **parallel: Any) -> Plan:
    made = run(wider(config(n=2, m=2)), ParallelConfig(**parallel))
    return plan(made, machine, device)


def test_efficiency_is_the_share_of_one_device_s_step() -> None:
    assert planned(SLOW).utilisation == pytest.approx(SLOW.efficiency)


def test_tensor_parallelism_divides_products_and_not_what_goes_over_the_stream() -> None:
    one, two = planned(SLOW), planned(SLOW._replace(devices=2), tensor=2)
    assert 0.52 < two.seconds / one.seconds < 0.8


def test_what_is_computed_again_takes_time() -> None:
    kept, some, all_ = (
        planned(SLOW, **rule).seconds
        for rule in ({}, {"remat": Selective()}, {"remat": Recompute()})
    )
    assert kept < some < all_ < 1.34 * kept


@pytest.mark.parametrize("zero", [1, 3])
def test_a_cpu_sends_with_the_cores_that_compute(zero: Any) -> None:
    wire = SLOW._replace(devices=2, bandwidth=1e9)
    gpu, cpu = (planned(wire, kind, shard=2, zero=zero) for kind in ("cuda", "cpu"))
    # a GPU gathers beside its products; gloo scatters a sum by summing everything everywhere
    assert cpu.timeline.makespan >= gpu.timeline.makespan
    assert (cpu.timeline.makespan > gpu.timeline.makespan) is (zero == 3)
    assert cpu.traffic["reduce"] == 2 * gpu.traffic["reduce"]
