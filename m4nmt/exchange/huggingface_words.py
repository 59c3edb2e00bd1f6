"""The tokenizer as Hugging Face's `tokenizers` reads it: one JSON file, without SentencePiece.

It holds the same pieces with the same scores, our rule for text (data/normalise.py), and the tags
as special tokens. A source there is the tag, then the text: "<2deu_Latn> Good morning"; the end
symbol is appended. Special tokens are found in text, too: what nobody should be able to ask for
must be taken out of texts before.

Not its job: the model (huggingface), files (huggingface_folder).
"""

from pathlib import Path
from typing import Any, NamedTuple

import sentencepiece

from m4nmt.core.config import ConfigError
from m4nmt.data.normalise import BLANK, DROPPED
from m4nmt.data.tokenizer import BOS, EOS, MODEL, PAD, SPECIALS, UNK
from m4nmt.data.vocabularies import pieces

_SPACE = "\u2581"


class Vocabulary(NamedTuple):
    """What a SentencePiece model holds.

    Attributes:
        pieces: written form and score of each id.
        controls: ids of specials and tags.
        to_bytes: whether unknown characters are written as bytes.
    """

    pieces: list[tuple[str, float]]
    controls: tuple[int, ...]
    to_bytes: bool


def vocabulary(folder: Path) -> Vocabulary:
    """Of the tokenizer in a model folder.

    Raises:
        ConfigError: not a unigram model.
    """
    model = (folder / MODEL).read_bytes()
    kind = pieces.model_type(model)
    if kind != "unigram":
        raise ConfigError(
            f"the tokenizer is a {kind} model; only unigram ones can be written for transformers"
        )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = range(processor.get_piece_size())
    scored = [(str(processor.id_to_piece(i)), float(processor.get_score(i))) for i in ids]
    controls = tuple(i for i in ids if processor.is_control(i) or i == UNK)
    return Vocabulary(scored, controls, any(map(processor.is_byte, ids)))


def tokenizer_json(words: Vocabulary) -> dict[str, Any]:
    """tokenizer.json."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(i, words.pieces[i][0]) for i in words.controls],
        "normalizer": {"type": "Sequence", "normalizers": _normalisers()},
        "pre_tokenizer": {
            "type": "Metaspace",
            "replacement": _SPACE,
            "prepend_scheme": "always",
            "split": False,
        },
        "post_processor": _end(),
        "decoder": {"type": "Sequence", "decoders": _decoders()},
        "model": {
            "type": "Unigram",
            "unk_id": UNK,
            "vocab": [list(entry) for entry in words.pieces],
            "byte_fallback": words.to_bytes,
        },
    }


def tokenizer_settings(longest: int) -> dict[str, Any]:
    """tokenizer_config.json; `longest` is the longest row in tokens."""
    names = ("pad_token", "unk_token", "bos_token", "eos_token")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": longest,
        "clean_up_tokenization_spaces": False,
        "padding_side": "right",
        **{name: SPECIALS[i] for name, i in zip(names, (PAD, UNK, BOS, EOS), strict=True)},
    }


def _special(number: int, name: str) -> dict[str, Any]:
    return {
        "id": number,
        "content": name,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _normalisers() -> list[dict[str, Any]]:
    """data/normalise.py, step by step."""
    replace = "Replace"
    return [
        {"type": replace, "pattern": {"Regex": DROPPED.pattern}, "content": ""},
        {"type": "NFC"},
        {"type": replace, "pattern": {"Regex": rf"(?:{BLANK.pattern}|\s)+"}, "content": " "},
        {"type": "Strip", "strip_left": True, "strip_right": True},
    ]


def _decoders() -> list[dict[str, Any]]:
    return [
        {"type": "ByteFallback"},
        {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]


def _end() -> dict[str, Any]:
    """The end symbol after every text."""
    name, text = SPECIALS[EOS], {"Sequence": {"id": "A", "type_id": 0}}
    after = {"SpecialToken": {"id": name, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [text, after],
        "pair": [text, after, {"Sequence": {"id": "B", "type_id": 0}}, after],
        "special_tokens": {name: {"id": name, "ids": [EOS], "tokens": [name]}},
    }
