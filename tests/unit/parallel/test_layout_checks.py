"""Layouts that make no sense are refused at the start, with the reason and what to change."""

from itertools import pairwise

import pytest
import torch
from model_made import config as model
from model_made import layer, real, tokens

from m4nmt.data.types import Shape
from m4nmt.model.settings import DenseConfig, ModelConfig, MoEConfig, RelativeBias, Transparent
from m4nmt.model.translation import segment_names
from m4nmt.parallel.check import check
from m4nmt.parallel.settings import Host, Layout, ParallelConfig
from m4nmt.parallel.stage import Wants, crossing

MIXED = MoEConfig(experts=6, expert=DenseConfig(hidden=24))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"virtual": 2, "pipeline": 2, "microbatches": 2}, "need schedule=interleaved or bfs"),
        ({"schedule": "interleaved", "pipeline": 2, "microbatches": 3}, "make it a multiple"),
        ({"pipeline": 4, "microbatches": 2}, "raise microbatches, or take schedule=gpipe"),
        ({"pipeline": 2, "microbatches": 2, "cut": ("enc001", "head")}, "2 stages need 1"),
        ({"shard": 0}, "at least 1"),
        ({"schedule": "zigzag"}, "is none of"),
    ],
)
def test_impossible_configs(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ParallelConfig(**options)  # type: ignore[arg-type]


def test_replicas_take_the_devices_that_are_left() -> None:
    config = ParallelConfig(pipeline=2, shard=2, microbatches=2)
    assert config.layout(4) == Layout(2, 1, 2, 1, 1)
    assert config.layout(16) == Layout(2, 4, 2, 1, 1)
    assert config.layout(16).data == 8
    for world in (2, 6):
        with pytest.raises(ValueError, match="do not make"):
            config.layout(world)
    with pytest.raises(ValueError, match="start 4"):
        ParallelConfig(replicate=4).layout(2)


@pytest.mark.parametrize(
    ("made", "layout", "says"),
    [
        (model(), Layout(tensor=3), "tensor=3 does not divide 4 heads"),
        (model(layer(kv_heads=1)), Layout(tensor=2), "1 of keys and values"),
        (model(layer(ffn=DenseConfig(hidden=25))), Layout(tensor=2), "does not divide 25 hidden"),
        (model(layer(qk_norm=True)), Layout(tensor=2), "qk_norm"),
        (model(position=RelativeBias()), Layout(tensor=2), "RelativeBias"),
        (model(soft_cap=3.0), Layout(tensor=2), "soft_cap"),
        (model(layer(ffn=MIXED)), Layout(tensor=2), "spread them with expert=2"),
        (model(layer(ffn=MIXED)), Layout(expert=4), "expert=4 does not divide 6 experts"),
        (model(), Layout(expert=2), "has no mixture of experts"),
    ],
)
def test_models_that_cannot_be_laid_so(made: ModelConfig, layout: Layout, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check(made, ParallelConfig(), layout)


def test_models_that_can() -> None:
    check(model(layer(kv_heads=2)), ParallelConfig(), Layout(tensor=2))
    check(model(layer(ffn=MIXED)), ParallelConfig(), Layout(expert=3, shard=2))


@pytest.mark.parametrize(
    "config", [ParallelConfig(pipeline=2, microbatches=2), ParallelConfig(offload=Host())]
)
def test_what_needs_a_process_group_says_so(config: ParallelConfig) -> None:
    with pytest.raises(ValueError, match=r"process group.*torchrun"):
        check(model(), config, Layout())


@pytest.mark.parametrize("memory", [None, Transparent(dropout=0.0)])
@pytest.mark.parametrize("mixed", [False, True])
def test_what_crosses_every_cut_is_what_the_model_makes(
    memory: Transparent | None, mixed: bool
) -> None:
    """The shapes that stages announce are those of the Flow there; only what is read crosses."""
    one = layer(ffn=MIXED) if mixed else layer()
    made = model(one, **({"memory": memory} if memory else {}))
    batch = tokens(rows=5, src=7, tgt=6)
    whole = real(made)
    names = segment_names(made)
    flow = None
    for before, segment in pairwise(names):
        flow = whole.part([before])(batch, flow)
        wants = Wants.of(made, segment)
        kept = [flow.x] * wants.x + list(flow.carry) * wants.carry + [flow.aux] * wants.aux
        announced = crossing(made, segment, Shape(5, 7, 6), torch.float32)
        assert [t.shape for t in announced] == [t.shape for t in kept], segment
        assert all(t.requires_grad for t in kept), segment
    assert crossing(made, "source", Shape(5, 7, 6), torch.float32) == ()
