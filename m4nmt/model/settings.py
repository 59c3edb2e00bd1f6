"""The model section of a recipe: data only; each class is built by the component named like it.

Shape letters: D width, F hidden, H heads, V vocabulary.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

# ---- residual rules: how a sub-layer f joins the stream x


@dataclass(frozen=True, kw_only=True)
class PreNorm:
    """x + f(norm(x)); stacks end with a norm."""


@dataclass(frozen=True, kw_only=True)
class PostNorm:
    """norm(x + f(x)) (Vaswani et al. 2017)."""


@dataclass(frozen=True, kw_only=True)
class DeepNorm:
    """norm(alpha x + f(x)), values and feed-forwards initialised smaller (arXiv:2203.00555)."""


@dataclass(frozen=True, kw_only=True)
class Parallel:
    """x + sum of all sub-layers of the same norm(x) (PaLM, arXiv:2204.02311, section 2)."""


Residual = PreNorm | PostNorm | DeepNorm | Parallel

# ---- memory rules: what each decoder layer attends to


@dataclass(frozen=True, kw_only=True)
class TopLayer:
    """Every decoder layer attends to the encoder's top."""


@dataclass(frozen=True, kw_only=True)
class Transparent:
    """Every decoder layer attends to its own learned mixture of all encoder layers and the
    embedding (Bapna et al. 2018); dropout acts on the mixture's logits."""

    dropout: float = 0.1


Memory = TopLayer | Transparent

# ---- positions


@dataclass(frozen=True, kw_only=True)
class Sinusoidal:
    """Fixed sines and cosines added to the embedding."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A table of `length` positions added to the embedding."""

    length: int = 1024


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Rotated queries and keys in self-attention (arXiv:2104.09864)."""

    base: float = 10000.0


@dataclass(frozen=True, kw_only=True)
class RelativeBias:
    """T5's learned bias by bucketed distance in self-attention, one table per stack and layer."""

    buckets: int = 32
    distance: int = 128


Position = Sinusoidal | Learned | Rotary | RelativeBias

# ---- feed-forwards


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    """W2 act(W1 x)."""

    hidden: int = 2048
    activation: Literal["relu", "gelu"] = "relu"
    bias: bool = True


@dataclass(frozen=True, kw_only=True)
class GatedConfig:
    """W2 (act(W1 x) * W3 x) (arXiv:2002.05202)."""

    hidden: int = 2048
    activation: Literal["silu", "gelu"] = "silu"
    bias: bool = False


FeedForward = DenseConfig | GatedConfig


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Scaled dot-product attention, used for self- and cross-attention of a layer.

    Attributes:
        heads: query heads; dim / heads is a head's width unless `head_dim` says otherwise.
        kv_heads: key/value heads: 0 = heads (MHA), 1 = MQA, between = GQA.
        head_dim: width of a head; 0 = dim / heads.
        qk_norm: normalise queries and keys in self-attention.
        soft_cap: c tanh(logit / c); 0 is off.
    """

    heads: int = 8
    kv_heads: int = 0
    head_dim: int = 0
    bias: bool = True
    dropout: float = 0.0
    qk_norm: bool = False
    soft_cap: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LayerConfig:
    """One layer of either stack."""

    attention: AttentionConfig = field(default_factory=AttentionConfig)
    ffn: FeedForward = field(default_factory=DenseConfig)
    residual: Residual = field(default_factory=PreNorm)
    norm: Literal["layer", "rms"] = "layer"
    dropout: float = 0.1
    ffn_dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """An encoder-decoder.

    Attributes:
        vocab: rows of the tables; 0 takes the tokenizer's size when a run is built.
        dim: width D of the stream.
        ties: which tables are one: "all" source, target and output; "target" the last two; "none".
        embedding_dropout: on embeddings after the position is added.
        scale_embedding: multiply embeddings by sqrt(D).
        soft_cap: of the output logits; 0 is off.
    """

    vocab: int = 0
    dim: int = 512
    encoder: tuple[LayerConfig, ...] = ()
    decoder: tuple[LayerConfig, ...] = ()
    memory: Memory = field(default_factory=TopLayer)
    position: Position = field(default_factory=Sinusoidal)
    ties: Literal["all", "target", "none"] = "all"
    norm: Literal["layer", "rms"] = "layer"
    embedding_dropout: float = 0.1
    scale_embedding: bool = True
    soft_cap: float = 0.0

    def __post_init__(self) -> None:
        if not self.encoder or not self.decoder:
            raise ValueError("a model needs at least one encoder and one decoder layer")
        for layer in (*self.encoder, *self.decoder):
            a = layer.attention
            if not a.head_dim and self.dim % a.heads:
                raise ValueError(f"dim {self.dim} does not divide into {a.heads} heads")
            if a.kv_heads and a.heads % a.kv_heads:
                raise ValueError(f"{a.heads} heads do not divide into {a.kv_heads} kv_heads")


def classic(
    *,
    layers: int | tuple[int, int],
    dim: int,
    hidden: int,
    heads: int,
    dropout: float = 0.1,
    vocab: int = 0,
) -> ModelConfig:
    """Pre-norm LayerNorm, ReLU, sinusoids, one tied table."""
    layer = LayerConfig(
        attention=AttentionConfig(heads=heads), ffn=DenseConfig(hidden=hidden), dropout=dropout
    )
    n, m = (layers, layers) if isinstance(layers, int) else layers
    return ModelConfig(
        vocab=vocab, dim=dim, encoder=(layer,) * n, decoder=(layer,) * m, embedding_dropout=dropout
    )


def modern(
    *,
    layers: int | tuple[int, int],
    dim: int,
    hidden: int,
    heads: int,
    kv_heads: int = 0,
    dropout: float = 0.1,
    vocab: int = 0,
) -> ModelConfig:
    """Pre-norm RMSNorm, SwiGLU, rotary positions, no biases, optional GQA."""
    base = classic(layers=layers, dim=dim, hidden=hidden, heads=heads, dropout=dropout, vocab=vocab)
    layer = replace(
        base.encoder[0],
        attention=AttentionConfig(heads=heads, kv_heads=kv_heads, bias=False),
        ffn=GatedConfig(hidden=hidden),
        norm="rms",
    )
    return replace(
        base,
        encoder=(layer,) * len(base.encoder),
        decoder=(layer,) * len(base.decoder),
        position=Rotary(),
        norm="rms",
    )
