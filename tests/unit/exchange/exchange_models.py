"""Models of every part that CTranslate2 can express, and exports of them. Not a test."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from model_made import config, layer

from m4nmt.exchange.ctranslate2 import Words, specification
from m4nmt.model.settings import (
    DeepNorm,
    DenseConfig,
    GatedConfig,
    Learned,
    ModelConfig,
    PostNorm,
    RelativeBias,
    Rotary,
)
from m4nmt.model.translation import TranslationModel

BOS, EOS = 2, 3
POSITIONS = 256

EXPORTABLE: dict[str, ModelConfig] = {
    "classic": config(),
    "modern": config(
        layer(ffn=GatedConfig(hidden=24), norm="rms", bias=False, kv_heads=2),
        norm="rms",
        position=Rotary(),
    ),
    "post-norm": config(layer(residual=PostNorm())),
    "deep-norm": config(layer(residual=DeepNorm()), n=4, m=3),
    "deep-norm-rms-rotary": config(
        layer(residual=DeepNorm(), norm="rms"), norm="rms", position=Rotary(base=500.0)
    ),
    "deep-norm-learned-unscaled": config(
        layer(residual=DeepNorm()), position=Learned(length=60), scale_embedding=False
    ),
    "relative-bias": config(position=RelativeBias()),
    "relative-bias-gqa": config(layer(kv_heads=2), position=RelativeBias(buckets=8, distance=20)),
    "mqa-wide-heads": config(layer(kv_heads=1, head_dim=6), position=Rotary()),
    "gqa-biases": config(layer(kv_heads=2)),
    "qk-norm-layer": config(layer(qk_norm=True, kv_heads=2), position=Rotary()),
    "qk-norm-rms": config(layer(qk_norm=True, norm="rms"), norm="rms"),
    "gelu": config(layer(ffn=DenseConfig(hidden=24, activation="gelu", bias=False))),
    "gated-gelu": config(layer(ffn=GatedConfig(hidden=24, activation="gelu", bias=True))),
    "soft-cap": config(soft_cap=3.0),
    "ties-target": config(ties="target"),
    "ties-none-unscaled": config(ties="none", scale_embedding=False),
    "odd-width": replace(config(layer(heads=1)), dim=15),
    "pre-then-post": replace(config(), decoder=(layer(residual=PostNorm(), norm="rms"),) * 2),
    "layers-that-differ": replace(
        config(),
        encoder=(layer(norm="rms", kv_heads=2), layer(bias=False)),
        decoder=(
            layer(ffn=GatedConfig(hidden=20, activation="silu")),
            layer(ffn=GatedConfig(hidden=30, bias=True), head_dim=6),
        ),
    ),
}


def words(size: int) -> Words:
    pieces = ("<pad>", "<unk>", "<s>", "</s>", *(f"w{i}" for i in range(4, size)))
    return Words(pieces, *pieces[1:4])


def save(model: TranslationModel, folder: Path, quantization: str = "float32") -> Words:
    """Write only what CTranslate2 reads."""
    vocabulary = words(model.config.vocab)
    weights = {name: p.detach() for name, p in model.canonical_parameters().items()}
    spec = specification(model.config, weights, vocabulary, POSITIONS)
    spec.optimize(quantization)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    return vocabulary


def score(folder: Path, rows: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Any:
    """log p by CTranslate2 alone of targets that end with the end symbol."""
    import ctranslate2

    translator = ctranslate2.Translator(str(folder), "cpu", intra_threads=1)
    pieces = words(1000).pieces
    found = translator.score_batch(
        [[pieces[i] for i in row] for row in rows],
        [[pieces[i] for i in target[:-1]] for target in targets],
        max_input_length=0,
    )
    return [result.log_probs for result in found]


def rows(seed: int, lengths: Sequence[int], vocab: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        [*torch.randint(4, vocab, (n - 1,), generator=generator).tolist(), EOS] for n in lengths
    ]
