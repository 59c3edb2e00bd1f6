"""The model section of a recipe: data only; each class is built by the component named like it.

Shape letters: D width, F hidden, H heads, V vocabulary.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from m4nmt.core.config import ConfigError

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


# ---- mixtures of experts: how a router chooses
#
# `capacity` bounds the load of an expert in training: of a group of S real units (tokens) that make
# k choices each it takes int(k S capacity / E), at least 4, rounded up to a multiple of 4; a choice
# beyond that is dropped. GShard's capacity factor of 2 for top-2 is capacity=1 here. In inference
# nothing is dropped.


@dataclass(frozen=True, kw_only=True)
class Top2:
    """Best and second-best expert (GShard, arXiv:2006.16668, section 2.2 and algorithm 1).

    Attributes:
        random_second: in training use the second expert with a probability of its weight /
            `threshold`, at most 1, instead of always.
    """

    capacity: float = 1.0
    random_second: bool = True
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.capacity <= 0 or self.threshold <= 0:
            raise ValueError("need capacity > 0 and threshold > 0")


@dataclass(frozen=True, kw_only=True)
class Switch:
    """The best expert (arXiv:2101.03961, section 2)."""

    capacity: float = 1.25

    def __post_init__(self) -> None:
        if self.capacity <= 0:
            raise ValueError("need capacity > 0")


@dataclass(frozen=True, kw_only=True)
class NoisyTopK:
    """The best k after learned noise (Shazeer et al. 2017, arXiv:1701.06538, section 2.1)."""

    k: int = 2
    capacity: float = 2.0

    def __post_init__(self) -> None:
        if self.k < 1 or self.capacity <= 0:
            raise ValueError("need k >= 1 and capacity > 0")


@dataclass(frozen=True, kw_only=True)
class TopK:
    """The best k, weights renormalised, nothing dropped."""

    k: int = 2

    def __post_init__(self) -> None:
        if self.k < 2:
            raise ValueError("need k >= 2: one weight is always 1 and teaches nothing; use Switch")


@dataclass(frozen=True, kw_only=True)
class ExpertChoice:
    """Each expert takes its best tokens of each sentence (Zhou et al. 2022, arXiv:2202.09368,
    section 3), in inference too. It looks at the whole sentence, so it is refused in decoders,
    where the future is not known.

    Attributes:
        capacity: experts of a token on average: an expert takes n capacity / E, rounded up, of a
            sentence of n tokens.
    """

    capacity: float = 2.0

    def __post_init__(self) -> None:
        if self.capacity <= 0:
            raise ValueError("need capacity > 0")


Router = Top2 | Switch | NoisyTopK | TopK | ExpertChoice


@dataclass(frozen=True, kw_only=True)
class MoEConfig:
    """A mixture of feed-forwards.

    Attributes:
        experts: how many. `expert`: each of them.
        router: how tokens are given to experts.
        level: what is routed as one unit: every token; whole sentences, by the mean of their
            states (encoders only: it knows the whole sentence); or directions, by the first id of
            the source row, the language tag.
        group: units that share the places of the experts; 0: all of a micro-batch of a rank.
        balance: weight of the auxiliary loss that evens the load.
        z_loss: weight of mean log(sum exp(logits))^2 (ST-MoE, arXiv:2202.08906, eq. 5).
        jitter: states are multiplied by U(1 - jitter, 1 + jitter) for the router in training
            (Switch, section 2.4).
        dropout: inside the experts (Switch's expert dropout), in place of the layer's ffn_dropout.
    """

    experts: int = 8
    expert: DenseConfig | GatedConfig = field(default_factory=DenseConfig)
    router: Router = field(default_factory=Top2)
    level: Literal["token", "sentence", "language"] = "token"
    group: int = 0
    balance: float = 0.01
    z_loss: float = 0.0
    jitter: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.experts < 2 or self.group < 0 or not 0 <= self.jitter < 1:
            raise ValueError("need experts >= 2, group >= 0 and 0 <= jitter < 1")
        if self.balance < 0 or self.z_loss < 0:
            raise ValueError("need balance >= 0 and z_loss >= 0")
        if isinstance(self.router, TopK) and self.router.k > self.experts:
            raise ValueError(f"k={self.router.k} needs as many experts, got {self.experts}")
        if isinstance(self.router, NoisyTopK) and self.router.k >= self.experts:
            raise ValueError(f"k={self.router.k} needs more experts than that, got {self.experts}")
        if self.jitter and self.level == "language":
            raise ValueError("a language has no states to multiply: jitter needs another level")
        if isinstance(self.router, ExpertChoice) and (self.group or self.level != "token"):
            raise ValueError("ExpertChoice chooses tokens in each sentence: level=token, group=0")

    @property
    def hidden(self) -> int:
        """Width of one expert."""
        return self.expert.hidden

    @property
    def choices(self) -> float:
        """Experts that run for a token, on average, where none is dropped."""
        match self.router:
            case Switch():
                return 1.0
            case TopK(k=k) | NoisyTopK(k=k):
                return float(k)
            case ExpertChoice(capacity=capacity):
                return min(capacity, float(self.experts))
            case Top2():
                return 2.0

    @property
    def looks_ahead(self) -> bool:
        """Whether a token's experts depend on tokens after it."""
        return self.level == "sentence" or isinstance(self.router, ExpertChoice)


FeedForward = DenseConfig | GatedConfig | MoEConfig


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
        for i, layer in enumerate(self.decoder):
            if isinstance(layer.ffn, MoEConfig) and layer.ffn.looks_ahead:
                raise ConfigError(
                    f"model.decoder[{i}].ffn: a {type(layer.ffn.router).__name__} router by "
                    f"{layer.ffn.level} looks at the whole sentence, and a decoder does not know "
                    "its future; take another router, or level=token or language"
                )


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
