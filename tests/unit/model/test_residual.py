"""Residual rules against their formulas, and torch's own layers."""

from collections.abc import Callable

import pytest
import torch
from model_made import DIM, HEADS, config, layer, real, tokens
from torch import Tensor, nn

from m4nmt.model import norm, residual
from m4nmt.model.flow import PAD, Flow
from m4nmt.model.residual import Place
from m4nmt.model.settings import DeepNorm, DenseConfig, Parallel, PostNorm, PreNorm, Residual

PLACE = Place("encoder", 6, 6)


def f(x: Tensor) -> Tensor:
    return x * 2 + 1


def g(x: Tensor) -> Tensor:
    return x.square()


def by_hand(rule: Residual, x: Tensor, first: nn.Module, second: nn.Module) -> Tensor:
    match rule:
        case PreNorm():
            x = x + f(first(x))
            return x + g(second(x))
        case PostNorm():
            x = first(x + f(x))
            return second(x + g(x))
        case DeepNorm():
            alpha = 0.81 * (6**4 * 6) ** (1 / 16)
            x = first(alpha * x + f(x))
            return second(alpha * x + g(x))
        case Parallel():
            return x + f(first(x)) + g(first(x))


@pytest.mark.parametrize("rule", [PreNorm(), PostNorm(), DeepNorm(), Parallel()])
def test_each_rule_is_its_formula(rule: Residual) -> None:
    torch.manual_seed(0)
    built = residual.build(layer(residual=rule), ("f", "g"), DIM, PLACE)
    norms = [m for m in built.modules() if isinstance(m, norm.LayerNorm)]
    assert len(norms) == (1 if rule == Parallel() else 2)
    for module in norms:
        nn.init.normal_(module.weight, 1.0)
        nn.init.normal_(module.bias)
    x = torch.randn(2, 3, DIM)
    assert torch.allclose(built(x, (f, g)), by_hand(rule, x, norms[0], norms[-1]), atol=1e-5)


@pytest.mark.parametrize(
    ("n", "m", "encoder", "decoder"),
    [(6, 6, (1.418, 0.497), (2.060, 0.343)), (64, 64, (2.971, 0.237), (3.722, 0.190))],
)
def test_the_constants_of_deepnorm(
    n: int, m: int, encoder: tuple[float, float], decoder: tuple[float, float]
) -> None:
    for stack, expected in (("encoder", encoder), ("decoder", decoder)):
        found = residual.deepnorm_constants(Place(stack, n, m))
        assert found == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(
    ("rule", "normed"), [(PreNorm(), 1), (Parallel(), 1), (PostNorm(), 0), (DeepNorm(), 0)]
)
def test_stacks_end_with_a_norm_where_the_stream_is_not_normalised(
    rule: Residual, normed: int
) -> None:
    model = real(config(layer(residual=rule)))
    for segment in (model.bridge, model.head):
        assert sum(isinstance(m, norm.LayerNorm) for m in segment.modules()) == normed


def copy_encoder_layer(ours: nn.Module, theirs: nn.TransformerEncoderLayer) -> None:
    """Our weights into torch's names."""
    a = ours.attention
    pairs = {
        theirs.self_attn.in_proj_weight: torch.cat((a.q.weight, a.k.weight, a.v.weight)),
        theirs.self_attn.in_proj_bias: torch.cat((a.q.bias, a.k.bias, a.v.bias)),
        theirs.self_attn.out_proj.weight: a.out.weight,
        theirs.self_attn.out_proj.bias: a.out.bias,
    }
    for mine, other in (
        (ours.ffn.up, theirs.linear1),
        (ours.ffn.down, theirs.linear2),
        (ours.residual.attention, theirs.norm1),
        (ours.residual.ffn, theirs.norm2),
    ):
        pairs |= {other.weight: mine.weight, other.bias: mine.bias}
    with torch.no_grad():
        for other_parameter, value in pairs.items():
            other_parameter.copy_(value)


@pytest.mark.parametrize("rule", [PreNorm(), PostNorm()])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_an_encoder_layer_equals_torchs(rule: Residual, activation: str) -> None:
    ffn = DenseConfig(hidden=24, activation=activation)
    ours = real(config(layer(residual=rule, ffn=ffn))).enc000
    theirs = nn.TransformerEncoderLayer(
        DIM, HEADS, 24, 0.0, activation, batch_first=True, norm_first=rule == PreNorm()
    )
    copy_encoder_layer(ours, theirs)
    batch, x = tokens(), torch.randn(5, 7, DIM)
    pads = batch.src_BS == PAD
    expected = theirs(x, src_key_padding_mask=pads)
    got = ours(Flow(x, torch.zeros(1)), batch).x
    assert torch.allclose(got[~pads], expected[~pads], atol=1e-5)


@pytest.mark.parametrize("rule", [PreNorm(), PostNorm(), DeepNorm(), Parallel()])
def test_residual_dropout_acts_on_the_branch_alone(rule: Residual) -> None:
    """With everything of a branch dropped the stream goes on."""
    built = residual.build(layer(residual=rule, residual_dropout=0.999), ("g",), DIM, PLACE)
    for module in built.modules():
        if isinstance(module, norm.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    x = torch.randn(4, 3, DIM)
    skip: Callable[[Tensor], Tensor] = built.norm if hasattr(built, "norm") else built.g
    expected = x if residual.ends_with_norm(rule) else skip(x)
    got = built(x, (g,))
    assert (torch.isclose(got, expected, atol=1e-3).float().mean()) > 0.8
    assert not torch.allclose(built.eval()(x, (g,)), expected, atol=0.1)
