"""Normalisation over the last dimension. Statistics are taken in fp32 whatever the input is.

Shape letters: D width.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m4nmt.model.init import Ruled, ones, zeros

EPSILON = 1e-5


class LayerNorm(Ruled):
    """Zero mean, unit variance, then scale and shift (arXiv:1607.06450)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.rules = {"weight": ones, "bias": zeros}
        self.weight = nn.Parameter(torch.empty(dim))
        self.bias = nn.Parameter(torch.empty(dim))

    def forward(self, x_BLD: Tensor) -> Tensor:
        return F.layer_norm(x_BLD, self.weight.shape, self.weight, self.bias, EPSILON)


class RMSNorm(Ruled):
    """Unit mean square, then scale (arXiv:1910.07467)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.rules = {"weight": ones}
        self.weight = nn.Parameter(torch.empty(dim))

    def forward(self, x_BLD: Tensor) -> Tensor:
        return F.rms_norm(x_BLD, self.weight.shape, self.weight, EPSILON)


def build(kind: Literal["layer", "rms"], dim: int) -> nn.Module:
    """The norm called `kind`."""
    return LayerNorm(dim) if kind == "layer" else RMSNorm(dim)
