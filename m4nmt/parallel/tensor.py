"""Tensor parallelism (Shoeybi et al. 2019, arXiv:1909.08053): heads, hidden units and vocabulary
split over ranks that read the same rows.

Queries, keys, values and the first map of a feed-forward are split by outputs, the last map by
inputs, so each half of a layer sums over the ranks once. Tables are split by words.
Not its job: what cannot be split (check).

Shape letters: B rows, L length, V vocabulary, D width.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    parallelize_module,
)

from m4nmt.model.attention import Attention
from m4nmt.model.embedding import Embedding, Head
from m4nmt.model.ffn import Dense, Gated
from m4nmt.model.translation import TranslationModel
from m4nmt.parallel.mesh import Mesh

_BY_OUTPUTS = {Attention: ("q", "k", "v"), Dense: ("up",), Gated: ("gate", "up")}
_BY_INPUTS = {Attention: ("out",), Dense: ("down",), Gated: ("down",)}


def split_tensors(part: TranslationModel, mesh: Mesh) -> None:
    """Split the weights of some segments, on meta, in place."""
    if mesh.layout.tensor == 1:
        return
    ranks = mesh.of("tensor")
    for module in list(part.modules()):
        styles: dict[str, ParallelStyle] = {}
        for kind in _BY_OUTPUTS:
            if isinstance(module, kind):
                styles |= {name: ColwiseParallel() for name in _BY_OUTPUTS[kind]}
                styles |= {name: RowwiseParallel() for name in _BY_INPUTS[kind]}
        if styles:
            parallelize_module(module, ranks, styles)
        elif isinstance(module, Embedding | Head):
            _split_table(module, ranks)
    part.tie()


def _split_table(module: Embedding | Head, ranks: DeviceMesh) -> None:
    words = module.table.shape[0]
    table = distribute_tensor(module.table.detach(), ranks, [Shard(0)], src_data_rank=None)
    module.table = nn.Parameter(table)
    module.slices = WordSlices(words, ranks)


class WordSlices:
    """A table split by words; implements `model.embedding.Slices`."""

    def __init__(self, words: int, ranks: DeviceMesh) -> None:
        size, offset = compute_local_shape_and_global_offset((words, 1), ranks, [Shard(0)])
        self.words, self.first, self.count = words, offset[0], size[0]
        self._group = ranks.get_group()

    def own(self, table: Tensor) -> Tensor:
        return table.to_local() if isinstance(table, DTensor) else table

    def lookup(self, ids_BL: Tensor, table: Tensor) -> Tensor:
        here_BL = (ids_BL >= self.first) & (ids_BL < self.first + self.count)
        ids_BL = torch.where(here_BL, ids_BL - self.first, 0)
        x_BLD = F.embedding(ids_BL, self.own(table)) * here_BL[..., None]
        out: Tensor = _Sum.apply(x_BLD, self._group)  # type: ignore[no-untyped-call]
        return out

    def sum_(self, value: Tensor) -> Tensor:
        dist.all_reduce(value, group=self._group)
        return value

    def max_(self, value: Tensor) -> Tensor:
        dist.all_reduce(value, dist.ReduceOp.MAX, group=self._group)
        return value


class _Sum(torch.autograd.Function):
    """Sum over ranks. All of them go on alike with it, so the gradient is each one's own."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, group: dist.ProcessGroup) -> Tensor:
        total = value.contiguous().clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None
