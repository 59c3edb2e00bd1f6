"""What CTranslate2 computes of an exported model against our own model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from exchange_models import BOS, EXPORTABLE, POSITIONS, rows, save, score
from model_made import config, layer, moe, real

from m4nmt.core.names import recipe
from m4nmt.exchange.ctranslate2 import NotExportableError, check, obstacles
from m4nmt.model.settings import (
    DenseConfig,
    GatedConfig,
    ModelConfig,
    Parallel,
    PostNorm,
    RelativeBias,
    Transparent,
    classic,
    modern,
)
from m4nmt.translate import scoring

pytest.importorskip("ctranslate2")


def forced(
    model: torch.nn.Module, sources: list[list[int]], targets: list[list[int]]
) -> list[float]:
    cpu = torch.device("cpu")
    found = scoring.score(model, sources, targets, BOS, 100_000, cpu)  # type: ignore[arg-type]
    return [x for one in found for x in one]


@pytest.mark.parametrize("name", EXPORTABLE)
def test_every_part_gives_the_same_log_probabilities(name: str, tmp_path: Path) -> None:
    model = real(EXPORTABLE[name]).eval()
    before = {k: p.detach().clone() for k, p in model.canonical_parameters().items()}
    save(model, tmp_path)
    assert all(torch.equal(before[k], p) for k, p in model.canonical_parameters().items())
    vocab = model.config.vocab
    sources, targets = rows(1, (6, 1, 40, 9), vocab), rows(2, (8, 13, 40, 1), vocab)
    found = [x for one in score(tmp_path, sources, targets) for x in one]
    assert found == pytest.approx(forced(model, sources, targets), abs=2e-5)
    assert max(found) - min(found) > 1


@pytest.mark.parametrize("name", ["classic", "relative-bias"])
def test_long_rows(name: str, tmp_path: Path) -> None:
    model = real(EXPORTABLE[name]).eval()
    save(model, tmp_path)
    sources, targets = (rows(seed, (POSITIONS - 1,), model.config.vocab) for seed in (1, 2))
    found = score(tmp_path, sources, targets)[0]
    assert found == pytest.approx(forced(model, sources, targets), abs=5e-5)


@pytest.mark.parametrize("quantization", ["int8", "int16", "float16", "bfloat16", "int8_float16"])
def test_smaller_numbers_differ_a_bit(quantization: str, tmp_path: Path) -> None:
    model = real(EXPORTABLE["modern"]).eval()
    save(model, tmp_path / "whole")
    save(model, tmp_path / "small", quantization)
    vocab = model.config.vocab
    sources, targets = rows(1, (6, 30, 9), vocab), rows(2, (8, 30, 1), vocab)
    ours = forced(model, sources, targets)
    found = [x for one in score(tmp_path / "small", sources, targets) for x in one]
    apart = max(abs(a - b) for a, b in zip(ours, found, strict=True))
    assert 1e-6 < apart < 0.5
    sizes = [(tmp_path / kind / "model.bin").stat().st_size for kind in ("whole", "small")]
    assert sizes[1] < 0.75 * sizes[0]


def test_a_tied_table_is_written_once(tmp_path: Path) -> None:
    sizes = {}
    for ties in ("all", "none"):
        save(real(replace(EXPORTABLE["classic"], ties=ties)), tmp_path / ties)  # type: ignore[arg-type]
        sizes[ties] = (tmp_path / ties / "model.bin").stat().st_size
    one = 4 * EXPORTABLE["classic"].vocab * EXPORTABLE["classic"].dim
    assert sizes["none"] - sizes["all"] == pytest.approx(2 * one, abs=100)
    assert len(json.loads((tmp_path / "all" / "shared_vocabulary.json").read_text())) == 37


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        (config(memory=Transparent()), "model.memory=Transparent"),
        (config(layer(residual=Parallel()), n=1, m=1), "model.encoder[0].residual=Parallel"),
        (config(layer(soft_cap=2.0), n=1), "model.decoder[1].attention.soft_cap and 1 more"),
        (replace(config(), decoder=(layer(ffn=moe()),)), "model.decoder[0].ffn=MoEConfig"),
        (
            replace(config(), encoder=(layer(), layer(residual=PostNorm()))),
            "layers of model.encoder with different residual",
        ),
        (
            replace(config(), decoder=(layer(), layer(ffn=DenseConfig(activation="gelu")))),
            "layers of model.decoder with different ffn.activation",
        ),
        (
            replace(config(), decoder=(layer(heads=2), layer())),
            "layers of model.decoder with different attention.heads",
        ),
    ],
)
def test_what_it_cannot_express_is_named(model: ModelConfig, parts: str) -> None:
    with pytest.raises(NotExportableError) as refused:
        check(model)
    assert parts in str(refused.value)
    assert "native engine" in str(refused.value)


def test_presets_can_be_exported() -> None:
    for make in (classic, modern):
        assert not obstacles(make(layers=(3, 2), dim=16, hidden=24, heads=4))
    assert not obstacles(recipe("quickstart")().model)  # type: ignore[attr-defined]
    assert not obstacles(config(layer(ffn=GatedConfig()), position=RelativeBias()))
