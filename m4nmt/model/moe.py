"""A mixture of feed-forwards in place of one: route, send to experts, sum.

One road for every router: choices that were kept are sorted by expert, experts run on ragged groups
of rows, and each token sums its results by their weights. A token without a choice gets 0, so that
its residual passes. Padding takes no part.

Shape letters: B rows, L positions, S source length, N tokens (B * L), D width, E experts, U units,
K choices of a token, C kept choices.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from m4nmt.model import experts, routers
from m4nmt.model.flow import PAD, Tokens
from m4nmt.model.routers import Chosen, Units
from m4nmt.model.routing import Counts, Notes
from m4nmt.model.settings import MoEConfig


class MoE(nn.Module):
    """A router and its experts.

    Attributes:
        notes: where statistics go, None: nowhere (`watch` sets it).
    """

    def __init__(self, config: MoEConfig, dim: int, vocab: int, gain: float) -> None:
        super().__init__()
        self.config = config
        self.router = routers.build(config, dim, vocab)
        self.experts = experts.build(config, dim, gain)
        self.notes: Notes | None = None

    def forward(self, x_BLD: Tensor, ids_BL: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """(sum of the chosen experts' results [B,L,D], auxiliary loss [1], 0 in inference).

        Args:
            ids_BL: of these positions; PAD is not routed.
            tokens: of the micro-batch.
        """
        B, L, _ = x_BLD.shape
        real_BL = ids_BL != PAD
        tag_B = tokens.src_BS[:, 0].repeat_interleave(B // tokens.src_BS.shape[0])
        units = self._units(x_BLD, real_BL, tag_B)
        chosen, loss = self.router(units)
        if len(units.real_U) != B * L:
            chosen = _spread(chosen, real_BL)
        if self.notes is not None:
            self.notes.note(tokens.src_BS, self._counts(chosen, tag_B))
        out_ND = self._mix(x_BLD.flatten(0, 1), chosen)
        return out_ND.view_as(x_BLD), loss.view(1)

    def _units(self, x_BLD: Tensor, real_BL: Tensor, tag_B: Tensor) -> Units:
        rows = len(tag_B)
        match self.config.level:
            case "token":
                return Units(x_BLD.flatten(0, 1), real_BL.flatten(), rows)
            case "sentence":
                total_BD = (x_BLD.float() * real_BL[..., None]).sum(1)
                mean_BD = total_BD / real_BL.sum(1, keepdim=True).clamp(min=1)
                return Units(mean_BD, real_BL.any(1), rows)
            case "language":
                return Units(tag_B, real_BL.any(1), rows)

    def _mix(self, x_ND: Tensor, chosen: Chosen) -> Tensor:
        """Run what was kept, sum by weights."""
        (N, D), K = x_ND.shape, chosen.expert_UK.shape[1]
        sent = _sort(chosen, self.config.experts)
        x_CD = x_ND.index_select(0, sent.choice_C // K)
        y_CD = self.experts(x_CD, sent.counts_E)
        y_NKD = y_CD.new_zeros(N * K, D).index_copy(0, sent.choice_C, y_CD).view(N, K, D)
        out_ND: Tensor = (y_NKD * chosen.weight_UK[..., None]).sum(1)
        return out_ND.to(x_ND.dtype)

    def _counts(self, chosen: Chosen, tag_B: Tensor) -> Counts:
        B, E = len(tag_B), self.config.experts
        expert_BX = chosen.expert_UK.reshape(B, -1)

        def count(which_UK: Tensor) -> Tensor:
            one_BX = which_UK.reshape(B, -1).long()
            return one_BX.new_zeros(B, E).scatter_add(1, expert_BX, one_BX)

        return Counts(tag_B, count(chosen.wanted_UK), count(chosen.kept_UK))


class Sent(NamedTuple):
    """Kept choices by expert: `choice_C` is token * K + number of its choice."""

    choice_C: Tensor
    counts_E: Tensor


def _sort(chosen: Chosen, experts: int) -> Sent:
    kept_C = chosen.kept_UK.flatten().nonzero().squeeze(1)
    expert_C, order_C = chosen.expert_UK.flatten()[kept_C].sort(stable=True)
    return Sent(kept_C[order_C], torch.bincount(expert_C, minlength=experts))


def _spread(chosen: Chosen, real_BL: Tensor) -> Chosen:
    """Choices of rows as choices of all their real tokens."""
    expert, weight, wanted, kept = (t.repeat_interleave(real_BL.shape[1], 0) for t in chosen)
    real_N1 = real_BL.reshape(-1, 1)
    return Chosen(expert, weight, wanted & real_N1, kept & real_N1)


@contextmanager
def watch(model: nn.Module) -> Iterator[dict[str, Notes]]:
    """Note what the mixtures of a model do inside the with-block, by name of the mixture."""
    mixtures = {name: module for name, module in model.named_modules() if isinstance(module, MoE)}
    notes = {name: Notes() for name in mixtures}
    for name, module in mixtures.items():
        module.notes = notes[name]
    try:
        yield notes
    finally:
        for module in mixtures.values():
            module.notes = None
