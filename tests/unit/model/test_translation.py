"""The whole model: padding, causality, gradients, ties, names, refusals."""

import time

import pytest
import torch
from model_made import DIM, VOCAB, config, ids, layer, real, tokens, variants

from m4nmt.core.config import ConfigError
from m4nmt.model.flow import PAD, Tokens
from m4nmt.model.settings import ModelConfig, Transparent, classic, modern
from m4nmt.model.translation import build, segment_names

VARIANTS = variants()
PRESETS = {
    "classic": classic(layers=2, dim=DIM, hidden=32, heads=4, vocab=VOCAB),
    "modern": modern(layers=(1, 2), dim=DIM, hidden=32, heads=4, kv_heads=2, vocab=VOCAB),
}
# the kernels of bf16 are made anew for each shape, which takes a while
SOME = [*PRESETS, "gqa", "soft-caps", "RelativeBias", "Parallel-transparent"]


@pytest.mark.parametrize("name", VARIANTS)
def test_padding_changes_no_real_position(name: str) -> None:
    model = real(VARIANTS[name]).eval()
    src, tgt = ids(4, 6, 1, padded=False), ids(4, 5, 2, padded=False)
    pad = torch.full((4, 3), PAD)
    longer = model(Tokens(torch.cat((src, pad), 1), torch.cat((tgt, pad), 1))).x
    assert torch.allclose(longer[:, :5], model(Tokens(src, tgt)).x, atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_future_changes_no_past(name: str) -> None:
    model = real(VARIANTS[name]).eval()
    src, tgt = ids(3, 6, 1), ids(3, 6, 2, padded=False)
    before = model(Tokens(src, tgt)).x
    tgt[:, 4] = (tgt[:, 4] - 3) % (VOCAB - 4) + 4
    after = model(Tokens(src, tgt)).x
    assert torch.allclose(after[:, :4], before[:, :4], atol=1e-6)
    assert not torch.allclose(after[:, 4:], before[:, 4:], atol=1e-3)


@pytest.mark.parametrize("name", VARIANTS)
def test_rows_do_not_see_each_other(name: str) -> None:
    model = real(VARIANTS[name]).eval()
    batch = tokens()
    alone = model(Tokens(batch.src_BS[2:3], batch.tgt_BT[2:3])).x
    assert torch.allclose(model(batch).x[2:3], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "bf16"), [(n, False) for n in (*VARIANTS, *PRESETS)] + [(n, True) for n in SOME]
)
def test_every_parameter_gets_a_finite_gradient(name: str, bf16: bool) -> None:
    model = real((VARIANTS | PRESETS)[name])
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(tokens()).x
    assert logits.dtype == (torch.bfloat16 if bf16 else torch.float32)
    weights = torch.linspace(-1, 1, logits.numel()).view_as(logits)
    (logits.float() * weights).sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all(), parameter_name
        if not parameter_name.endswith(".k.bias"):  # moves all logits of a query alike: no gradient
            assert parameter.grad.abs().sum() > 1e-6, parameter_name


@pytest.mark.parametrize("name", SOME)
@torch.no_grad()
def test_bf16_is_near_fp32(name: str) -> None:
    model, batch = real((VARIANTS | PRESETS)[name], noise=0.05).eval(), tokens()
    expected = model(batch).x
    with torch.autocast("cpu", torch.bfloat16):
        got = model(batch).x.float()
    assert float((got - expected).norm() / expected.norm()) < 0.05


@pytest.mark.parametrize("name", PRESETS)
def test_dropout_makes_training_random_and_leaves_inference_alone(name: str) -> None:
    model, batch = real(PRESETS[name]), tokens()
    torch.manual_seed(0)
    first = model(batch).x
    assert not torch.equal(model(batch).x, first)
    torch.manual_seed(0)
    assert torch.equal(model(batch).x, first)
    model.eval()
    assert torch.equal(model(batch).x, model(batch).x)


@pytest.mark.parametrize(("ties", "tables"), [("all", 1), ("target", 2), ("none", 3)])
def test_ties_are_the_same_object(ties: str, tables: int) -> None:
    model = real(config(ties=ties))
    names = ("source", "target", "head")
    assert len({id(model.get_submodule(n).table) for n in names}) == tables
    canonical = {model.canonical(f"{n}.table") for n in names}
    assert len(canonical) == tables
    assert canonical <= model.canonical_parameters().keys()
    assert len(list(model.parameters())) == len(model.canonical_parameters())
    half = build(config(ties=ties), ("target", "dec000", "head"))
    assert (half.head.table is half.target.table) == (ties != "none")


def test_names() -> None:
    c = config(n=2, m=1)
    assert segment_names(c) == ("source", "enc000", "enc001", "bridge", "target", "dec000", "head")
    names = set(build(c).canonical_parameters())
    assert {
        "source.table",
        "enc000.attention.q.weight",
        "enc001.ffn.down.bias",
        "bridge.norm.weight",
        "dec000.cross.out.weight",
        "dec000.residual.cross.bias",
        "head.norm.weight",
    } <= names
    assert not any("target" in name for name in names)
    part = {n for s in segment_names(c) for n in build(c, [s]).canonical_parameters()}
    assert part == names


def test_segments_come_in_the_models_order_whatever_order_is_asked_for() -> None:
    assert build(config(), ["head", "dec000", "source"]).names == ("source", "dec000", "head")


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"model\.vocab is 0"):
        build(config(vocab=0))
    with pytest.raises(ConfigError, match=r"no segments \['enc009'\]"):
        build(config(), ["enc009"])


def test_scaling_and_position_of_embeddings() -> None:
    batch = tokens()
    scaled, plain = (real(config(scale_embedding=s)).eval() for s in (True, False))
    a, b = (m.part(["source"])(batch).x for m in (scaled, plain))
    where = a - DIM**0.5 * scaled.source.table[batch.src_BS]
    assert torch.allclose(b - plain.source.table[batch.src_BS], where, atol=1e-5)
    assert torch.allclose(where[0], where[1], atol=1e-5)
    assert where.abs().max() > 0.5


def test_the_head_bounds_logits_and_gives_the_readout_what_it_needs() -> None:
    model = real(config(layer(), soft_cap=3.0)).eval()
    seen = []

    def readout(x: torch.Tensor, project: object) -> torch.Tensor:
        seen.append((x, project))
        return x.sum()

    batch = tokens()
    total = model(Tokens(batch.src_BS, batch.tgt_BT, readout=readout)).x
    ((x, project),) = seen
    assert torch.equal(total, x.sum())
    assert project.table is model.source.table
    assert project.soft_cap == 3.0
    logits = model(batch).x
    assert torch.allclose(project(x[:, 2:4]), logits[:, 2:4], atol=1e-5)
    raw = x @ model.source.table.t()
    assert torch.allclose(logits, 3 * torch.tanh(raw / 3), atol=1e-5)


@pytest.mark.parametrize("memory", [None, Transparent()])
def test_a_huge_model_is_built_on_meta_at_once(memory: Transparent | None) -> None:
    c = classic(layers=64, dim=1024, hidden=16384, heads=32, vocab=64000)
    if memory is not None:
        c = ModelConfig(
            vocab=c.vocab, dim=c.dim, encoder=c.encoder, decoder=c.decoder, memory=memory
        )
    started = time.process_time()
    model = build(c)
    assert time.process_time() - started < 10
    assert sum(p.numel() for p in model.parameters()) > 5e9
    assert all(p.is_meta for p in model.parameters())
