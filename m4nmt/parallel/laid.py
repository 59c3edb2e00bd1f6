"""The Engine: stages of a model, a runner for them, and the mesh they lie on.

Not its job: optimiser, schedule, clipping decisions (the trainer), loss formula (injected), the
order of micro-batches (run).

Shape letters: B rows, S source length, T target length.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from m4nmt.core import ranks
from m4nmt.data.types import Batch
from m4nmt.model.flow import PAD
from m4nmt.model.init import initialise
from m4nmt.model.moe import watch
from m4nmt.model.routing import Summary, together
from m4nmt.parallel import weights
from m4nmt.parallel.drift import Drift, drifts
from m4nmt.parallel.engine import Rows, StepLoss
from m4nmt.parallel.mesh import Mesh
from m4nmt.parallel.run import Ids, Runner
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.parallel.shard import keeps_copies
from m4nmt.parallel.stage import Stage, Step
from m4nmt.parallel.tied import Tied

_COLUMNS = 4  # of the table of rows that ranks tell each other


class Laid:
    """Implements `Engine`. Weights, gradients and sums are fp32 in either precision.

    Args:
        stages: of this process, sharing one `Step`.
        tied: the tables that stand in several stages.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        runner: Runner,
        tied: Tied,
        mesh: Mesh,
        config: ParallelConfig,
        device: torch.device,
    ) -> None:
        self.stages = tuple(stages)
        self.runner = runner
        self.tied = tied
        self.mesh = mesh
        self.config = config
        self.device = device
        self.data_rank, self.data_world = mesh.data_rank, mesh.layout.data
        self._step: Step = stages[0].step
        self._parameters = {
            name: parameter
            for stage in reversed(self.stages)  # the first stage that holds a table owns it
            for name, parameter in stage.part.canonical_parameters().items()
        }

    def seed_step(self, step: int) -> None:
        self._step.number = step
        self._step.seed_segment(0, "")

    def first_weights(self) -> None:
        for stage in self.stages:
            initialise(stage.part, self._step.seed, weights.part)

    def step(self, batch: Batch) -> StepLoss:
        """See `Engine.step`.

        Raises:
            ValueError: the rows do not divide into `parallel.microbatches`.
        """
        pieces = self.config.microbatches
        if batch.src_BS.shape[0] % pieces:
            raise ValueError(
                f"a batch of {batch.src_BS.shape[0]} rows does not divide into "
                f"parallel.microbatches={pieces}; make data.blocks.rows_multiple a multiple of it "
                "times the data-parallel ranks"
            )
        for stage in self.stages:
            stage.train()
            stage.zero_grad(set_to_none=True)
        self._begin(batch, pieces)
        with self._precision():
            self.runner.train(self._ids(batch), pieces)
        self.tied.sum_gradients()
        return self._told(batch)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> StepLoss:
        for stage in self.stages:
            stage.eval()
        pieces = min(self.config.microbatches, batch.src_BS.shape[0])
        self._begin(batch, pieces)
        with self._precision():
            self.runner.evaluate(self._ids(batch), pieces)
        for stage in self.stages:
            for module in stage.modules():
                if isinstance(module, FSDPModule):
                    module.reshard()  # else what was gathered outlives a change of the weights
        return self._told(batch)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self._parameters.items()

    def norms(self, tensors: Mapping[str, Tensor]) -> dict[str, float]:
        return weights.norms(tensors, self.tied.holders, self.mesh, self.device)

    def grad_norms(self) -> dict[str, float]:
        return self.norms({n: p.grad for n, p in self._parameters.items() if p.grad is not None})

    def scale_grads(self, factors: float | Mapping[str, float]) -> None:
        found = {n: p.grad for n, p in self._parameters.items() if p.grad is not None}
        if isinstance(factors, Mapping):
            found = {n: g for n, g in found.items() if factors[n] != 1.0}
            torch._foreach_mul_(
                [weights.local(g) for g in found.values()], [factors[n] for n in found]
            )
        else:
            torch._foreach_mul_([weights.local(g) for g in found.values()], factors)

    def updated(self) -> None:
        self.tied.spread()

    def drifts(self) -> list[Drift]:
        return drifts(self._parameters) if self.mesh.spread else []

    @contextmanager
    def watched(self) -> Iterator[dict[str, Summary]]:
        seen: dict[str, Summary] = {}
        with ExitStack() as held:
            notes = [held.enter_context(watch(stage.part)) for stage in self.stages]
            yield seen
            told = {name: note.counts() for part in notes for name, note in part.items()}
        mine = told if self.mesh.place.tensor == 0 else {}
        seen.update(together(ranks.gathered(mine) if self.mesh.spread else [mine]))

    def full_weights(self) -> dict[str, Tensor]:
        return weights.gathered(self._parameters, self.tied.owners, self.mesh)

    @contextmanager
    def replaced_weights(self, weights_: Mapping[str, Tensor]) -> Iterator[None]:
        """See `Engine.replaced_weights`.

        Raises:
            ValueError: names or shapes differ from the model's.
        """
        weights.check(self._parameters, weights_, self.mesh)
        kept = {name: weights.local(p).clone() for name, p in self._parameters.items()}
        try:
            for name, p in self._parameters.items():
                weights.assign(p, weights_[name])
            self.updated()
            yield
        finally:
            for name, p in self._parameters.items():
                weights.local(p).copy_(kept[name])
            self.updated()

    def _begin(self, batch: Batch, pieces: int) -> None:
        everywhere, first = pieces * self.data_world, pieces * self.data_rank
        self._step.begin(batch.tokens, everywhere, first, self.device)

    def _precision(self) -> AbstractContextManager[None]:
        """Autocast keeps its bf16 copies of the weights until the block ends, one cast a step. Not
        where gradients are reduced while a backward pass runs: a copy made for an earlier
        micro-batch gives its gradient last of all, when its layer's were reduced already."""
        on, keep = self.config.precision == "bf16", keeps_copies(self.config, self.mesh.layout)
        return torch.autocast(self.device.type, torch.bfloat16, enabled=on, cache_enabled=keep)

    def _ids(self, batch: Batch) -> Ids:
        ids = Ids(batch.src_BS, batch.tgt_BT, batch.out_BT)
        return Ids(*(x.to(self.device, non_blocking=True) for x in ids))

    def _told(self, batch: Batch) -> StepLoss:
        """Put together what every rank knows of the batch. Each row, and each share of the loss,
        is told by one rank, the others add zeros."""
        mesh, rows = self.mesh, batch.src_BS.shape[0]
        world = mesh.layout.world
        table = torch.zeros(mesh.layout.data, rows, _COLUMNS, dtype=torch.float64)
        loss = torch.zeros(1 + world, dtype=torch.float64)
        if mesh.speaks:
            table[self.data_rank] = torch.stack(
                (
                    self._step.rows().double().cpu(),
                    (batch.out_BT != PAD).sum(1).double(),
                    (batch.src_BS != PAD).sum(1).double(),
                    batch.direction_B.double(),
                ),
                1,
            )
            loss[0] = self._step.loss.double().cpu()
        loss[1 + mesh.rank] = self._step.loss.double().cpu()
        if mesh.spread:
            told = torch.cat((loss, table.flatten())).to(self.device)
            torch.distributed.all_reduce(told)
            loss, table = told[: len(loss)].cpu(), told[len(loss) :].cpu().view_as(table)
        nll_B, target_B, source_B, direction_B = table.view(-1, _COLUMNS).unbind(1)
        return StepLoss(
            loss[0].float(),
            Rows(nll_B, target_B.long(), source_B.long(), direction_B.long()),
            tuple((~loss[1:].isfinite()).nonzero()[:, 0].tolist()),
            tuple(loss[1:].tolist()),
        )
