"""A model as Hugging Face transformers reads it: weights, settings of the model, of generation.

Pegasus is the family there that computes what `classic` does: norms before, one more at the end of
each stack, sinusoids from position 0, one scaled table for all. Its table of positions is read from
the file, so ours stands there.

Not its job: the tokenizer (huggingface_words), files (huggingface_folder).

Shape letters: L positions, D width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from m4nmt.core.config import ConfigError
from m4nmt.core.stages import SearchConfig
from m4nmt.data.tokenizer import BOS, EOS, PAD
from m4nmt.model import norm, position
from m4nmt.model.settings import (
    DenseConfig,
    LayerConfig,
    Learned,
    ModelConfig,
    PreNorm,
    Sinusoidal,
    TopLayer,
)
from m4nmt.model.translation import TIES

_ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "silu": "silu"}
_PARTS = {
    "attention": "self_attn",
    "cross": "encoder_attn",
    "residual.attention": "self_attn_layer_norm",
    "residual.cross": "encoder_attn_layer_norm",
    "residual.ffn": "final_layer_norm",
    "ffn.up": "fc1",
    "ffn.down": "fc2",
}
_MAPS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "out": "out_proj"}
_TABLES = ("source.table", "target.table", "head.table")
_ENDS = {"bridge.norm": "encoder.layer_norm", "head.norm": "decoder.layer_norm"}


class NotExportableError(ConfigError):
    """transformers has no family that computes this model; names the part."""


def check(config: ModelConfig) -> None:
    """Refuse a model that Pegasus cannot be.

    Raises:
        NotExportableError: names every part.
    """
    found = obstacles(config)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise NotExportableError(
            f"transformers has no model with {', '.join(found[:3])}{more}; the classic preset can "
            "be exported"
        )


def obstacles(config: ModelConfig) -> list[str]:
    """What of a model Pegasus cannot express, one line a part; empty: it can be exported."""
    found = []
    if not isinstance(config.memory, TopLayer):
        found.append(f"model.memory={type(config.memory).__name__}")
    if not isinstance(config.position, Sinusoidal | Learned):
        found.append(f"model.position={type(config.position).__name__}")
    if config.norm != "layer":
        found.append(f"model.norm={config.norm}")
    if config.soft_cap:
        found.append("model.soft_cap")
    if (
        len({TIES[config.ties].get(t, t) for t in ("source.table", "target.table", "head.table")})
        > 1
    ):
        found.append(f"model.ties={config.ties}")
    for name, stack in (("encoder", config.encoder), ("decoder", config.decoder)):
        for i, layer in enumerate(stack):
            found += [f"model.{name}[{i}].{part}" for part in _odd_parts(layer)]
        if len({_settings(layer) for layer in stack}) > 1:
            found.append(f"different layers in model.{name}")
    if not found and config.encoder[0].ffn.activation != config.decoder[0].ffn.activation:  # type: ignore[union-attr]
        found.append("different activations in encoder and decoder")
    return found


def _odd_parts(layer: LayerConfig) -> list[str]:
    """Parts of a layer that Pegasus lacks."""
    attention, ffn = layer.attention, layer.ffn
    odd = []
    if not isinstance(ffn, DenseConfig) or ffn.activation not in _ACTIVATIONS or not ffn.bias:
        odd.append(f"ffn={type(ffn).__name__}")
    if not isinstance(layer.residual, PreNorm):
        odd.append(f"residual={type(layer.residual).__name__}")
    if layer.norm != "layer":
        odd.append(f"norm={layer.norm}")
    if attention.kv_heads not in (0, attention.heads) or attention.head_dim:
        odd.append("attention.kv_heads or head_dim")
    if attention.qk_norm or attention.soft_cap or not attention.bias:
        odd.append("attention.qk_norm, soft_cap or bias=false")
    return odd


def _settings(layer: LayerConfig) -> tuple[object, ...]:
    """What Pegasus knows once a stack."""
    hidden, activation = (getattr(layer.ffn, name, None) for name in ("hidden", "activation"))
    return layer.attention.heads, hidden, activation


def settings(config: ModelConfig, positions: int) -> dict[str, Any]:
    """config.json; `positions` is how many rows the table of positions has."""
    encoder, decoder = config.encoder[0], config.decoder[0]
    return {
        "architectures": ["PegasusForConditionalGeneration"],
        "model_type": "pegasus",
        "vocab_size": config.vocab,
        "d_model": config.dim,
        "encoder_layers": len(config.encoder),
        "decoder_layers": len(config.decoder),
        "num_hidden_layers": len(config.encoder),
        "encoder_attention_heads": encoder.attention.heads,
        "decoder_attention_heads": decoder.attention.heads,
        "encoder_ffn_dim": _settings(encoder)[1],
        "decoder_ffn_dim": _settings(decoder)[1],
        "activation_function": _ACTIVATIONS[str(_settings(encoder)[2])],
        "scale_embedding": config.scale_embedding,
        "max_position_embeddings": positions,
        "dropout": encoder.dropout,
        "attention_dropout": encoder.attention.dropout,
        "activation_dropout": encoder.ffn_dropout,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "decoder_start_token_id": BOS,
        "forced_eos_token_id": None,
        "tie_word_embeddings": True,
        "is_encoder_decoder": True,
        "dtype": "float32",
    }


def generation(search: SearchConfig, forbidden: Sequence[int], longest: int) -> dict[str, Any]:
    """generation_config.json; `forbidden` ids are never said, `longest` is the most tokens.

    transformers divides by the length to the power of its penalty, not by GNMT's: with beams it may
    choose another translation than we do. Greedy search is the same.
    """
    return {
        "num_beams": search.beam,
        "length_penalty": 1.0,
        "max_length": longest,
        "suppress_tokens": list(forbidden),
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "decoder_start_token_id": BOS,
    }


def weights(config: ModelConfig, values: Mapping[str, Tensor], positions: int) -> dict[str, Tensor]:
    """Every tensor of the family by its name there, in fp32.

    Args:
        values: by canonical name.
        positions: rows of the table of sinusoids; a learned one has its own length.

    Raises:
        NotExportableError: Pegasus cannot be this model.
    """
    check(config)
    found = {"final_logits_bias": torch.zeros(1, config.vocab)}
    for name, value in values.items():
        found |= dict.fromkeys(_names(name), value.detach().float().contiguous())
    if isinstance(config.position, Sinusoidal):
        blank_1LD = torch.zeros(1, positions, config.dim)
        table_LD = position.SinusoidsAdded()(blank_1LD, 0)[0]
        found |= {f"model.{s}.embed_positions.weight": table_LD for s in ("encoder", "decoder")}
    assert norm.EPSILON == 1e-5  # of torch's LayerNorm, which is the family's
    return found


def _names(ours: str) -> list[str]:
    """What a tensor of ours is called there."""
    segment, _, rest = ours.partition(".")
    if ours == "source.table":
        return ["model.shared.weight"]
    if rest == "position.table":
        stack = "encoder" if segment == "source" else "decoder"
        return [f"model.{stack}.embed_positions.weight"]
    place, _, kind = ours.rpartition(".")
    if place in _ENDS:
        return [f"model.{_ENDS[place]}.{kind}"]
    stack = {"enc": "encoder", "dec": "decoder"}[segment[:3]]
    inner, _, _ = rest.rpartition(".")
    if inner not in _PARTS:
        part, _, which = inner.rpartition(".")
        inner = f"{_PARTS[part]}.{_MAPS[which]}"
    else:
        inner = _PARTS[inner]
    return [f"model.{stack}.layers.{int(segment[3:])}.{inner}.{kind}"]
