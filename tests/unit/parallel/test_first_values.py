"""First values of a rank's share: the whole model's there; of experts only its own are drawn."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from model_made import config, layer, moe, real
from torch import Tensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from m4nmt.core.seeds import torch_generator
from m4nmt.model import init
from m4nmt.model.settings import DenseConfig
from m4nmt.parallel.apply import parallelize
from m4nmt.parallel.settings import Host, ParallelConfig
from m4nmt.parallel.weights import local
from m4nmt.parallel.world import World

ROUTED = config(layer(ffn=moe(experts=8, expert=DenseConfig(hidden=24))))
SIZE, RANK = 4, 1
# Of each layout: chunks of the experts and of all else along the first dimension, each as
# (parts, which) taken one inside the other; rank 1 is the second in expert and the first in shard.
LAYOUTS: list[tuple[dict[str, Any], list[tuple[int, int]], list[tuple[int, int]]]] = [
    ({"expert": 4}, [(4, 1)], [(4, 1)]),
    ({"expert": 2, "shard": 2}, [(2, 1), (2, 0)], [(4, 1)]),
    ({"expert": 2, "replicate": 2}, [(2, 1)], [(2, 1)]),
    ({"shard": 4}, [(4, 1)], [(4, 1)]),
    ({"shard": 4, "offload": Host()}, [(4, 1)], [(4, 1)]),
    ({"replicate": 4}, [], []),
]


@pytest.fixture(autouse=True)
def fake_ranks() -> Iterator[None]:
    """One rank of four whose collectives do nothing. Always the same one: torch remembers for a
    shape of mesh where a rank's parts lie."""
    dist.init_process_group("fake", store=FakeStore(), rank=RANK, world_size=SIZE)  # type: ignore[no-untyped-call]
    yield
    dist.destroy_process_group()


def no_loss(*given: Tensor) -> tuple[Tensor, Tensor]:
    raise NotImplementedError


def chunk(whole: Tensor, parts: list[tuple[int, int]]) -> Tensor:
    for size, which in parts:
        chunks = whole.chunk(size)
        whole = chunks[which] if which < len(chunks) else whole[:0]
    return whole


@pytest.mark.parametrize(("layout", "experts", "rest"), LAYOUTS, ids=[str(x[0]) for x in LAYOUTS])
def test_a_rank_draws_its_experts_alone_and_they_are_the_wholes(
    layout: dict[str, Any],
    experts: list[tuple[int, int]],
    rest: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = real(ROUTED, noise=0.0).canonical_parameters()
    streams: list[tuple[int | str, ...]] = []

    def noted(*stream: int | str) -> torch.Generator:
        streams.append(stream[2:])
        return torch_generator(*stream)

    monkeypatch.setattr(init, "torch_generator", noted)
    options = ParallelConfig(device="cpu", **layout)
    made = parallelize(ROUTED, options, no_loss, 1, World(RANK, SIZE, RANK))
    wanted: list[tuple[int | str, ...]] = []
    for name, parameter in made.named_parameters():
        parts = experts if ".experts." in name else rest
        here, there = local(parameter), chunk(expected[name], parts)
        assert torch.equal(here, there), name
        if ".experts." in name:
            numbers = chunk(torch.arange(8), parts).tolist()
            wanted += [(name, number) for number in numbers]
        elif here.numel():
            wanted.append((name,))
    assert sorted(map(str, streams)) == sorted(map(str, wanted))
