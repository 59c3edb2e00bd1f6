"""Measured costs of segments: every segment has one, and what does more takes longer."""

import pytest
import torch
from model_made import config, layer

from m4nmt.data.types import Shape
from m4nmt.model.settings import DenseConfig, MoEConfig, Transparent
from m4nmt.model.translation import segment_names
from m4nmt.parallel.cut import stage_names
from m4nmt.parallel.measure import measured
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.train.loss import CrossEntropy

SHAPE = Shape(8, 24, 24)
CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory", [None, Transparent()])
def test_every_segment_is_measured(dtype: torch.dtype, memory: Transparent | None) -> None:
    mixed = layer(ffn=MoEConfig(experts=4, expert=DenseConfig(hidden=24)))
    model = config(mixed, **({"memory": memory} if memory else {}))
    costs = measured(model, SHAPE, CrossEntropy(), CPU, dtype)
    assert len(costs) == len(segment_names(model))
    assert min(costs) > 0
    assert costs[1] == costs[2]  # equal layers, one measurement


def test_a_wide_layer_takes_longer_and_moves_the_cut() -> None:
    model = config(layer(), n=4, m=4)
    wide = layer(ffn=DenseConfig(hidden=20_000))
    slow = config(layer(), n=4, m=4)
    object.__setattr__(slow, "encoder", (wide, *slow.encoder[1:]))
    costs = measured(slow, SHAPE, CrossEntropy(), CPU, torch.float32)
    assert costs[1] > 3 * costs[2]
    pipeline = ParallelConfig(pipeline=2, microbatches=2)
    first = stage_names(slow, pipeline, SHAPE, costs)[0]
    assert len(first) < len(stage_names(model, pipeline, SHAPE)[0])
