"""The Engine: all that the trainer knows about devices.

Shape letters: B rows, T target length, D width.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from m4nmt.data.types import Batch
from m4nmt.model.flow import Projection


class Loss(Protocol):
    """What is minimised, computed from last states without holding all logits at once."""

    def __call__(self, x_BTD: Tensor, project: Projection, out_BT: Tensor) -> tuple[Tensor, Tensor]:
        """(objective summed over target tokens, a scalar; detached -log p summed by row [B])."""


class StepLoss(NamedTuple):
    """Of one global batch, equal on every rank, on the engine's device.

    Attributes:
        loss: what was minimised: sum / global target tokens, auxiliary loss included; a scalar.
        nll_B: each row's plain -log p summed over its target tokens.
        finite: whether the loss was finite here, before any reduction.
    """

    loss: Tensor
    nll_B: Tensor
    finite: bool


class Engine(Protocol):
    """A model laid over devices. `step` leaves gradients of the mean loss in the parameters."""

    device: torch.device
    data_rank: int
    data_world: int

    def step(self, batch: Batch) -> StepLoss:
        """Zero the gradients, then forward and backward of one global batch, in micro-batches."""

    def evaluate(self, batch: Batch) -> StepLoss:
        """Loss only, dropout off."""

    def seed_step(self, step: int) -> None:
        """Make every random number of the coming step a function of (run seed, step)."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Local parameters by their names in the whole model; a tied table once."""

    def grad_norm(self) -> Tensor:
        """Global L2 norm of all gradients, a scalar."""

    def scale_grads(self, factor: float | Tensor) -> None:
        """Multiply all gradients in place."""

    def full_weights(self) -> dict[str, Tensor]:
        """All weights on the CPU, whole and fp32, a tied table once, for a model folder."""

    def replaced_weights(self, weights: Mapping[str, Tensor]) -> AbstractContextManager[None]:
        """Use other weights (an average, say) inside the with-block."""
