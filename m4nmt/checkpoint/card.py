"""The card of a model folder: all that inference needs to know beside the weights.

A model folder holds `model.safetensors`, `tokenizer.model`, `card.json` and a README for people.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class CheckpointCard:
    """What a model folder says about itself.

    Attributes:
        format: of the folder; a newer one is refused.
        name: of the run.
        step: training steps behind these weights.
        config: the resolved RunConfig as plain data ("model", "data", "search" are read back).
        config_sha256, tokenizer_sha256, weights_sha256: hexadecimal.
        directions: trained directions, as "eng_Latn-swh_Latn".
        languages: every language the tags know, sorted.
        code: version of m4nmt, commit if known.
        data: fingerprint of the store, licence names, corpora.
        scores: direction -> metric -> value of the last evaluation, if any.
        files: sha256 of every other file of the folder, by name.
    """

    format: int = FORMAT
    name: str
    step: int
    config: Mapping[str, Any]
    config_sha256: str
    tokenizer_sha256: str
    weights_sha256: str = ""
    directions: tuple[str, ...]
    languages: tuple[str, ...]
    code: str
    data: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
