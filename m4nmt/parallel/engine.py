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
from m4nmt.model.routing import Summary
from m4nmt.parallel.drift import Drift


class Loss(Protocol):
    """What is minimised, computed from last states without holding all logits at once."""

    def __call__(self, x_BTD: Tensor, project: Projection, out_BT: Tensor) -> tuple[Tensor, Tensor]:
        """(objective summed over target tokens, a scalar; detached -log p summed by row [B])."""


class Rows(NamedTuple):
    """What is known of each row of a global batch; CPU tensors [B], equal on every rank.

    Attributes:
        nll_B: plain -log p summed over the row's target tokens, fp64.
        target_B, source_B: real tokens.
        direction_B: index of the row's direction; -1 for a row of padding.
    """

    nll_B: Tensor
    target_B: Tensor
    source_B: Tensor
    direction_B: Tensor


class StepLoss(NamedTuple):
    """Of one global batch, equal on every rank.

    Attributes:
        loss: what was minimised: sum / global target tokens, auxiliary loss included; a scalar.
        rows: of the global batch.
        suspects: ranks on which the loss was not finite, before any reduction.
        shares: what each rank itself had of the loss (ranks that compute the same have the same).
    """

    loss: Tensor
    rows: Rows
    suspects: tuple[int, ...]
    shares: tuple[float, ...]

    @property
    def finite(self) -> bool:
        """Whether the loss was finite on every rank."""
        return not self.suspects


class Engine(Protocol):
    """A model laid over devices. `step` leaves gradients of the mean loss in the parameters.

    Every rank calls every method, in the same order, unless a method says otherwise.
    """

    device: torch.device
    data_rank: int
    data_world: int

    def step(self, batch: Batch) -> StepLoss:
        """Zero the gradients, then forward and backward of one global batch, in micro-batches."""

    def evaluate(self, batch: Batch) -> StepLoss:
        """Loss only, dropout off."""

    def seed_step(self, step: int) -> None:
        """Make every random number of the coming step a function of (run seed, step)."""

    def first_weights(self) -> None:
        """Give all weights the values with which the run began."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Local parameters by their names in the whole model; a tied table once."""

    def norms(self, tensors: Mapping[str, Tensor]) -> dict[str, float]:
        """L2 norms of tensors laid like the parameters of their names, of the whole model.

        Args:
            tensors: by the names of `named_parameters`; some or all of them.
        """

    def grad_norms(self) -> dict[str, float]:
        """L2 norm of the gradient of every parameter of the whole model."""

    def scale_grads(self, factors: float | Mapping[str, float]) -> None:
        """Multiply gradients in place, all alike or each by its own factor. Local."""

    def updated(self) -> None:
        """To be told after weights were changed in place (an update, a restored checkpoint)."""

    def drifts(self) -> list[Drift]:
        """Weights that ranks which should hold the same do not agree on."""

    def watched(self) -> AbstractContextManager[dict[str, Summary]]:
        """Note what routers do in the steps of the block; after it: by mixture, of all ranks."""

    def full_weights(self) -> dict[str, Tensor]:
        """All weights on the leader's CPU, whole and fp32, a tied table once, for a model folder;
        nothing on the other ranks."""

    def replaced_weights(self, weights: Mapping[str, Tensor]) -> AbstractContextManager[None]:
        """Use other whole weights (an average, say), given on every rank, inside the block."""
