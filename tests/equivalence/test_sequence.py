"""Any sequence of layers runs as a pipeline: a small convolutional net has the same loss and
gradients as in one piece (GPipe's own consistency test)."""

from pathlib import Path

import pytest
import rank_start
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from m4nmt.parallel.sequence import LayerPipeline


def layers() -> list[nn.Module]:
    """Convolutions of different cost, and a classifier."""
    torch.manual_seed(1)
    return [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3, stride=2, padding=1),
        nn.Flatten(),
        nn.Linear(4 * 4 * 4, 5),
    ]


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(8, 3, 16, 16, generator=generator)
    return images, torch.randint(5, (8,), generator=generator)


def whole() -> tuple[float, list[Tensor]]:
    """Loss and gradients without a pipeline."""
    net = nn.Sequential(*layers())
    images, labels = batch()
    loss = F.cross_entropy(net(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach()), [p.grad for p in net.parameters() if p.grad is not None]


def worker(rank: int, size: int, rendezvous: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=size)
    expected_loss, expected = whole()
    for schedule, remat in (("gpipe", False), ("gpipe", True), ("1f1b", False)):
        made = LayerPipeline(
            layers(),
            F.cross_entropy,
            microbatches=4,
            schedule=schedule,  # type: ignore[arg-type]
            costs=[3, 0, 2, 0, 1, 0, 1],
            remat=remat,
        )
        for _ in range(2):  # a second step begins from zero
            loss = made.step(*batch())
        assert abs(loss - expected_loss) < 1e-5 * expected_loss, (loss, expected_loss)
        before = sum(len(list(layer.parameters())) for layer in layers()[: made.first])
        mine = [p.grad for p in made.module.parameters()]
        for got, wanted in zip(mine, expected[before:], strict=False):
            assert got is not None
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)
        images, labels = batch()
        made.step(images.roll(1, 0), labels)  # control: other pairs, other gradients
        grads = [p.grad for p in made.module.parameters() if p.grad is not None]
        assert not torch.allclose(grads[0], expected[before], rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="do not divide into 4 micro-batches"):
        made.step(*(x[:6] for x in batch()))
    with pytest.raises(ValueError, match="one stage a rank"):
        LayerPipeline(layers(), F.cross_entropy, microbatches=4, schedule="bfs")
    dist.barrier()
    dist.destroy_process_group()


def test_a_convolutional_net_as_a_pipeline(tmp_path: Path) -> None:
    rank_start.start(worker, (2, f"file://{tmp_path}/rendezvous"), 2)


def test_without_a_process_group_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="needs a process group"):
        LayerPipeline(layers(), F.cross_entropy, microbatches=2)
