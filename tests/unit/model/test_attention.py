"""Attention against explicit loops and against torch's own modules."""

import math

import pytest
import torch
import torch.nn.functional as F
from model_made import DIM, HEADS, config, ids, layer, real, tokens
from torch import Tensor, nn

from m4nmt.model import attention
from m4nmt.model.flow import PAD, Tokens
from m4nmt.model.settings import AttentionConfig, LayerConfig, RelativeBias, Rotary


def loops(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None, cap: float
) -> Tensor:
    """softmax over keys, one query at a time, in double precision."""
    B, H, T, K = q.shape
    G, S = k.shape[1:3]
    seen = torch.ones(B, H, T, S).bool() if mask is None else mask.expand(B, H, T, S)
    scores = torch.einsum("bhtk,bhsk->bhts", q.double(), k.double().repeat_interleave(H // G, 1))
    out = torch.zeros(B, H, T, K, dtype=torch.float64)
    for b in range(B):
        for h in range(H):
            g = h // (H // G)
            for t in range(T):
                logits = []
                for s in range(S):
                    x = float(scores[b, h, t, s]) / math.sqrt(K)
                    x += 0.0 if bias is None else float(bias[h, t, s])
                    x = cap * math.tanh(x / cap) if cap else x
                    logits.append(x if seen[b, h, t, s] else -math.inf)
                weights = torch.tensor(logits, dtype=torch.float64).softmax(0)
                out[b, h, t] = weights @ v[b, g].double()
    return out


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("masked", ["none", "padding", "causal"])
@pytest.mark.parametrize("extra", ["plain", "bias", "cap", "bias-cap"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_kernels_equal_loops(groups: int, masked: str, extra: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    B, H, T, S, K = 2, 4, 2, 5, 6
    q, k, v = (torch.randn(B, n, L, K).to(dtype) for n, L in ((H, T), (groups, S), (groups, S)))
    mask = {
        "none": None,
        "padding": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]).bool()[:, None, None, :],
        "causal": attention._causal(T, S, torch.device("cpu")),
    }[masked]
    bias = torch.randn(H, T, S) if "bias" in extra else None
    cap = 1.5 if "cap" in extra else 0.0
    given = {"causal": True} if masked == "causal" else {"mask": mask}
    got = attention.attend(q, k, v, **given, bias_HTS=bias, soft_cap=cap)
    expected = loops(q, k, v, mask, bias, cap)
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    assert torch.allclose(got.double(), expected, atol=tolerance)
    plain = attention._by_products(q, k, v, mask, bias, 0.0, cap)
    assert torch.allclose(plain.double(), expected, atol=tolerance)


def test_the_cap_bounds_the_logits_before_the_mask() -> None:
    q = torch.full((1, 1, 1, 4), 100.0)
    k = torch.stack((torch.full((4,), 100.0), torch.zeros(4), torch.full((4,), 100.0)))[None, None]
    v = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0]])[None, None]
    mask = torch.tensor([True, True, False])[None, None, None]
    weights = attention.attend(q, k, v, mask, soft_cap=2.0)[0, 0, 0]
    assert weights[0] == pytest.approx(1 / (1 + math.exp(-2.0)), rel=1e-5)
    assert float(weights[2]) == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_causal_in_a_square_and_for_one_query(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 2, 4, 6).to(dtype) for _ in range(3))
    expected = loops(q, k, v, torch.ones(4, 4).tril().bool(), None, 0.0)
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    got = attention.attend(q, k, v, causal=True)
    assert torch.allclose(got.double(), expected, atol=tolerance)
    last = attention.attend(q[:, :, 3:], k, v, causal=True)
    assert torch.allclose(last.double(), expected[:, :, 3:], atol=tolerance)


def test_a_causal_mask_after_an_offset() -> None:
    mask = attention._causal(2, 5, torch.device("cpu"))
    assert mask.int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_that_sees_nothing_is_finite_with_finite_gradients(dtype: torch.dtype) -> None:
    q, k, v = (torch.randn(2, 2, 3, 4).to(dtype).requires_grad_() for _ in range(3))
    mask = torch.tensor([[True] * 3, [False] * 3])[:, None, None]
    out = attention.attend(q, k, v, mask)
    (out * torch.tensor([1.0, 0.0])[:, None, None, None]).sum().backward()
    for x in (out, q.grad, k.grad, v.grad):
        assert x is not None
        assert x.isfinite().all()


def test_an_all_padding_row_leaves_the_others_and_their_gradients_alone() -> None:
    model = real(config())
    src, tgt = ids(3, 5, 1), ids(3, 4, 2)
    model(Tokens(src, tgt)).x.sum().backward()
    expected = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    empty = torch.zeros(1, 5, dtype=torch.int64)
    logits = model(Tokens(torch.cat((src, empty)), torch.cat((tgt, empty[:, :4])))).x
    logits[:3].sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, expected[name], atol=1e-4), name


@pytest.mark.parametrize("bias", [True, False])
def test_self_attention_equals_torchs_module(bias: bool) -> None:
    torch.manual_seed(0)
    c = config(layer(bias=bias))
    ours = real(c).enc000.attention
    theirs = nn.MultiheadAttention(DIM, HEADS, bias=bias, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat((ours.q.weight, ours.k.weight, ours.v.weight)))
        theirs.out_proj.weight.copy_(ours.out.weight)
        if bias:
            theirs.in_proj_bias.copy_(torch.cat((ours.q.bias, ours.k.bias, ours.v.bias)))
            theirs.out_proj.bias.copy_(ours.out.bias)
    batch, x = tokens(), torch.randn(5, 7, DIM)
    expected, _ = theirs(x, x, x, key_padding_mask=batch.src_BS == PAD)
    assert torch.allclose(ours(x, batch), expected, atol=1e-5)


def test_grouped_heads_equal_repeated_keys() -> None:
    """A grouped layer is a full one whose key and value heads are copies."""
    few, many = (real(config(layer(kv_heads=n))).enc000.attention for n in (2, 4))
    with torch.no_grad():
        many.q.load_state_dict(few.q.state_dict())
        many.out.load_state_dict(few.out.state_dict())
        for a, b in ((few.k, many.k), (few.v, many.v)):
            b.weight.copy_(a.weight.view(2, 4, DIM).repeat_interleave(2, 0).view(DIM, DIM))
            b.bias.copy_(a.bias.view(2, 4).repeat_interleave(2, 0).view(DIM))
    batch, x = tokens(), torch.randn(5, 7, DIM)
    assert torch.allclose(few(x, batch), many(x, batch), atol=1e-5)


def test_qk_norm_makes_the_scale_of_queries_and_keys_irrelevant() -> None:
    normed, plain = (real(config(layer(qk_norm=q, bias=False))).enc000.attention for q in (1, 0))
    batch, x = tokens(), torch.randn(5, 7, DIM)
    for module, invariant in ((normed, True), (plain, False)):
        before = module(x, batch)
        with torch.no_grad():
            module.q.weight.mul_(7.0)
            module.k.weight.mul_(3.0)
        assert torch.allclose(module(x, batch), before, atol=1e-3) == invariant


def test_dropout_on_weights_only_in_training() -> None:
    model = real(config(layer(), n=1, m=1))
    attended = attention.SelfAttention(
        DIM, LayerConfig(attention=AttentionConfig(heads=HEADS, dropout=0.5)), Rotary(), 1.0
    )
    attended.load_state_dict(model.enc000.attention.state_dict())
    batch, x = tokens(), torch.randn(5, 7, DIM)
    assert torch.equal(attended.eval()(x, batch), attended(x, batch))
    assert not torch.equal(attended.train()(x, batch), attended(x, batch))


def test_a_relative_bias_reaches_the_scores_and_gets_gradients() -> None:
    model = real(config(position=RelativeBias(buckets=8)))
    model(tokens()).x.sum().backward()
    for name in ("enc000", "dec002"):
        table = model.get_submodule(f"{name}.attention.position").table
        assert table.grad.abs().sum() > 0
    assert not hasattr(model.dec000.cross, "position")


def test_one_kernel_for_each_kind_of_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    plain, fused = attention._by_products, F.scaled_dot_product_attention
    monkeypatch.setattr(attention, "_by_products", lambda *a: used.append("plain") or plain(*a))
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda *a, **k: used.append("fused") or fused(*a, **k)
    )
    for dtype in (torch.float32, torch.bfloat16):
        q = torch.randn(1, 2, 3, 4).to(dtype)
        attention.attend(q, q, q)
        attention.attend(q, q, q, soft_cap=5.0)
    assert used == ["fused", "plain", "plain", "plain"]
