"""Hugging Face `generate` as a peer of decode.py: our weights in an M2M100 model.

Needs transformers (the environment of `peers/setup.sh hf`, or `pip install transformers`). M2M100
is the family there that computes what our `classic` does: norms before, ReLU, sinusoids, one table.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from m4nmt.model.position import SinusoidsAdded
from m4nmt.model.settings import ModelConfig

_POSITIONS = 256
_PAD = 0  # which no row here holds
_PARTS = {
    "self_attn": "attention",
    "encoder_attn": "cross",
    "q_proj": "q",
    "k_proj": "k",
    "v_proj": "v",
    "out_proj": "out",
    "self_attn_layer_norm": "residual.attention",
    "encoder_attn_layer_norm": "residual.cross",
    "final_layer_norm": "residual.ffn",
    "fc1": "ffn.up",
    "fc2": "ffn.down",
}


def m2m100(config: ModelConfig, values: Mapping[str, Tensor], bos: int, eos: int) -> Any:
    """The model with these weights; parameters that have no place in `values` are an error."""
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    first = config.encoder[0]
    settings: dict[str, Any] = {
        "vocab_size": config.vocab,
        "d_model": config.dim,
        "encoder_layers": len(config.encoder),
        "decoder_layers": len(config.decoder),
        "encoder_ffn_dim": first.ffn.hidden,  # type: ignore[union-attr]
        "decoder_ffn_dim": first.ffn.hidden,  # type: ignore[union-attr]
        "encoder_attention_heads": first.attention.heads,
        "decoder_attention_heads": first.attention.heads,
        "activation_function": "relu",
        "scale_embedding": config.scale_embedding,
        "max_position_embeddings": _POSITIONS,
        "pad_token_id": _PAD,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "decoder_start_token_id": bos,
        "tie_word_embeddings": True,
    }
    model = M2M100ForConditionalGeneration(M2M100Config(**settings)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values[_name(name)])
        blank_1LD = torch.zeros(1, _POSITIONS, config.dim)
        table_LD = SinusoidsAdded()(blank_1LD, 0)[0]
        for stack in (model.model.encoder, model.model.decoder):  # positions count from _PAD + 1
            stack.embed_positions.weights[_PAD + 1 : _PAD + 1 + _POSITIONS] = table_LD
    return model


def _name(theirs: str) -> str:
    """Our name of a parameter."""
    parts = theirs.split(".")
    if "shared" in parts or "embed_tokens" in parts:
        return "source.table"
    stack, rest = parts[1], parts[2:]
    if rest[0] == "layer_norm":
        return f"{'bridge' if stack == 'encoder' else 'head'}.norm.{rest[1]}"
    inner = ".".join(_PARTS.get(part, part) for part in rest[2:])
    return f"{stack[:3]}{int(rest[1]):03d}.{inner}"


def generate(
    model: Any, rows: list[list[int]], beam: int, steps: int, forbidden: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """So many tokens for every row; rows are equally long."""
    with torch.inference_mode():
        found_BT = model.generate(
            torch.tensor(rows),
            num_beams=beam,
            do_sample=False,
            max_new_tokens=steps,
            suppress_tokens=list(forbidden),
        )
    return [tuple(row[1:]) for row in found_BT.tolist()]
