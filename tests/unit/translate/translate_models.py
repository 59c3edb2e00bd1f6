"""Small random models for tests of decoding. Not a test."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from m4nmt.model import init, translation
from m4nmt.model.flow import PAD
from m4nmt.model.settings import (
    AttentionConfig,
    GatedConfig,
    LayerConfig,
    Learned,
    ModelConfig,
    Parallel,
    RelativeBias,
    Rotary,
    Transparent,
    classic,
    modern,
)
from m4nmt.model.translation import TranslationModel

BOS, EOS = 2, 3
VOCAB = 37

_classic = classic(layers=2, dim=16, hidden=24, heads=4, vocab=VOCAB)
CONFIGS: dict[str, ModelConfig] = {
    "classic": _classic,
    "modern": modern(layers=2, dim=16, hidden=24, heads=4, kv_heads=2, vocab=VOCAB),
    "learned": replace(_classic, position=Learned(length=64)),
    "biased": replace(_classic, position=RelativeBias(buckets=8, distance=16), ties="none"),
    "transparent": replace(_classic, memory=Transparent()),
    "rotary-parallel-mixed-heads": ModelConfig(
        vocab=VOCAB,
        dim=16,
        encoder=(LayerConfig(attention=AttentionConfig(heads=2), ffn=GatedConfig(hidden=8)),),
        decoder=(
            LayerConfig(attention=AttentionConfig(heads=4, kv_heads=1, qk_norm=True)),
            LayerConfig(attention=AttentionConfig(heads=2), residual=Parallel()),
        ),
        position=Rotary(),
        soft_cap=20.0,
    ),
}


def build(name: str, seed: int = 1, dtype: torch.dtype = torch.float64) -> TranslationModel:
    """A model whose random weights are spread out, so that it is sure of what it says."""
    model = translation.build(CONFIGS[name])
    init.materialise(model, "cpu", seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.canonical_parameters().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval().to(dtype)


def sources(seed: int, lengths: Sequence[int]) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        [*torch.randint(4, VOCAB, (n - 1,), generator=generator).tolist(), EOS] for n in lengths
    ]


def pad(rows: Sequence[Sequence[int]], extra: int = 0) -> Tensor:
    width = max(len(row) for row in rows) + extra
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])
