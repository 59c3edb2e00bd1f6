"""The Engine of one process: a global batch in micro-batches on one device.

Not its job: optimiser, schedule, clipping decisions (the trainer), loss formula (injected).

Shape letters: B rows, S source length, T target length, D width.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from m4nmt.core.seeds import seed_for
from m4nmt.data.types import Batch
from m4nmt.model.flow import Projection, Tokens
from m4nmt.model.translation import TranslationModel
from m4nmt.parallel.engine import Loss, StepLoss
from m4nmt.parallel.settings import ParallelConfig


class Single:
    """Implements `Engine`. Weights, gradients and sums are fp32 in either precision."""

    data_rank = 0
    data_world = 1

    def __init__(
        self,
        model: TranslationModel,
        config: ParallelConfig,
        loss: Loss,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model = model
        self.config = config
        self.loss = loss
        self.seed = seed
        self.device = device
        self._step = 0

    def seed_step(self, step: int) -> None:
        self._step = step
        self._seed_piece(0)

    def step(self, batch: Batch) -> StepLoss:
        """See `Engine.step`.

        Raises:
            ValueError: the rows do not divide into `parallel.microbatches`.
        """
        n = self.config.microbatches
        if batch.src_BS.shape[0] % n:
            raise ValueError(
                f"a batch of {batch.src_BS.shape[0]} rows does not divide into "
                f"parallel.microbatches={n}; make data.blocks.rows_multiple a multiple of it"
            )
        self.model.train()
        self.model.zero_grad(set_to_none=True)
        total, nlls = torch.zeros((), device=self.device), []
        with self._precision():
            for i, piece in enumerate(self._pieces(batch)):
                self._seed_piece(i)
                mean, nll_B = self._forward(piece, batch.tokens, n)
                mean.backward()  # type: ignore[no-untyped-call]
                total += mean.detach()
                nlls.append(nll_B)
        return StepLoss(total, torch.cat(nlls), bool(total.isfinite()))

    @torch.inference_mode()
    def evaluate(self, batch: Batch) -> StepLoss:
        self.model.eval()
        total, nlls = torch.zeros((), device=self.device), []
        pieces = self._pieces(batch)
        with self._precision():
            for piece in pieces:
                mean, nll_B = self._forward(piece, batch.tokens, len(pieces))
                total += mean
                nlls.append(nll_B)
        return StepLoss(total, torch.cat(nlls), bool(total.isfinite()))

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self.model.canonical_parameters().items()

    def grad_norm(self) -> Tensor:
        # Rows first: over a table of millions of numbers one fp32 sum is off by 1e-4 on the CPU.
        rows = [torch.linalg.vector_norm(grad, dim=-1).flatten() for grad in self._grads()]
        norm: Tensor = torch.linalg.vector_norm(torch.cat(rows).double())
        return norm.float()

    def scale_grads(self, factor: float | Tensor) -> None:
        torch._foreach_mul_(self._grads(), factor)

    def full_weights(self) -> dict[str, Tensor]:
        return {
            name: p.detach().to("cpu", torch.float32, copy=True)
            for name, p in self.named_parameters()
        }

    @contextmanager
    def replaced_weights(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """See `Engine.replaced_weights`.

        Raises:
            ValueError: names or shapes differ from the model's.
        """
        own = dict(self.named_parameters())
        wrong = sorted(own.keys() ^ weights.keys())
        wrong += [n for n in own.keys() & weights.keys() if own[n].shape != weights[n].shape]
        if wrong:
            raise ValueError(f"weights of another model: names or shapes differ at {wrong[:5]}")
        kept = {name: p.data for name, p in own.items()}
        try:
            for name, p in own.items():
                p.data = weights[name].to(p.device, p.dtype, copy=True)
            yield
        finally:
            for name, p in own.items():
                p.data = kept[name]

    def _seed_piece(self, piece: int) -> None:
        torch.manual_seed(seed_for(self.seed, "dropout", self._step, piece))

    def _precision(self) -> AbstractContextManager[None]:
        """Autocast keeps its bf16 copies of the weights until the block ends: one cast a step."""
        on = self.config.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=on)

    def _pieces(self, batch: Batch) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Contiguous rows of (src_BS, tgt_BT, out_BT) on the device."""
        n = min(self.config.microbatches, batch.src_BS.shape[0])
        parts = (
            x.to(self.device, non_blocking=True).tensor_split(n)
            for x in (batch.src_BS, batch.tgt_BT, batch.out_BT)
        )
        return list(zip(*parts, strict=True))

    def _forward(
        self, piece: tuple[Tensor, Tensor, Tensor], count: int, pieces: int
    ) -> tuple[Tensor, Tensor]:
        """(share of the loss: a mean over `count` tokens and `pieces`; -log p of its rows [B])."""
        src_BS, tgt_BT, out_BT = piece
        nlls: list[Tensor] = []

        def readout(x_BTD: Tensor, project: Projection) -> Tensor:
            objective, nll_B = self.loss(x_BTD, project, out_BT)
            nlls.append(nll_B)
            return objective

        tokens = Tokens(src_BS, tgt_BT, readout=readout)
        _ = tokens.src_mask_B11S  # cached here: inside a compiled segment it would break the graph
        flow = self.model(tokens)
        return flow.x / count + flow.aux.sum() / pieces, nlls[0]

    def _grads(self) -> list[Tensor]:
        return [p.grad for p in self.model.parameters() if p.grad is not None]
