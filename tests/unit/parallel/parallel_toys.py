"""A tiny model, a plain loss and batches for the tests of engines."""

import torch
from torch import Tensor

from m4nmt.data.types import Batch, Shape
from m4nmt.model.flow import Projection
from m4nmt.model.settings import ModelConfig, classic
from m4nmt.parallel.apply import parallelize
from m4nmt.parallel.engine import Engine
from m4nmt.parallel.settings import ParallelConfig

VOCAB = 53


def tiny(dropout: float = 0.0) -> ModelConfig:
    return classic(layers=2, dim=32, hidden=64, heads=4, dropout=dropout, vocab=VOCAB)


def cross_entropy(x_BTD: Tensor, project: Projection, out_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and rows of -log p of the real targets."""
    log_p_BTV = project(x_BTD).float().log_softmax(-1)
    picked_BT = log_p_BTV.gather(-1, out_BT[..., None])[..., 0]
    nll_BT = -picked_BT * (out_BT != 0)
    return nll_BT.sum(), nll_BT.detach().sum(-1)


def engine(
    dropout: float = 0.0, seed: int = 1, loss: object = cross_entropy, **options: object
) -> Engine:
    config = ParallelConfig(device="cpu", **options)  # type: ignore[arg-type]
    return parallelize(tiny(dropout), config, loss, seed)  # type: ignore[arg-type]


def batch(rows: int = 8, source: int = 9, target: int = 7, seed: int = 0) -> Batch:
    """Rows of very different lengths, so that pieces hold different numbers of tokens."""
    generator = torch.Generator().manual_seed(seed)

    def ids(length: int) -> Tensor:
        x_BL = torch.randint(1, VOCAB, (rows, length), generator=generator)
        real_B = 1 + torch.arange(rows) * (length - 1) // max(1, rows - 1)
        return x_BL * (torch.arange(length)[None] < real_B[:, None])

    out_BT = ids(target)
    return Batch(
        src_BS=ids(source),
        tgt_BT=ids(target),
        out_BT=out_BT,
        direction_B=torch.zeros(rows, dtype=torch.long),
        shape=Shape(rows, source, target),
        tokens=int((out_BT != 0).sum()),
    )


def gradients(made: Engine) -> dict[str, Tensor]:
    """Copies of all gradients."""
    found = {}
    for name, p in made.named_parameters():
        assert p.grad is not None, name
        found[name] = p.grad.clone()
    return found


def norm(tensors: dict[str, Tensor]) -> float:
    """L2 norm of all of them together, in fp64."""
    return float(torch.cat([t.flatten() for t in tensors.values()]).double().norm())


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """|a - b| / |b|; a key's bias by itself has no gradient but rounding."""
    assert a.keys() == b.keys()
    return norm({n: a[n] - b[n] for n in a}) / norm(b)
