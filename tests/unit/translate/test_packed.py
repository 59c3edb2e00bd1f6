"""Packed and eight-bit linear maps against plain ones."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_models import CONFIGS, build, pad, sources

from m4nmt.core.config import ConfigError
from m4nmt.model.flow import Tokens
from m4nmt.model.linear import Linear
from m4nmt.translate import packed
from m4nmt.translate.packed import Eight, Packed, PackedHead, pack
from m4nmt.translate.search import largest

here = pytest.mark.skipif(
    not packed._works(Packed, torch.float32), reason="this build of torch packs no weights"
)
eight_here = pytest.mark.skipif(
    not packed._works(Eight, torch.float32), reason="this build of torch multiplies no eight bits"
)


@here
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 5, 33, 320])
@pytest.mark.parametrize("bias", [True, False])
def test_packed_equals_plain(dtype: torch.dtype, rows: int, bias: bool) -> None:
    weight, x = torch.randn(48, 64).to(dtype), torch.randn(rows, 2, 64).to(dtype)
    b = torch.randn(48).to(dtype) if bias else None
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    assert torch.allclose(Packed(weight, b)(x), F.linear(x, weight, b), atol=tolerance)


@eight_here
@pytest.mark.parametrize("rows", [1, 5, 33])
def test_eight_bits_are_near(rows: int) -> None:
    weight, x, b = torch.randn(48, 64) / 8, torch.randn(rows, 64), torch.randn(48)
    x *= torch.logspace(-3, 3, rows)[:, None]  # rows of very different sizes
    exact, found = F.linear(x, weight, b), Eight(weight, b)(x)
    scale = x.abs().amax(1, keepdim=True)
    assert float(((found - exact).abs() / (scale + 1)).max()) < 0.03
    assert not torch.equal(found, exact)


@eight_here
def test_in_eight_bits_a_row_does_not_depend_on_its_neighbours() -> None:
    eight, x = Eight(torch.randn(48, 64), None), torch.randn(9, 64)
    x[1] *= 1000
    x[2] = 0
    together = eight(x)
    assert torch.equal(together[2], torch.zeros(48))
    for i in range(9):
        assert torch.allclose(eight(x[i : i + 1])[0], together[i], rtol=1e-6)


@here
@pytest.mark.parametrize("name", CONFIGS)
def test_a_packed_model_gives_the_same(name: str) -> None:
    model = build(name, dtype=torch.float32)
    src_BS = pad(sources(5, (7, 3, 12)))
    tgt_BT = torch.randint(6, 20, (3, 5))
    with torch.inference_mode():
        expected = model(Tokens(src_BS, tgt_BT)).x
        changed = pack(copy.deepcopy(model))
        assert torch.allclose(changed(Tokens(src_BS, tgt_BT)).x, expected, atol=1e-4)
    assert isinstance(changed.get_submodule("head"), PackedHead)
    assert not any(isinstance(m, Linear) for m in changed.modules())


@eight_here
def test_eight_bits_of_a_whole_model() -> None:
    model = build("classic", dtype=torch.float32)
    src_BS, tgt_BT = pad(sources(5, (7, 3, 12))), torch.randint(6, 20, (3, 5))
    with torch.inference_mode():
        expected = model(Tokens(src_BS, tgt_BT)).x.log_softmax(-1)
        found = pack(model, eight_bits=True)(Tokens(src_BS, tgt_BT)).x.log_softmax(-1)
    assert 0 < float((found - expected).abs().mean()) < 0.1


def test_where_torch_packs_nothing_all_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_works", lambda kind, dtype: False)
    model = build("classic")
    assert any(isinstance(m, Linear) for m in pack(model).modules())
    with pytest.raises(ConfigError, match="use bf16 or fp32"):
        pack(model, eight_bits=True)


@settings(max_examples=50, deadline=None)
@given(
    words=st.integers(1, 700),
    count=st.integers(1, 6),
    few=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_largest_are_the_largest(words: int, count: int, few: bool, seed: int) -> None:
    x_RV = torch.randn(3, words, generator=torch.Generator().manual_seed(seed))
    if few:
        x_RV[:, torch.rand(words) < 0.9] = -torch.inf
    values, indices = largest(x_RV, count)
    expected = x_RV.topk(min(count, words)).values
    assert torch.equal(values, expected)
    assert torch.equal(x_RV.gather(1, indices), expected)
    assert all(len(set(row)) == len(row) for row in indices.tolist())
