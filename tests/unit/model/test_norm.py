"""Norms against double precision."""

import pytest
import torch
from torch import Tensor

from m4nmt.model import norm


def reference(kind: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if kind == "layer":
        x = x - x.mean(-1, keepdim=True)
    out = x / (x.square().mean(-1, keepdim=True) + norm.EPSILON).sqrt() * weight
    return out if bias is None else out + bias


def made(kind: str, dim: int) -> norm.LayerNorm | norm.RMSNorm:
    module = norm.build(kind, dim)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 1.0, 0.3)
    return module


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 300.0])
def test_values_and_gradients(
    kind: str, dtype: torch.dtype, tolerance: float, scale: float
) -> None:
    torch.manual_seed(0)
    module = made(kind, 48)
    x = (torch.randn(3, 5, 48) * scale).to(dtype).requires_grad_()
    upstream = torch.randn(3, 5, 48).to(dtype)
    out = module(x)
    out.backward(upstream)
    assert out.dtype == dtype
    exact = [p.detach().double().requires_grad_() for p in module.parameters()]
    x64 = x.detach().double().requires_grad_()
    expected = reference(kind, x64, exact[0], exact[1] if len(exact) > 1 else None)
    expected.backward(upstream.double())
    pairs = [(out, expected), (x.grad, x64.grad)]
    pairs += [(p.grad, e.grad) for p, e in zip(module.parameters(), exact, strict=True)]
    for got, right in pairs:
        error = (got.detach().double() - right.detach()).abs().max() / right.abs().max()
        assert float(error.detach()) < tolerance


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_gradients_by_finite_differences(kind: str) -> None:
    torch.manual_seed(0)
    module = made(kind, 6).double()
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_bf16_statistics_are_not_bf16(kind: str) -> None:
    """1 + small noise: a mean or a sum of squares in bf16 over 4096 numbers would stop growing."""
    torch.manual_seed(0)
    module = norm.build(kind, 4096)
    for parameter in module.parameters():
        torch.nn.init.ones_(parameter)
    x = (3 + torch.randn(2, 4096)).bfloat16()
    bias = torch.ones(4096).double() if kind == "layer" else None
    expected = reference(kind, x.double(), torch.ones(4096).double(), bias)
    assert torch.allclose(module(x).double(), expected, atol=0.03)
