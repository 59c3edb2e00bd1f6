"""Feed-forward parts. Not its job: mixtures of them (moe).

Shape letters: B rows, L length, D width, F hidden.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from m4nmt.model.dropout import Dropout
from m4nmt.model.linear import Linear
from m4nmt.model.settings import DenseConfig, GatedConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
}


class Dense(nn.Module):
    """W2 act(W1 x) (Vaswani et al. 2017, section 3.3)."""

    def __init__(self, dim: int, config: DenseConfig, dropout: float, gain: float) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.up = Linear(dim, config.hidden, config.bias, gain)
        self.down = Linear(config.hidden, dim, config.bias, gain)
        self.dropout = Dropout(dropout)

    def forward(self, x_BLD: Tensor) -> Tensor:
        out: Tensor = self.down(self.dropout(self.activation(self.up(x_BLD))))
        return out


class Gated(nn.Module):
    """W2 (act(W1 x) * W3 x) (arXiv:2002.05202): `gate` is W1, `up` is W3, `down` is W2."""

    def __init__(self, dim: int, config: GatedConfig, dropout: float, gain: float) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.gate = Linear(dim, config.hidden, config.bias, gain)
        self.up = Linear(dim, config.hidden, config.bias, gain)
        self.down = Linear(config.hidden, dim, config.bias, gain)
        self.dropout = Dropout(dropout)

    def forward(self, x_BLD: Tensor) -> Tensor:
        hidden_BLF = self.activation(self.gate(x_BLD)) * self.up(x_BLD)
        out: Tensor = self.down(self.dropout(hidden_BLF))
        return out


def build(config: DenseConfig | GatedConfig, dim: int, dropout: float, gain: float) -> nn.Module:
    """The part that `config` describes; `gain` scales the first weights."""
    if isinstance(config, DenseConfig):
        return Dense(dim, config, dropout, gain)
    return Gated(dim, config, dropout, gain)
