"""Run code for a GPU on meta tensors, with what torch would do on the GPU that is not there.

Code that asks for a tensor's device takes the road of "no CPU"; here the operations are replaced
that meta tensors compute otherwise than a GPU does: fused kernels of attention, dropout and
RMSNorm, and autocast (torch's AT_FORALL_LOWER_PRECISION_FP and AT_FORALL_FP32, as far as our layers
use them).

Shape letters: B rows, T queries, S keys, H query heads, G key/value heads, K head width.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

BF16 = torch.bfloat16


@contextmanager
def gpu(precision: Literal["fp32", "bf16"]) -> Iterator[None]:
    """Inside, meta tensors are computed as on a GPU; in bf16, under autocast."""
    half = precision == "bf16"

    def enabled(kind: str = "") -> bool:
        return half

    def dtype(kind: str = "") -> torch.dtype:
        return BF16

    # torch refuses to answer these for meta
    with (
        patch.object(torch, "is_autocast_enabled", enabled),
        patch.object(torch, "get_autocast_dtype", dtype),
        _Kernels(half),
    ):
        yield


class _Kernels(TorchFunctionMode):
    """Replaces functions."""

    def __init__(self, half: bool) -> None:
        super().__init__()
        self.half = half
        self._copies: dict[int, Tensor] = {}  # of weights, as autocast's cache
        self._instead: dict[Any, Callable[..., Any]] = {
            F.linear: self._linear,
            torch.bmm: self._bmm,
            F.layer_norm: self._layer_norm,
            F.rms_norm: self._rms_norm,
            F.dropout: self._dropout,
            Tensor.softmax: self._softmax,
            F.scaled_dot_product_attention: self._attention,
        }

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        return self._instead.get(func, func)(*args, **(kwargs or {}))

    def _low(self, x: Tensor) -> Tensor:
        """In bf16 under autocast; a weight is copied once."""
        if not self.half or x.dtype == BF16:
            return x
        if not (x.is_leaf and x.requires_grad):
            return x.to(BF16)
        key = x.untyped_storage()._cdata
        if key not in self._copies:
            self._copies[key] = x.to(BF16)
        return self._copies[key]

    def _high(self, x: Tensor) -> Tensor:
        return x.float() if self.half else x

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.linear(self._low(x), self._low(weight), None if bias is None else self._low(bias))

    def _bmm(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.bmm(self._low(a), self._low(b))

    def _softmax(self, x: Tensor, dim: int) -> Tensor:
        return self._high(x).softmax(dim)

    def _layer_norm(
        self, x: Tensor, shape: Any, weight: Tensor, bias: Tensor, eps: float = 1e-5
    ) -> Tensor:
        return F.layer_norm(self._high(x), shape, weight, bias, eps)

    def _rms_norm(self, x: Tensor, shape: Any, weight: Tensor, eps: float = 1e-5) -> Tensor:
        out: Tensor = torch.ops.aten._fused_rms_norm(x, list(shape), weight, eps)[0]
        return out

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, **_: Any) -> Tensor:
        return torch.native_dropout(x, p, True)[0] if p and training else x

    def _attention(
        self,
        q_BHTK: Tensor,
        k_BGSK: Tensor,
        v_BGSK: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        enable_gqa: bool = False,
    ) -> Tensor:
        """FlashAttention where there is no mask and numbers have 16 bits, else the memory-efficient
        kernel, which knows no grouped heads."""
        q_BHTK, k_BGSK, v_BGSK = (self._low(x) for x in (q_BHTK, k_BGSK, v_BGSK))
        out: Tensor
        if attn_mask is None and q_BHTK.dtype == BF16:
            out = torch.ops.aten._scaled_dot_product_flash_attention(
                q_BHTK, k_BGSK, v_BGSK, dropout_p, is_causal
            )[0]
            return out
        groups = q_BHTK.shape[1] // k_BGSK.shape[1]
        if groups > 1:
            k_BGSK, v_BGSK = (x.repeat_interleave(groups, 1) for x in (k_BGSK, v_BGSK))
        bias = None
        if attn_mask is not None:
            zero = torch.zeros_like(attn_mask, dtype=q_BHTK.dtype)
            bias = zero.expand(*q_BHTK.shape[:3], k_BGSK.shape[2])
        out = torch.ops.aten._scaled_dot_product_efficient_attention(
            q_BHTK, k_BGSK, v_BGSK, bias, True, dropout_p, is_causal
        )[0]
        return out
