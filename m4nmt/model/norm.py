"""Normalisation over the last dimension.

Statistics are fp32 at least, whatever the input is, and what comes out has the input's dtype, so
that the stream keeps it.

Shape letters: B rows, L length, D width.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

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
        normed_BLD = F.layer_norm(x_BLD, self.weight.shape, self.weight, self.bias, EPSILON)
        return normed_BLD.to(x_BLD.dtype)  # autocast on a GPU gives fp32


class _RMS(torch.autograd.Function):
    """x / rms(x) * weight in few passes; on a CPU torch's own takes twice the time or more."""

    @staticmethod
    def forward(ctx: Any, x_BLD: Tensor, weight_D: Tensor) -> Tensor:
        wide = torch.promote_types(x_BLD.dtype, torch.float32)
        length_BL1 = torch.linalg.vector_norm(x_BLD, dim=-1, keepdim=True, dtype=wide)
        mean_BL1 = length_BL1.square() / x_BLD.shape[-1]
        inverse_BL1 = torch.rsqrt(mean_BL1 + EPSILON).to(x_BLD.dtype)
        ctx.save_for_backward(x_BLD, weight_D, inverse_BL1)
        return (x_BLD * inverse_BL1).mul_(weight_D.to(x_BLD.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (g_BLD,) = gradients
        x_BLD, weight_D, inverse_BL1 = ctx.saved_tensors
        weight = weight_D.to(x_BLD.dtype)
        unit_BLD = x_BLD * inverse_BL1
        product_ND = (g_BLD * unit_BLD).flatten(0, -2)
        along_BL1 = torch.mv(product_ND, weight).view_as(inverse_BL1).div_(x_BLD.shape[-1])
        dx_BLD = (g_BLD * weight).sub_(unit_BLD.mul_(along_BL1)).mul_(inverse_BL1)
        return dx_BLD, product_ND.sum(0, dtype=weight_D.dtype)


class RMSNorm(Ruled):
    """Unit mean square, then scale (arXiv:1910.07467)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.rules = {"weight": ones}
        self.weight = nn.Parameter(torch.empty(dim))

    def forward(self, x_BLD: Tensor) -> Tensor:
        if x_BLD.device.type == "cpu":
            normed_BLD: Tensor = _RMS.apply(x_BLD, self.weight)  # type: ignore[no-untyped-call]
            return normed_BLD
        weight = self.weight.to(x_BLD.dtype)
        return F.rms_norm(x_BLD, weight.shape, weight, EPSILON).to(x_BLD.dtype)


def build(kind: Literal["layer", "rms"], dim: int) -> nn.Module:
    """The norm called `kind`."""
    return LayerNorm(dim) if kind == "layer" else RMSNorm(dim)
