"""Dropout, and dropout joined to a residual sum.

On a CPU torch draws dropout masks one number at a time, which costs as much as a tenth of a
training step; here four mask elements are cut from each 64-bit random number instead.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 1 << 16


def keep_mask(like: Tensor, p: float) -> Tensor:
    """Zero with probability p (to within 2^-17), else the number that makes the mean exactly one.

    Same shape, dtype and device as `like`; drawn from torch's default CPU generator.
    """
    dropped = round(p * LEVELS)
    words = torch.empty((like.numel() + 3) // 4, dtype=torch.int64)
    bits = words.random_(-(1 << 63), None).view(torch.int16)[: like.numel()]
    mask = torch.empty_like(like, memory_format=torch.contiguous_format)
    torch.ge(bits, dropped - LEVELS // 2, out=mask.view(-1))
    return mask.mul_(LEVELS / (LEVELS - dropped))


class _Join(torch.autograd.Function):
    """stream + x * mask in one pass; the mask needs no gradient."""

    @staticmethod
    def forward(ctx: Any, stream: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return torch.addcmul(stream, x, mask)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (mask,) = ctx.saved_tensors
        return gradients[0], gradients[0] * mask, None


def _by_hand(x: Tensor) -> bool:
    """Whether our mask is the faster one. A compiler fuses torch's, and cannot see into ours."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


class Dropout(nn.Module):
    """Zeroes each element with probability p in training and scales the rest to the same mean."""

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0.0 <= p < 1.0:
            raise ValueError(f"a dropout probability lies in [0, 1), got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.p or not self.training:
            return x
        return x * keep_mask(x, self.p) if _by_hand(x) else F.dropout(x, self.p)

    def join(self, stream: Tensor, x: Tensor) -> Tensor:
        """stream + dropout(x)."""
        if self.p and self.training and _by_hand(x) and stream.dtype == x.dtype:
            joined: Tensor = _Join.apply(stream, x, keep_mask(x, self.p))  # type: ignore[no-untyped-call]
            return joined
        return stream + self.forward(x)
