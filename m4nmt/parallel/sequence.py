"""Any sequence of layers as a pipeline, as GPipe's library gave it (arXiv:1811.06965, section 2.2).

Not its job: our own models, which carry more than one tensor across a cut (stage, run).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._composable.checkpoint_activation import checkpoint
from torch.distributed.pipelining import PipelineStage

from m4nmt.parallel.cut import balanced
from m4nmt.parallel.run import SCHEDULES
from m4nmt.parallel.settings import ScheduleName

_KEPT = 16


class LayerPipeline:
    """A sequence of layers, each tensor -> tensor, cut over the ranks of a group.

    Every rank is given all layers and keeps its own; `step` leaves gradients of the mean loss in
    their parameters.

    Args:
        layers: in order.
        loss: (output, target) of a micro-batch -> mean loss.
        microbatches: equal pieces of a batch.
        costs: of each layer, for a balanced cut; by default its parameters.
        remat: keep only the inputs of layers and compute them again in the backward pass.
        group: the ranks of the pipeline; by default all.

    Raises:
        RuntimeError: there is no process group.
        ValueError: fewer layers than ranks, or a schedule with several stages a rank.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        microbatches: int,
        schedule: ScheduleName = "gpipe",
        costs: Sequence[float] | None = None,
        remat: bool = False,
        device: torch.device | str = "cpu",
        group: dist.ProcessGroup | None = None,
    ) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise RuntimeError("a pipeline needs a process group; start with torchrun")
        if schedule not in ("gpipe", "1f1b"):
            raise ValueError(f"schedule {schedule!r}: a sequence has one stage a rank; take 1f1b")
        self.group = group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        self.loss, self.microbatches, self.schedule = loss, microbatches, schedule
        self.device = torch.device(device)
        weights = costs or [1.0 + sum(p.numel() for p in layer.parameters()) for layer in layers]
        edges = [0, *accumulate(balanced(weights, self.size))]
        mine = layers[edges[self.rank] : edges[self.rank + 1]]
        self.first = edges[self.rank]
        self.module = nn.Sequential(*mine).to(self.device)
        if remat:
            for layer in self.module:
                checkpoint(layer)
        self._schedules: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def step(self, x: Tensor, target: Tensor) -> float:
        """Forward and backward of one batch, given on every rank; its mean loss, on every rank.

        Raises:
            ValueError: the rows do not divide into micro-batches.
        """
        if len(x) % self.microbatches:
            raise ValueError(f"{len(x)} rows do not divide into {self.microbatches} micro-batches")
        self.module.zero_grad(set_to_none=True)
        first, last = self.rank == 0, self.rank == self.size - 1
        losses: list[Tensor] = []
        self._schedule(x).step(
            *((x.to(self.device),) if first else ()),
            target=target.to(self.device) if last else None,
            losses=losses if last else None,
            return_outputs=False,
        )
        mean = torch.stack(losses).mean().detach() if last else torch.zeros((), device=self.device)
        dist.all_reduce(mean, group=self.group)
        return float(mean)

    def _schedule(self, x: Tensor) -> Any:
        """The schedule for batches of a shape; torch infers what crosses the cuts."""
        key = (tuple(x.shape), x.dtype)
        if key not in self._schedules:
            stage = PipelineStage(self.module, self.rank, self.size, self.device, group=self.group)
            self._schedules[key] = SCHEDULES[self.schedule](
                stage, self.microbatches, loss_fn=self.loss, scale_grads=True
            )
            if len(self._schedules) > _KEPT:
                self._schedules.popitem(last=False)
        self._schedules.move_to_end(key)
        return self._schedules[key]
