"""Feed-forwards against their formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m4nmt.model import ffn
from m4nmt.model.settings import DenseConfig, FeedForward, GatedConfig

CONFIGS = [
    DenseConfig(hidden=12),
    DenseConfig(hidden=12, activation="gelu", bias=False),
    GatedConfig(hidden=12),
    GatedConfig(hidden=12, activation="gelu", bias=True),
]


def made(config: FeedForward, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    module = ffn.build(config, 8, dropout, 1.0)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def by_hand(config: FeedForward, m: nn.Module, x: Tensor) -> Tensor:
    def linear(part: nn.Module, value: Tensor) -> Tensor:
        out = torch.einsum("blf,of->blo", value, part.weight)
        return out if part.bias is None else out + part.bias

    act = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}[config.activation]
    if isinstance(config, GatedConfig):
        return linear(m.down, act(linear(m.gate, x)) * linear(m.up, x))
    return linear(m.down, act(linear(m.up, x)))


@pytest.mark.parametrize("config", CONFIGS)
def test_formula_and_gradients(config: FeedForward) -> None:
    module, x = made(config), torch.randn(2, 3, 8, requires_grad=True)
    upstream = torch.randn(2, 3, 8)
    results = []
    for run in (module, lambda value: by_hand(config, module, value)):
        module.zero_grad()
        x.grad = None
        out = run(x)
        out.backward(upstream)
        results.append([out.detach(), x.grad, *(p.grad for p in module.parameters())])
    assert ("bias" in dict(module.up.named_parameters())) == config.bias
    for got, expected in zip(*results, strict=True):
        assert torch.allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("config", CONFIGS)
def test_hidden_dropout(config: FeedForward) -> None:
    module, x = made(config, dropout=0.5), torch.randn(2, 3, 8)
    assert not torch.equal(module(x), module(x))
    assert torch.equal(module.eval()(x), made(config)(x))
