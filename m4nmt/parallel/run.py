"""How micro-batches go through the stages of a process: one after another, or as a pipeline.

The schedules are torch.distributed.pipelining's. Not its job: what a stage computes (stage), what
becomes of the gradients (laid).

Shape letters: B rows, S source length, T target length.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.pipelining import PipelineStage
from torch.distributed.pipelining.schedules import (
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleLoopedBFS,
)

from m4nmt.data.types import Shape
from m4nmt.parallel.mesh import Mesh
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.parallel.shard import announce, zero
from m4nmt.parallel.stage import Stage, crossing

SCHEDULES = {
    "gpipe": ScheduleGPipe,
    "1f1b": Schedule1F1B,
    "interleaved": ScheduleInterleaved1F1B,
    "bfs": ScheduleLoopedBFS,
}
_KEPT = 16  # schedules, each with the receive buffers of one shape


class Ids(NamedTuple):
    """The rows of a batch that are computed here."""

    src_BS: Tensor
    tgt_BT: Tensor
    out_BT: Tensor

    def split(self, pieces: int) -> list[dict[str, Tensor]]:
        """Contiguous rows, as arguments of a stage."""
        parts = zip(*(x.tensor_split(pieces) for x in self), strict=True)
        return [
            {**Ids(*part)._asdict(), "piece": torch.tensor([i])} for i, part in enumerate(parts)
        ]

    def shape(self, pieces: int) -> Shape:
        """Of each of so many equal pieces."""
        rows, src = self.src_BS.shape
        return Shape(rows // pieces, src, self.tgt_BT.shape[1])


class Runner(Protocol):
    """Runs the stages of this process over the rows of this process."""

    def train(self, ids: Ids, pieces: int) -> None:
        """Forward and backward in `pieces` equal micro-batches; gradients are added up."""

    def evaluate(self, ids: Ids, pieces: int) -> None:
        """Forward only; the pieces may differ by a row."""


class Whole:
    """All segments in one stage.

    Args:
        gathering: what `shard` gave.
        zero: see `shard.announce`.
    """

    def __init__(self, stage: Stage, gathering: Sequence[FSDPModule], zero: int) -> None:
        self.stage = stage
        self.gathering = tuple(gathering)
        self.zero = zero

    def train(self, ids: Ids, pieces: int) -> None:
        for number, piece in enumerate(ids.split(pieces)):
            announce(self.gathering, self.zero, last=number + 1 == pieces)
            self.stage(**piece).backward()

    def evaluate(self, ids: Ids, pieces: int) -> None:
        for piece in ids.split(pieces):
            self.stage(**piece)


class _TorchStage(PipelineStage):
    """A stage that announces its backward passes.

    Args:
        gathering: what `shard` gave for it. `zero`: see `shard.announce`.
    """

    def __init__(
        self, gathering: Sequence[FSDPModule], zero: int, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.gathering = tuple(gathering)
        self.zero = zero

    def backward_one_chunk(
        self,
        bwd_chunk_id: int,
        loss: Tensor | None = None,
        full_backward: bool = True,
        last_backward: bool = False,
    ) -> None:
        announce(self.gathering, self.zero, last_backward)
        super().backward_one_chunk(bwd_chunk_id, loss, full_backward, last_backward)


class Pipelined:
    """Some of the stages of a pipeline.

    Args:
        stages: those of this process, by their number. `gathering`: what `shard` gave for each.
        firsts: first segment of every stage of the pipeline.
    """

    def __init__(
        self,
        stages: dict[int, Stage],
        gathering: dict[int, list[FSDPModule]],
        firsts: Sequence[str],
        config: ParallelConfig,
        mesh: Mesh,
        device: torch.device,
    ) -> None:
        self.stages = stages
        self.gathering = gathering
        self.firsts = tuple(firsts)
        self.config = config
        self.layout = mesh.layout
        self.group = mesh.group("pipeline")
        self.ranks = dist.get_process_group_ranks(self.group)
        self.device = device
        self._schedules: OrderedDict[tuple[Shape, int], Any] = OrderedDict()

    def train(self, ids: Ids, pieces: int) -> None:
        schedule = self._schedule(ids.shape(pieces), pieces)
        last = len(self.firsts) - 1 in self.stages
        schedule.step(
            target=ids.out_BT if last else None,
            losses=[] if last else None,
            return_outputs=False,
            piece=torch.arange(pieces),
            **ids._asdict(),
        )

    def evaluate(self, ids: Ids, pieces: int) -> None:
        """The rows walk through the stages once, in one piece."""
        received: tuple[Tensor, ...] = ()
        shape = ids.shape(1)
        for number in range(len(self.firsts)):
            stage = self.stages.get(number)
            if stage is None:
                continue
            if number and number - 1 not in self.stages:
                received = self._receive(number, shape)
            out = stage(*received, **ids.split(1)[0])
            if number + 1 == len(self.firsts):
                return
            received = tuple(out)
            if number + 1 not in self.stages:
                self._send(number + 1, received)

    def _schedule(self, shape: Shape, pieces: int) -> Any:
        """The schedule for micro-batches of one shape; torch's stages are made for one."""
        key = (shape, pieces)
        if key not in self._schedules:
            made = [self._torch_stage(number, shape) for number in self.stages]
            single = len(made) == 1 and self.config.virtual == 1
            self._schedules[key] = SCHEDULES[self.config.schedule](
                made[0] if single else made,
                pieces,
                loss_fn=lambda share, _: share,
                scale_grads=False,
            )
            if len(self._schedules) > _KEPT:
                self._schedules.popitem(last=False)
        self._schedules.move_to_end(key)
        return self._schedules[key]

    def _torch_stage(self, number: int, shape: Shape) -> PipelineStage:
        return _TorchStage(
            self.gathering[number],
            zero(self.config, self.layout),
            self.stages[number],
            number,
            len(self.firsts),
            self.device,
            input_args=self._crossing(number, shape),
            output_args=self._crossing(number + 1, shape),
            group=self.group,
        )

    def _crossing(self, number: int, shape: Shape) -> tuple[Tensor, ...]:
        """What enters stage `number`; behind the last, the share of the loss."""
        some = next(iter(self.stages.values()))
        if number == len(self.firsts):
            return (torch.empty((), device="meta", requires_grad=True),)
        return crossing(some.part.config, self.firsts[number], shape, some.dtype)

    def _receive(self, number: int, shape: Shape) -> tuple[Tensor, ...]:
        made = [torch.empty_like(t, device=self.device) for t in self._crossing(number, shape)]
        for tensor in made:
            dist.recv(tensor, self._owner(number - 1), group=self.group)
        return tuple(made)

    def _send(self, number: int, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            dist.send(tensor.contiguous(), self._owner(number), group=self.group)

    def _owner(self, number: int) -> int:
        """Global rank that holds a stage."""
        return self.ranks[number % len(self.ranks)]
