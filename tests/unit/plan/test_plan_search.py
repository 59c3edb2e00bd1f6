"""Costs in closed form, and the search against planning everything."""

from dataclasses import replace
from typing import Any

import pytest
from model_made import config
from plan_held import run, wider

from m4nmt.core.names import recipe
from m4nmt.model.settings import MoEConfig, Top2, classic
from m4nmt.parallel.settings import ParallelConfig, Recompute
from m4nmt.plan import cost
from m4nmt.plan.estimate import Plan, plan
from m4nmt.plan.job import GIB, Machine, job, longest
from m4nmt.plan.search import search
from m4nmt.train.settings import RunConfig

SLOW = Machine(devices=1, flops=1e9, bandwidth=1e6, efficiency=1.0, launch=0.0)


def small(**parallel: Any) -> RunConfig:
    return run(wider(config(n=4, m=4)), ParallelConfig(**parallel))


def test_a_step_is_three_forward_passes() -> None:
    made = plan(small(microbatches=4), SLOW)
    assert made.seconds == pytest.approx(cost.step_flops(made.job) / 1e9)
    assert made.utilisation == pytest.approx(1.0)
    again = plan(small(microbatches=4, remat=Recompute()), SLOW)
    assert 1.2 < again.seconds / made.seconds < 4 / 3  # all but the loss a fourth time
    assert again.utilisation < made.utilisation


def test_days_and_tokens() -> None:
    config_ = small(microbatches=4)
    made = plan(config_, SLOW)
    assert made.tokens == longest(config_).rows * 32 == 32 * 32
    assert made.days == pytest.approx(
        config_.train.steps * made.tokens / made.tokens_per_second / 86_400
    )


def test_no_layer_is_quicker_than_its_kernels_are_started() -> None:
    made = plan(small(), SLOW._replace(flops=1e30, launch=0.5))
    assert made.seconds == pytest.approx(8 * (0.5 + 1.0))


def test_replicas_sum_gradients_in_a_ring() -> None:
    made = plan(_rows(small(replicate=4)), SLOW._replace(devices=4))
    whole = 4 * sum(w.numel for names in made.job.held.values() for w in names)
    whole -= 4 * 2 * made.job.model.vocab * made.job.model.dim  # the table stands in three segments
    assert made.traffic["reduce"] == pytest.approx(2 * 3 / 4 * whole)
    assert made.reducing == pytest.approx(made.traffic["reduce"] / 1e6)


def test_full_sharding_gathers_twice_a_micro_batch() -> None:
    made = plan(_rows(small(shard=4, microbatches=2), 2), SLOW._replace(devices=4))
    one = plan(_rows(small(shard=4, microbatches=2, zero=1), 2), SLOW._replace(devices=4))
    assert made.traffic["gather"] == pytest.approx(4 * one.traffic["gather"])
    assert made.traffic["reduce"] == pytest.approx(2 * one.traffic["reduce"])


def test_a_pipeline_sends_what_crosses_its_cut() -> None:
    made = plan(small(pipeline=2, microbatches=4, cut=("dec001",)), SLOW._replace(devices=2))
    assert made.traffic["pipeline"] == 4 * 2 * 8 * 32 * 64 * 4  # pieces, stream and memory, numbers
    tables = 2 * 0.5 * 4 * 128 * 64  # the tied table stands on both
    assert made.traffic["tied"] == tables


def test_tensor_parallel_layers_sum_twice_a_half() -> None:
    made = plan(small(tensor=2), SLOW._replace(devices=2))
    state = 8 * 32 * 64 * 4
    layers = 4 * (2 + 2) + 4 * (3 + 4)  # in encoder and decoder, ahead and back
    assert made.traffic["tensor"] == pytest.approx((layers + 2 + 1) * state)


def test_experts_are_sent_their_tokens() -> None:
    dense = wider(config(n=2, m=2))
    mixed = MoEConfig(experts=4, expert=dense.encoder[0].ffn, router=Top2())  # type: ignore[arg-type]
    model = replace(dense, encoder=(dense.encoder[0], replace(dense.encoder[0], ffn=mixed)))
    made = plan(_rows(run(model, ParallelConfig(expert=2))), SLOW._replace(devices=2))
    tokens = made.job.piece.rows * 32 * 2
    assert made.traffic["experts"] == pytest.approx(2 * 2 * tokens * 64 * 4 / 2)


def _rows(config_: RunConfig, pieces: int = 1) -> RunConfig:
    """As many rows as four ranks need."""
    blocks = replace(config_.data.blocks, rows_multiple=4 * pieces, tokens=8 * 32 * pieces)
    return replace(config_, data=replace(config_.data, blocks=blocks))


def test_rows_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows_multiple to a multiple of 3"):
        job(small(replicate=3), 3)


def test_a_layout_of_other_devices_is_refused() -> None:
    with pytest.raises(ValueError, match="do not make 4 devices"):
        job(small(replicate=3), 4)


@pytest.fixture(scope="module")
def middling() -> RunConfig:
    base: RunConfig = recipe("base")()
    model = classic(layers=4, dim=512, hidden=2048, heads=8)
    return replace(base, model=model)


def test_search_finds_the_fastest_that_fits(middling: RunConfig) -> None:
    machine = Machine(devices=4, bandwidth=5e9)
    found = search(middling, machine, keep=3)
    assert 1 <= len(found.best) <= 3 < found.tried
    speeds = [made.tokens_per_second for made in found.best]
    assert speeds == sorted(speeds, reverse=True)
    assert all(made.fits and made.job.layout.world == 4 for made in found.best)
    everything = search(middling, machine, keep=10_000)
    assert everything.best[0].tokens_per_second == speeds[0]
    assert speeds[0] > 1.05 * everything.best[-1].tokens_per_second  # the control


def test_less_memory_means_slower_or_nothing(middling: RunConfig) -> None:
    ample = search(middling, Machine(devices=2), keep=1)
    need = ample.best[0].fullest.total
    tight = search(middling, Machine(devices=2, memory=0.4 * need), keep=1)
    assert tight.best[0].fullest.total <= 0.4 * need
    assert tight.best[0].tokens_per_second <= ample.best[0].tokens_per_second
    none = search(middling, Machine(devices=2, memory=0.05 * GIB), keep=1)
    assert not none.best
    assert none.nearest is not None
    assert none.failed


def test_a_planned_layout_can_be_set_as_it_is_printed(middling: RunConfig) -> None:
    from m4nmt.core.config import override
    from m4nmt.plan.words import assignments

    multiple = middling.data.blocks.rows_multiple
    every = search(middling, Machine(devices=4), keep=10_000).best
    other: Plan = next(made for made in every if made.job.multiple != multiple)
    for made in (every[0], other):
        again = plan(override(middling, assignments(made)), Machine(devices=4))
        assert again.tokens_per_second == pytest.approx(made.tokens_per_second)
        assert again.fullest.total == pytest.approx(made.fullest.total)
