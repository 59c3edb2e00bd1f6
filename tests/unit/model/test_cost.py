"""Parameter counts against the formula and the papers; operations against torch's own counter."""

from dataclasses import replace

import pytest
from model_made import config, ids, layer, moe, real, variants
from torch.utils.flop_counter import FlopCounterMode

from m4nmt.model import attention, cost, experts
from m4nmt.model.flow import Tokens
from m4nmt.model.settings import (
    AttentionConfig,
    ExpertChoice,
    GatedConfig,
    ModelConfig,
    Switch,
    TopK,
    classic,
)

VARIANTS = variants()


def by_formula(n: int, dim: int, hidden: int, heads: int, vocab: int) -> int:
    """n layers a stack as `classic` has them, heads 64 wide, two tables."""
    inner = heads * 64
    attention_ = 4 * dim * inner + 3 * inner + dim
    ffn = 2 * dim * hidden + dim + hidden
    norm = 2 * dim
    encoder = n * (attention_ + ffn + 2 * norm) + norm
    decoder = n * (2 * attention_ + ffn + 3 * norm) + norm
    return 2 * vocab * dim + encoder + decoder


@pytest.mark.parametrize(
    ("n", "hidden", "heads", "published"),
    [
        (6, 8192, 16, 0.4e9),
        (24, 8192, 16, 1.3e9),
        (12, 16384, 32, 1.3e9),
        (32, 16384, 32, 3e9),
        (64, 16384, 32, 6e9),
    ],
)
def test_the_published_sizes_of_m4(n: int, hidden: int, heads: int, published: float) -> None:
    """GPipe (arXiv:1811.06965), section 5: T(layers, hidden, heads) with width 1024 and 64k
    pieces. The paper prints one or two digits; heads 64 wide, however many, explain all five."""
    plain = classic(layers=n, dim=1024, hidden=hidden, heads=heads, vocab=64000)
    one = replace(plain.encoder[0], attention=AttentionConfig(heads=heads, head_dim=64))
    c = replace(plain, encoder=(one,) * n, decoder=(one,) * n, ties="target")
    assert cost.parameters(c) == by_formula(n, 1024, hidden, heads, 64000)
    assert cost.parameters(c) == pytest.approx(published, rel=0.05)


@pytest.mark.parametrize("name", VARIANTS)
def test_segments_add_up_to_the_real_model(name: str) -> None:
    c = VARIANTS[name]
    total = sum(p.numel() for p in real(c).parameters())
    assert cost.parameters(c) == total
    assert sum(cost.by_segment(c).values()) == total
    assert cost.by_segment(c)["enc000"] == cost.by_segment(c)["enc001"] > 0


@pytest.mark.parametrize(
    "c",
    [
        config(),
        config(layer(kv_heads=2, head_dim=6), n=1, m=3),
        config(layer(ffn=GatedConfig(hidden=24)), n=3, m=1, ties="none"),
        config(layer(ffn=moe(router=TopK(k=3)))),
        config(layer(ffn=moe(router=TopK(), expert=GatedConfig(hidden=24))), n=1),
        config(layer(ffn=moe(router=TopK(), level="language"))),
    ],
)
def test_operations_equal_torchs_counter(c: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    # products that the counter sees one by one
    monkeypatch.setattr(
        attention.F,
        "scaled_dot_product_attention",
        lambda q, k, v, **_: attention._by_products(q, k, v, None, None, 0.0, 0.0),
    )
    monkeypatch.setattr(experts, "ALIGNED", 1 << 20)
    B, S, T = 3, 7, 5
    batch, model = Tokens(ids(B, S, padded=False), ids(B, T, padded=False)), real(c)
    with FlopCounterMode(display=False) as counter:
        model(batch)
    flops = cost.flops_per_token(c, S, T)
    assert B * (S * flops.source + T * flops.target) == counter.get_total_flops()


def test_a_training_step_is_three_forwards() -> None:
    batch, model = Tokens(ids(3, 7), ids(3, 5)), real(config(layer(soft_cap=5.0)))
    totals = []
    for backward in (False, True):
        with FlopCounterMode(display=False) as counter:
            out = model(batch).x.sum()
            if backward:
                out.backward()
        totals.append(counter.get_total_flops())
    assert totals[1] == 3 * totals[0]


def test_active_parameters() -> None:
    """Of four experts, those that a token is given to."""
    dense = config()
    assert cost.active_parameters(dense) == cost.parameters(dense)
    one = 2 * 16 * 24 + 24 + 16
    for router, chosen in ((Switch(), 1.0), (TopK(k=3), 3.0), (ExpertChoice(capacity=1.5), 1.5)):
        c = replace(dense, encoder=(layer(ffn=moe(router=router)), layer()))
        idle = (4 - chosen) * one
        assert cost.parameters(c) == cost.parameters(dense) + 3 * one + 4 * 16
        assert cost.active_parameters(c) == cost.parameters(c) - idle
