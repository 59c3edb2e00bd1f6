"""Hugging Face `generate` as a peer of decode.py: our weights in the model that our export writes.

Needs transformers (the environment of `peers/setup.sh hf`, or `pip install transformers`).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from m4nmt.exchange import huggingface
from m4nmt.model.settings import ModelConfig

_POSITIONS = 256


def exported(config: ModelConfig, values: Mapping[str, Tensor]) -> Any:
    """The model with these weights; what has no place in it, or is lacking, is an error."""
    from transformers import PegasusConfig, PegasusForConditionalGeneration

    settings = PegasusConfig(**huggingface.settings(config, _POSITIONS))
    model = PegasusForConditionalGeneration(settings).eval()
    found = model.load_state_dict(huggingface.weights(config, values, _POSITIONS), strict=False)
    tied = {"model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"}
    if found.unexpected_keys or set(found.missing_keys) - {*tied, "lm_head.weight"}:
        raise ValueError(f"the export does not fit: {found}")
    return model


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
