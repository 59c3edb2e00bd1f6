"""From a folder to the parts of a Translator.

Not its job: the format of the folder (checkpoint.model), or translating.
"""

from pathlib import Path
from typing import NamedTuple

import torch

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.checkpoint.model import Loaded, load_model
from m4nmt.core.config import ConfigError, from_dict, unknown_name
from m4nmt.core.stages import SearchConfig
from m4nmt.data.identify import Identifier
from m4nmt.data.settings import BlockConfig
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.model import translation
from m4nmt.model.settings import ModelConfig
from m4nmt.model.translation import TranslationModel
from m4nmt.translate.decoder import Symbols
from m4nmt.translate.packed import pack

_DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.float32,  # what is not multiplied in eight bits
}
_IDENTIFIER = "identify.safetensors"


class Parts(NamedTuple):
    """All that a model folder holds."""

    model: TranslationModel
    tokenizer: Tokenizer
    card: CheckpointCard
    identifier: Identifier | None


def load(path: Path, device: str, precision: str) -> Parts:
    """Load a model folder, or the model of a run.

    Raises:
        ModelFolderError: no model there, or a damaged one.
        ConfigError: a device or precision that there is not, or not there.
    """
    where, dtype = device_of(device), dtype_of(precision)
    loaded = load_model(path)
    tokenizer, identifier = texts(loaded.folder)
    model = pack(build(loaded, where, dtype), eight_bits=precision == "int8")
    return Parts(model, tokenizer, loaded.card, identifier)


def texts(folder: Path) -> tuple[Tokenizer, Identifier | None]:
    """What a verified folder knows of texts: its tokenizer, and its identifier if it has one."""
    file = folder / _IDENTIFIER
    identifier = Identifier.load(file) if file.is_file() else None
    return Tokenizer.load(folder), identifier


def build(loaded: Loaded, device: torch.device, dtype: torch.dtype) -> TranslationModel:
    """The card's model with these weights, every name and shape checked, tied tables one."""
    model = translation.build(from_dict(ModelConfig, loaded.card.config["model"], "card: model"))
    weights = {name: w.to(device, dtype) for name, w in loaded.weights.items()}
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    model.load_state_dict({n: weights[model.canonical(n)] for n in names}, assign=True)
    model.tie()
    return model.requires_grad_(False).eval()


def device_of(name: str) -> torch.device:
    """The device of this name; "auto" is CUDA where there is one, else the CPU.

    Raises:
        ConfigError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r}: use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r}: torch sees no CUDA device here; use auto or cpu")
    return device


def dtype_of(precision: str) -> torch.dtype:
    """The numbers that weights are kept and multiplied in.

    Raises:
        ConfigError: unknown precision.
    """
    if precision not in _DTYPES:
        raise ConfigError(unknown_name(precision, _DTYPES, "precision"))
    return _DTYPES[precision]


def search_config(card: CheckpointCard) -> SearchConfig:
    """How the recipe decodes."""
    return from_dict(SearchConfig, card.config["search"], "card: search")


def longest_row(card: CheckpointCard) -> int:
    """The longest source row, specials included, that the model has seen."""
    blocks = from_dict(BlockConfig, card.config["data"]["blocks"], "card: data.blocks")
    return blocks.max_length


def symbols(tokenizer: Tokenizer) -> Symbols:
    """What the search must know of the vocabulary: no special and no tag is ever generated."""
    tags = frozenset(tokenizer.tags)
    forbidden = {tokenizer.pad, tokenizer.unk, tokenizer.bos, *tags}
    return Symbols(tokenizer.bos, tokenizer.eos, tuple(sorted(forbidden)), tags)
