"""Small models and token batches for tests of the model."""

from dataclasses import replace

import torch

from m4nmt.model.flow import PAD, Readout, Tokens, logits
from m4nmt.model.init import materialise
from m4nmt.model.settings import (
    AttentionConfig,
    DeepNorm,
    DenseConfig,
    ExpertChoice,
    GatedConfig,
    LayerConfig,
    Learned,
    ModelConfig,
    MoEConfig,
    Parallel,
    PostNorm,
    PreNorm,
    RelativeBias,
    Rotary,
    Sinusoidal,
    Switch,
    Top2,
    TopK,
    TopLayer,
    Transparent,
)
from m4nmt.model.translation import TranslationModel, build

VOCAB, DIM, HEADS = 37, 16, 4


def layer(**changes: object) -> LayerConfig:
    """A small layer; `changes` are fields of LayerConfig, or of its attention."""
    own = {k: changes.pop(k) for k in list(changes) if k in AttentionConfig.__dataclass_fields__}
    dropout = changes.pop("residual_dropout", 0.0)
    fields: dict[str, object] = {"ffn": DenseConfig(hidden=24), "dropout": dropout, **changes}
    return LayerConfig(attention=AttentionConfig(**{"heads": HEADS, **own}), **fields)  # type: ignore[arg-type]


def config(
    one: LayerConfig | None = None, n: int = 2, m: int = 3, **changes: object
) -> ModelConfig:
    """n encoder and m decoder layers alike; no dropout unless asked for."""
    one = one or layer()
    fields: dict[str, object] = {"vocab": VOCAB, "dim": DIM, "embedding_dropout": 0.0, **changes}
    return ModelConfig(encoder=(one,) * n, decoder=(one,) * m, **fields)  # type: ignore[arg-type]


def variants() -> dict[str, ModelConfig]:
    """Every part at least once, every residual rule with every memory."""
    memories = {"top": TopLayer(), "transparent": Transparent(dropout=0.0)}
    rules = (PreNorm(), PostNorm(), DeepNorm(), Parallel())
    made = {
        f"{type(rule).__name__}-{name}": config(layer(residual=rule), memory=memory)
        for rule in rules
        for name, memory in memories.items()
    }
    for position in (Sinusoidal(), Learned(length=32), Rotary(), RelativeBias(buckets=8)):
        made[type(position).__name__] = config(position=position)
    made["gqa"] = config(layer(kv_heads=2), position=Rotary())
    made["mqa-wide-heads"] = config(layer(kv_heads=1, head_dim=6))
    made["qk-norm-rms"] = config(layer(qk_norm=True, norm="rms"), norm="rms", position=Rotary())
    made["soft-caps"] = config(layer(soft_cap=2.0), soft_cap=3.0)
    made["gated"] = config(layer(ffn=GatedConfig(hidden=24), bias=False))
    made["gelu"] = config(layer(ffn=DenseConfig(hidden=24, activation="gelu", bias=False)))
    for ties in ("target", "none"):
        made[f"ties-{ties}"] = config(ties=ties)
    made["unscaled"] = config(scale_embedding=False)
    return made | mixtures()


def moe(**changes: object) -> MoEConfig:
    """A small mixture without randomness; `changes` are fields of MoEConfig."""
    fields: dict[str, object] = {
        "experts": 4,
        "expert": DenseConfig(hidden=24),
        "router": Top2(random_second=False),
        **changes,
    }
    return MoEConfig(**fields)  # type: ignore[arg-type]


def mixtures() -> dict[str, ModelConfig]:
    """Every router that draws no random numbers, every level."""
    made = {
        "moe-top2": config(layer(ffn=moe(z_loss=0.1))),
        "moe-switch": config(layer(ffn=moe(router=Switch(), expert=GatedConfig(hidden=24)))),
        "moe-language": config(layer(ffn=moe(level="language"), residual=Parallel())),
    }
    ahead = {"choice": moe(router=ExpertChoice()), "sentence": moe(level="sentence")}
    for name, own in ahead.items():  # in encoders only
        made[f"moe-{name}"] = replace(config(), encoder=(layer(ffn=own),) * 2)
    three = layer(ffn=moe(router=TopK(k=3), group=8))
    made["moe-topk"] = config(three, memory=Transparent(dropout=0.0))
    return made


def real(
    c: ModelConfig, seed: int = 1, names: tuple[str, ...] | None = None, noise: float = 0.2
) -> TranslationModel:
    """A model on the CPU in training mode. `noise` moves every parameter off its first value, so
    that none is zero and nothing is disconnected."""
    model = build(c, names)
    materialise(model, "cpu", seed)
    with torch.no_grad():
        for name, p in sorted(model.canonical_parameters().items()):
            generator = torch.Generator().manual_seed(sum(name.encode()))
            p.add_(torch.randn(p.shape, generator=generator), alpha=noise)
    return model


def ids(rows: int, length: int, seed: int = 0, padded: bool = True) -> torch.Tensor:
    """Random rows; row i ends with i % 3 pads, so that some rows are full."""
    made = torch.randint(4, VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))
    if padded:
        for i in range(rows):
            made[i, length - min(i % 3, length - 1) :] = PAD
    return made


def tokens(rows: int = 5, src: int = 7, tgt: int = 6, readout: Readout = logits) -> Tokens:
    """A padded batch."""
    return Tokens(ids(rows, src, 1), ids(rows, tgt, 2), readout=readout)
