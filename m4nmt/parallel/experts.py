"""Expert parallelism: the experts of a layer spread over ranks that read different rows; each row
travels to its expert and back (GShard, arXiv:2006.16668, section 3).

Not its job: choosing experts and running them (model.moe), sharding each of them further (shard).

Shape letters: D width, E experts of the layer, H experts held here, R ranks, N rows of this rank,
M rows that run here.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import Shard, distribute_tensor

from m4nmt.model.experts import Arrived, Experts, Stack
from m4nmt.model.translation import TranslationModel
from m4nmt.parallel.mesh import Mesh


def spread_experts(part: TranslationModel, mesh: Mesh) -> None:
    """Spread the experts of some segments, on meta, in place: rank r has the r-th part of them."""
    if mesh.layout.expert == 1:
        return
    ranks = mesh.of("expert")
    for module in part.modules():
        if isinstance(module, Experts):
            module.exchange = AllToAll(ranks.get_group())
        if isinstance(module, Stack):
            for key, whole in list(module.named_parameters(recurse=False)):
                spread = distribute_tensor(whole.detach(), ranks, [Shard(0)], src_data_rank=None)
                setattr(module, key, nn.Parameter(spread))


class AllToAll:
    """Implements `model.experts.Exchange` over a group."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group = group
        self.size = dist.get_world_size(group)

    def there(self, x_ND: Tensor, counts_E: Tensor) -> Arrived:
        sent_RH = counts_E.view(self.size, -1)
        counts_RH = torch.empty_like(sent_RH)
        dist.all_to_all_single(counts_RH, sent_RH.contiguous(), group=self.group)
        sent, received = sent_RH.sum(1).tolist(), counts_RH.sum(1).tolist()

        def back(y_MD: Tensor) -> Tensor:
            return _travel(y_MD, received, sent, self.group)

        return Arrived(_travel(x_ND, sent, received, self.group), counts_RH, back)


def _travel(
    rows: Tensor, sent: Sequence[int], received: Sequence[int], group: dist.ProcessGroup
) -> Tensor:
    """So many rows to each rank and from each; gradients travel the other way."""
    out: Tensor = _Travel.apply(rows, sent, received, group)  # type: ignore[no-untyped-call]
    return out


class _Travel(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        sent: Sequence[int],
        received: Sequence[int],
        group: dist.ProcessGroup,
    ) -> Tensor:
        ctx.back = (received, sent, group)
        return _exchanged(rows, sent, received, group)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return _exchanged(grads[0], *ctx.back), None, None, None


def _exchanged(
    rows: Tensor, sent: Sequence[int], received: Sequence[int], group: dist.ProcessGroup
) -> Tensor:
    out = rows.new_empty(sum(received), *rows.shape[1:])
    dist.all_to_all_single(out, rows.contiguous(), list(received), list(sent), group=group)
    return out
