"""A model as CTranslate2 writes it down: which parts it can express, and where its weights go.

CTranslate2's specification is filled directly, weight by weight, so that what comes out computes
the same numbers. Two things are said differently there:
- DeepNorm's norm(alpha x + f(x)) becomes norm(y + f(y / alpha)) of a stream y = alpha x: embeddings
  and all norms but the stack's last are multiplied by alpha, and what reads the stream is divided
  by it. The norm sees the very same sum, so its epsilon stands, too.
- Sinusoids become a table of so many positions.

Not its job: folders and files (folder), decoding.

Shape letters: V vocabulary, L positions, D width, F hidden.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from m4nmt.core.config import ConfigError
from m4nmt.model import norm, position, residual
from m4nmt.model.settings import (
    DeepNorm,
    GatedConfig,
    LayerConfig,
    Learned,
    ModelConfig,
    MoEConfig,
    Parallel,
    PreNorm,
    RelativeBias,
    Rotary,
    Sinusoidal,
    TopLayer,
)
from m4nmt.model.translation import TIES

QUANTIZATIONS = (
    "float32",
    "float16",
    "bfloat16",
    "int16",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
)

Array = NDArray[np.float32]


class NotExportableError(ConfigError):
    """CTranslate2 has no way to say this model; names the part."""


@dataclass(frozen=True)
class Words:
    """The vocabulary as CTranslate2 sees it.

    Attributes:
        pieces: the written form of each id, all different.
        unk, bos, eos: among the pieces.
    """

    pieces: tuple[str, ...]
    unk: str
    bos: str
    eos: str


class Reading(NamedTuple):
    """Where an export gives the attention that alignments are read from: one decoder layer, all
    heads, so many steps after the one that predicts a word (see `translate.alignment`)."""

    layer: int
    shift: int

    @classmethod
    def of(cls, config: ModelConfig) -> "Reading":
        """The middle of a deep decoder, the last layer of a shallow one."""
        depth = len(config.decoder)
        return cls((depth - 1) // 2, 1) if depth >= 4 else cls(depth - 1, 0)


def obstacles(config: ModelConfig) -> list[str]:
    """What of a model CTranslate2 cannot express, one line a part; empty: it can be exported."""
    found = []
    if not isinstance(config.memory, TopLayer):
        found.append(f"model.memory={type(config.memory).__name__}")
    for name, stack in (("encoder", config.encoder), ("decoder", config.decoder)):
        for i, layer in enumerate(stack):
            found += [f"model.{name}[{i}].{part}" for part in _odd_parts(layer)]
        found += [f"layers of model.{name} with different {what}" for what in _uneven(stack)]
    return found


def check(config: ModelConfig) -> None:
    """Refuse a model that CTranslate2 cannot express.

    Raises:
        NotExportableError: names every part.
    """
    found = obstacles(config)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise NotExportableError(
            f"CTranslate2 cannot express {', '.join(found[:3])}{more}; the native engine serves "
            "this model (--engine native)"
        )


def _odd_parts(layer: LayerConfig) -> list[str]:
    """Parts of a layer that CTranslate2 lacks."""
    odd = []
    if isinstance(layer.ffn, MoEConfig):
        odd.append("ffn=MoEConfig")
    if isinstance(layer.residual, Parallel):
        odd.append("residual=Parallel")
    if layer.attention.soft_cap:
        odd.append("attention.soft_cap")
    return odd


def _uneven(stack: Sequence[LayerConfig]) -> list[str]:
    """What CTranslate2 knows once a stack but differs between these layers."""
    kinds: dict[str, Callable[[LayerConfig], object]] = {
        "attention.heads": lambda layer: layer.attention.heads,
        "ffn.activation": lambda layer: getattr(layer.ffn, "activation", None),
        "residual": lambda layer: type(layer.residual),
    }
    return [name for name, of in kinds.items() if len({of(layer) for layer in stack}) > 1]


def specification(
    config: ModelConfig, weights: Mapping[str, Tensor], words: Words, positions: int
) -> Any:
    """The whole model as a `ctranslate2.specs.TransformerSpec`, not yet quantised.

    Args:
        weights: by canonical name; they are copied.
        words: as many as `config.vocab`.
        positions: rows of the table of sinusoids; a learned table has its own length.

    Raises:
        NotExportableError: CTranslate2 cannot express this model.
    """
    from ctranslate2.specs import transformer_spec

    check(config)
    values = _Values(config, weights, positions)
    n, m = len(config.encoder), len(config.decoder)
    alphas = (
        _alpha(config.encoder[0], residual.Place("encoder", n, m)),
        _alpha(config.decoder[0], residual.Place("decoder", n, m)),
    )
    encoder = _stack(
        transformer_spec.TransformerEncoderSpec,
        values,
        config.encoder,
        _Names("source", "enc", "bridge", alphas[0]),
    )
    decoder = _stack(
        transformer_spec.TransformerDecoderSpec,
        values,
        config.decoder,
        _Names("target", "dec", "head", alphas[1]),
    )
    encoder.embeddings[0].weight = values("source.table")
    decoder.embeddings.weight = values("target.table")
    decoder.projection.weight = values("head.table")
    decoder.alignment_layer = np.int16(Reading.of(config).layer)
    decoder.alignment_heads = np.int16(0)  # all
    if config.soft_cap:
        decoder.final_logit_softcapping = np.float32(config.soft_cap)
    spec = transformer_spec.TransformerSpec(encoder, decoder)
    spec.register_source_vocabulary(list(words.pieces))
    spec.register_target_vocabulary(list(words.pieces))
    spec.config.unk_token, spec.config.bos_token = words.unk, words.bos
    spec.config.eos_token, spec.config.decoder_start_token = words.eos, words.bos
    spec.config.layer_norm_epsilon = norm.EPSILON
    spec.validate()
    return spec


class _Values:
    """Copies of weights by their name in the model, tied or not, as fp32."""

    def __init__(self, config: ModelConfig, weights: Mapping[str, Tensor], positions: int) -> None:
        self.config = config
        self.positions = positions
        self._weights = weights
        self._ties = TIES[config.ties]

    def __call__(self, name: str) -> Array:
        weight = self._weights[self._ties.get(name, name)]
        return np.array(weight.detach().to(torch.float32).cpu().numpy())

    def has(self, name: str) -> bool:
        return name in self._weights


@dataclass(frozen=True)
class _Names:
    """Names of the segments of a stack, and by what its stream is multiplied."""

    table: str
    layer: str
    end: str
    alpha: float


def _alpha(layer: LayerConfig, place: residual.Place) -> float:
    if not isinstance(layer.residual, DeepNorm):
        return 1.0
    return residual.deepnorm_constants(place)[0]


def _stack(
    kind: Callable[..., Any], values: _Values, layers: Sequence[LayerConfig], names: _Names
) -> Any:
    """The specification of one stack, filled but for positions and what only one stack has."""
    from ctranslate2.specs import common_spec, transformer_spec

    activations = {
        "relu": common_spec.Activation.RELU,
        "gelu": common_spec.Activation.GELU,
        "silu": common_spec.Activation.SWISH,
    }
    config, first = values.config, layers[0]
    spec = kind(
        len(layers),
        first.attention.heads,
        pre_norm=isinstance(first.residual, PreNorm),
        activation=activations[first.ffn.activation],  # type: ignore[union-attr]
        rms_norm=config.norm == "rms",
        relative_attention_bias=isinstance(config.position, RelativeBias),
        rotary_dim=0 if isinstance(config.position, Rotary) else None,
    )
    one = transformer_spec.TransformerEncoderLayerSpec
    if names.layer == "dec":
        one = transformer_spec.TransformerDecoderLayerSpec
    spec.layer = [
        _layer(one, values, layer, f"{names.layer}{i:03d}", names.alpha, i == len(layers) - 1)
        for i, layer in enumerate(layers)
    ]
    if residual.ends_with_norm(layers[-1].residual):
        _norm(spec.layer_norm, values, f"{names.end}.norm", 1.0)
    spec.scale_embeddings = names.alpha * (config.dim**0.5 if config.scale_embedding else 1.0)
    table = _positions(values, names)
    if table is not None:
        spec.position_encodings.encodings = table * np.float32(names.alpha)
    return spec


def _positions(values: _Values, names: _Names) -> Array | None:
    """What is added to embeddings [L,D]; None where the position lies inside of attention."""
    match values.config.position:
        case Sinusoidal():
            blank = torch.zeros(1, values.positions, values.config.dim)
            return np.array(position.SinusoidsAdded()(blank, 0)[0].numpy())
        case Learned():
            return values(f"{names.table}.position.table")
        case _:
            return None


def _layer(
    kind: Callable[..., Any],
    values: _Values,
    layer: LayerConfig,
    name: str,
    alpha: float,
    last: bool,
) -> Any:
    """One layer of a stack whose stream is `alpha` times ours, but for what the last one gives."""
    from ctranslate2.specs import attention_spec

    where, attention = values.config.position, layer.attention
    own = {"num_heads_kv": attention.kv_heads or None, "head_dim": attention.head_dim or None}
    spec = kind(
        ffn_glu=isinstance(layer.ffn, GatedConfig),
        rms_norm=layer.norm == "rms",
        relative_attention_bias=isinstance(where, RelativeBias),
        rotary_dim=0 if isinstance(where, Rotary) else None,
        rotary_base=where.base if isinstance(where, Rotary) else 0.0,
        qk_norm=attention.qk_norm,
        **own,
    )
    _self_attention(spec.self_attention, values, layer, f"{name}.attention", alpha)
    _norm(spec.self_attention.layer_norm, values, f"{name}.residual.attention", alpha)
    if name.startswith("dec"):
        spec.attention = attention_spec.MultiHeadAttentionSpec(rms_norm=layer.norm == "rms", **own)
        _cross_attention(spec.attention, values, f"{name}.cross", alpha)
        _norm(spec.attention.layer_norm, values, f"{name}.residual.cross", alpha)
    _feed_forward(spec.ffn, values, f"{name}.ffn", alpha)
    _norm(spec.ffn.layer_norm, values, f"{name}.residual.ffn", 1.0 if last else alpha)
    return spec


def _self_attention(
    spec: Any, values: _Values, layer: LayerConfig, name: str, alpha: float
) -> None:
    from ctranslate2.specs import common_spec

    _linear(spec.linear[0], values, [f"{name}.{x}" for x in "qkv"], alpha)
    _linear(spec.linear[1], values, [f"{name}.out"])
    if layer.attention.qk_norm:
        for part in ("q_norm", "k_norm"):
            setattr(spec, part, common_spec.LayerNormSpec(rms_norm=layer.norm == "rms"))
            _norm(getattr(spec, part), values, f"{name}.{part}", 1.0)
    where = values.config.position
    if isinstance(where, RelativeBias):
        spec.relative_attention_bias = values(f"{name}.position.table")
        spec.relative_attention_max_distance = np.int32(where.distance)


def _cross_attention(spec: Any, values: _Values, name: str, alpha: float) -> None:
    _linear(spec.linear[0], values, [f"{name}.q"], alpha)
    _linear(spec.linear[1], values, [f"{name}.k", f"{name}.v"])
    _linear(spec.linear[2], values, [f"{name}.out"])


def _feed_forward(spec: Any, values: _Values, name: str, alpha: float) -> None:
    if values.has(f"{name}.gate.weight"):
        _linear(spec.linear_0, values, [f"{name}.gate"], alpha)
        _linear(spec.linear_0_noact, values, [f"{name}.up"], alpha)
    else:
        _linear(spec.linear_0, values, [f"{name}.up"], alpha)
    _linear(spec.linear_1, values, [f"{name}.down"])


def _linear(spec: Any, values: _Values, names: Sequence[str], divisor: float = 1.0) -> None:
    """Some maps of one input, one below the other; the input is `divisor` times too large."""
    weight = np.concatenate([values(f"{name}.weight") for name in names])
    spec.weight = weight / np.float32(divisor)
    if values.has(f"{names[0]}.bias"):
        spec.bias = np.concatenate([values(f"{name}.bias") for name in names])


def _norm(spec: Any, values: _Values, name: str, factor: float) -> None:
    spec.gamma = values(f"{name}.weight") * np.float32(factor)
    if values.has(f"{name}.bias"):
        spec.beta = values(f"{name}.bias") * np.float32(factor)
