"""Experts: feed-forwards with stacked weights that run on rows sorted by expert.

Here may lie all experts of a layer or some consecutive ones; an `Exchange` brings each row to where
its expert lies, and the result back. Not its job: choosing experts (routers).

Shape letters: D width, F hidden, E experts of the layer, H experts held here, R ranks that send
rows here, N rows of this rank's tokens, M rows that run here.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m4nmt.model.dropout import Dropout
from m4nmt.model.ffn import ACTIVATIONS
from m4nmt.model.init import Each, Ruled, xavier, zeros
from m4nmt.model.settings import DenseConfig, MoEConfig

ALIGNED = 16  # bytes; torch's grouped product takes rows whose length is a multiple


class Arrived(NamedTuple):
    """Rows where their experts lie.

    Attributes:
        x_MD: by sender, and for each sender by expert.
        counts_RH: rows of each sender for each expert held here; they sum to M.
        back: results [M,D], in the order of `x_MD`, to [N,D], in the order that was sent.
    """

    x_MD: Tensor
    counts_RH: Tensor
    back: Callable[[Tensor], Tensor]


class Exchange(Protocol):
    """How rows reach their experts. Gradients flow through both ways; every rank of a group calls
    both equally often, with no rows at all if need be."""

    def there(self, x_ND: Tensor, counts_E: Tensor) -> Arrived:
        """Send rows that are sorted by expert, counts_E [E] int64 for each expert of the layer."""


class Stay:
    """All experts lie here."""

    def there(self, x_ND: Tensor, counts_E: Tensor) -> Arrived:
        return Arrived(x_ND, counts_E[None], lambda y_ND: y_ND)


def _held(parameter: Tensor) -> Tensor:
    """What of a parameter lies here: all, or a DTensor's part (importing that class to ask for it
    would take a second)."""
    part: Tensor = parameter.to_local() if hasattr(parameter, "to_local") else parameter
    return part


def product(x_MD: Tensor, weight_HFD: Tensor, counts_H: Tensor) -> Tensor:
    """Rows sorted by expert times the transposed matrix of each one's expert [M,F]."""
    each = ALIGNED // x_MD.element_size()
    fits = not any(n % each for n in weight_HFD.shape[1:])
    if fits and (x_MD.device.type == "cpu" or x_MD.dtype == torch.bfloat16):
        ends_H = counts_H.cumsum(0).to(torch.int32)
        return F.grouped_mm(x_MD, weight_HFD.transpose(1, 2), offs=ends_H)
    parts = zip(torch.split(x_MD, counts_H.tolist()), weight_HFD.unbind(), strict=True)
    return torch.cat([part_MD @ weight_FD.t() for part_MD, weight_FD in parts])


class Stack(Ruled):
    """One linear map an expert: y = x W^T + b, W [H,outputs,inputs].

    First values are drawn for each expert by its number, so that a rank draws those it holds.
    """

    def __init__(self, experts: int, inputs: int, outputs: int, bias: bool, gain: float) -> None:
        super().__init__()
        self.rules = {"weight": Each(xavier(gain)), "bias": Each(zeros)}
        self.weight = nn.Parameter(torch.empty(experts, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(experts, outputs)) if bias else None

    def forward(self, x_MD: Tensor, counts_H: Tensor) -> Tensor:
        y_MF = product(x_MD, _held(self.weight).to(x_MD.dtype), counts_H)
        if self.bias is None:
            return y_MF
        bias_HF = _held(self.bias).to(x_MD.dtype)
        return y_MF + bias_HF.repeat_interleave(counts_H, 0, output_size=len(x_MD))


class Experts(nn.Module):
    """What both kinds share: two maps, the way there and back.

    Attributes:
        exchange: how rows reach their experts; whoever spreads experts over ranks replaces it.
    """

    def __init__(self, dim: int, config: MoEConfig, gain: float) -> None:
        super().__init__()
        one = config.expert
        self.exchange: Exchange = Stay()
        self.activation = ACTIVATIONS[one.activation]
        self.up = Stack(config.experts, dim, one.hidden, one.bias, gain)
        self.down = Stack(config.experts, one.hidden, dim, one.bias, gain)
        self.dropout = Dropout(config.dropout)

    def run(self, x_MD: Tensor, counts_H: Tensor) -> Tensor:
        """The experts held here on rows sorted by expert, counts_H for each."""
        raise NotImplementedError

    def forward(self, x_ND: Tensor, counts_E: Tensor) -> Tensor:
        """Each row through its expert [N,D].

        Args:
            x_ND: sorted by expert.
            counts_E: rows of each expert of the layer, int64.
        """
        kind = x_ND.device.type
        if torch.is_autocast_enabled(kind):
            x_ND = x_ND.to(torch.get_autocast_dtype(kind))
        x_MD, counts_RH, back = self.exchange.there(x_ND, counts_E)
        R, H = counts_RH.shape
        with torch.autocast(kind, enabled=False):  # all operands have the dtype already
            if R == 1:
                return back(self.run(x_MD, counts_RH[0]))
            expert_RH = torch.arange(H, device=x_MD.device).expand(R, H)
            expert_M = expert_RH.flatten().repeat_interleave(
                counts_RH.flatten(), output_size=len(x_MD)
            )
            order_M = expert_M.argsort(stable=True)
            y_MD = self.run(x_MD.index_select(0, order_M), counts_RH.sum(0))
            return back(y_MD.index_select(0, order_M.argsort()))


class DenseExperts(Experts):
    """W2 act(W1 x): `up` is W1, `down` is W2."""

    def run(self, x_MD: Tensor, counts_H: Tensor) -> Tensor:
        hidden_MF = self.dropout(self.activation(self.up(x_MD, counts_H)))
        out_MD: Tensor = self.down(hidden_MF, counts_H)
        return out_MD


class GatedExperts(Experts):
    """W2 (act(W1 x) * W3 x): `gate` is W1, `up` is W3, `down` is W2."""

    def __init__(self, dim: int, config: MoEConfig, gain: float) -> None:
        super().__init__(dim, config, gain)
        one = config.expert
        self.gate = Stack(config.experts, dim, one.hidden, one.bias, gain)

    def run(self, x_MD: Tensor, counts_H: Tensor) -> Tensor:
        hidden_MF = self.activation(self.gate(x_MD, counts_H)) * self.up(x_MD, counts_H)
        out_MD: Tensor = self.down(self.dropout(hidden_MF), counts_H)
        return out_MD


def build(config: MoEConfig, dim: int, gain: float) -> Experts:
    """The experts that `config` describes; `gain` scales their first weights."""
    kind = DenseExperts if isinstance(config.expert, DenseConfig) else GatedExperts
    return kind(dim, config, gain)
