"""Adafactor over sharded parameters gives the numbers of the whole ones."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard, distribute_tensor

from m4nmt import optim
from m4nmt.optim.settings import Adafactor

PLACEMENTS: list[Placement] = [Shard(0), Shard(1), Replicate()]
SHAPES = {"even.weight": (6, 10), "uneven.weight": (5, 7), "a.bias": (8,)}


def train(config: Adafactor, make: object, steps: int = 5) -> dict[str, Tensor]:
    """Final weights, every tensor placed by `make`."""
    generator = torch.Generator().manual_seed(0)

    def draw() -> dict[str, Tensor]:
        return {n: make(torch.randn(s, generator=generator)) for n, s in SHAPES.items()}  # type: ignore[operator]

    weights = {name: nn.Parameter(value) for name, value in draw().items()}
    optimizer = optim.build(config, weights.items())
    for _ in range(steps):
        for name, gradient in draw().items():
            weights[name].grad = gradient
        optimizer.step()
    return {n: w.full_tensor() if isinstance(w, DTensor) else w for n, w in weights.items()}


def worker(rank: int, world: int, rendezvous: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=world)
    mesh = init_device_mesh("cpu", (world,))
    for config in (Adafactor(), Adafactor(beta1=0.9, weight_decay=0.1)):
        whole = train(config, lambda value: value)
        control = train(Adafactor(clip_threshold=0.9), lambda value: value)
        for placement in PLACEMENTS:

            def place(value: Tensor, where: Placement = placement) -> Tensor:
                return distribute_tensor(value, mesh, [where if value.ndim > 1 else Shard(0)])

            sharded = train(config, place)
            for name, value in whole.items():
                torch.testing.assert_close(sharded[name], value, rtol=1e-6, atol=1e-6)
                assert not torch.allclose(sharded[name], control[name], rtol=1e-6, atol=1e-6)
    dist.destroy_process_group()


@pytest.mark.slow
def test_sharded_equals_whole(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(worker, (2, f"file://{tmp_path}/rendezvous"), nprocs=2)  # type: ignore[no-untyped-call]
