"""Which engine decodes, and all that a Translator needs beside it.

On a CPU CTranslate2 does it where it is installed and can express the model; it is exported once,
beside the model, and found there the next time. Otherwise the native engine does it. Which one, and
why, is said.

Not its job: what a model folder holds (loading), how models are exported (exchange), decoding.
"""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.checkpoint.model import ModelFolderError, load_card, load_model, model_folder
from m4nmt.core.config import ConfigError, from_dict, unknown_name
from m4nmt.data.identify import Identifier
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.exchange import ctranslate2 as specs
from m4nmt.exchange import folder as exports
from m4nmt.model.settings import ModelConfig
from m4nmt.translate import loading
from m4nmt.translate.ctranslate2 import CTranslate2
from m4nmt.translate.engine import Engine, Native
from m4nmt.translate.ensemble import Ensemble

log = logging.getLogger(__name__)

Choice = Literal["auto", "native", "ctranslate2"]
CHOICES = ("auto", "native", "ctranslate2")
_QUANTIZATIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "int8": "int8"}
PRECISIONS = (*_QUANTIZATIONS, "auto")


class Ready(NamedTuple):
    """An engine with what belongs to it.

    Attributes:
        which: what runs and why, for people.
    """

    engine: Engine
    tokenizer: Tokenizer
    card: CheckpointCard
    identifier: Identifier | None
    which: str


class _Wish(NamedTuple):
    """What was asked for."""

    device: str
    precision: str
    threads: int

    @classmethod
    def of(cls, device: str, precision: str, threads: int) -> "_Wish":
        """Raises: ConfigError: no such device, or less than no threads."""
        if threads < 0:
            raise ConfigError(f"need 0 threads (the default) or more, got {threads}")
        return cls(str(loading.device_of(device)), precision, threads)

    def quantization(self, model: Path) -> str:
        """Of the export to use or make for a model folder."""
        if self.precision == "auto":
            made = exports.is_export(exports.beside(model, "int8"))
            return "int8" if made else "float32"
        return _QUANTIZATIONS[self.precision]


def load(path: Path, device: str, precision: str, engine: str, threads: int) -> Ready:
    """Load a model folder, the model of a run, or an export folder.

    Raises:
        ModelFolderError: no model there, or a damaged one.
        ConfigError: a device, precision or engine that there is not, or that cannot run this model.
    """
    if engine not in CHOICES:
        raise ConfigError(unknown_name(engine, CHOICES, "engine"))
    if precision not in PRECISIONS:
        raise ConfigError(unknown_name(precision, PRECISIONS, "precision"))
    wish = _Wish.of(device, precision, threads)
    if exports.is_export(path):
        if engine == "native":
            raise ConfigError(
                f"{path} is an export for CTranslate2; give the model folder it was made of to the "
                "native engine"
            )
        return _exported(path, wish, None, "an export was given")
    if engine == "native":
        return _native(path, wish, "as asked")
    if engine == "ctranslate2":
        return _through_export(model_folder(path), wish, "as asked")
    reason = _against(path, wish)
    if reason:
        return _native(path, wish, reason)
    try:
        return _through_export(model_folder(path), wish, "on a CPU it is faster")
    except OSError as error:
        reason = f"no export can be written beside the model ({error.strerror}); m4nmt export can"
        return _native(path, wish, reason)


def load_together(paths: Sequence[Path], device: str, precision: str, threads: int) -> Ready:
    """Load several models that decode as one, by the native engine. Card, tokenizer and identifier
    are those of the first.

    Raises:
        ModelFolderError: no model there, or a damaged one.
        ConfigError: an export; models with different tokenizers; no such device or precision.
    """
    for path in paths:
        if exports.is_export(path):
            raise ConfigError(
                f"{path} is an export for CTranslate2, which knows no ensembles; give the model "
                "folder it was made of"
            )
    wish = _Wish.of(device, precision, threads)
    members = [_native(path, wish, "an ensemble") for path in paths]
    first = members[0]
    for path, member in zip(paths, members, strict=True):
        if member.tokenizer.sha256 != first.tokenizer.sha256:
            raise ConfigError(
                f"{path} has another tokenizer (sha256 {member.tokenizer.sha256[:12]}) than "
                f"{paths[0]} ({first.tokenizer.sha256[:12]}); an ensemble's models must have been "
                "trained with the same tokenizer folder"
            )
    engines = [m.engine for m in members if isinstance(m.engine, Native)]
    which = first.which.replace("engine", f"engine with {len(engines)} models", 1)
    return first._replace(engine=Ensemble(engines), which=which)


def _against(path: Path, wish: _Wish) -> str:
    """Why CTranslate2 does not run this model unless asked; empty: nothing."""
    if not wish.device.startswith("cpu"):
        return f"the device is {wish.device}"
    if wish.precision in ("bf16", "fp16"):
        return f"the precision is {wish.precision}"
    try:
        exports.version()
        specs.check(from_dict(ModelConfig, load_card(path).config["model"], "card: model"))
    except ConfigError as error:
        return str(error)
    return ""


def _native(path: Path, wish: _Wish, reason: str) -> Ready:
    precision = "fp32" if wish.precision == "auto" else wish.precision
    parts = loading.load(path, wish.device, precision)
    if wish.threads:
        torch.set_num_threads(wish.threads)
    engine = Native(parts.model, loading.symbols(parts.tokenizer))
    which = f"native engine, {precision} on {wish.device}: {reason}"
    return Ready(engine, parts.tokenizer, parts.card, parts.identifier, which)


def _through_export(model: Path, wish: _Wish, reason: str) -> Ready:
    """A model folder by its export, which is made if it is not there or not of these weights."""
    exports.version()
    quantization = wish.quantization(model)
    card = load_card(model)
    folder = exports.beside(model, quantization)
    if not _is_of(folder, card):
        exports.write_export(load_model(model), folder, quantization)
        log.info("exported %s for CTranslate2 (%s) to %s", model, quantization, folder)
    return _exported(folder, wish, model, reason)._replace(card=card)


def _is_of(folder: Path, card: CheckpointCard) -> bool:
    """Whether a whole export of these weights lies there."""
    try:
        return exports.load_export(folder).weights_sha256 == card.weights_sha256
    except ModelFolderError as error:
        if exports.is_export(folder):
            log.warning("%s; it is made anew", error)
        return False


def _exported(folder: Path, wish: _Wish, model: Path | None, reason: str) -> Ready:
    """An export folder; `model` is what it was made of, if that is at hand."""
    exports.version()
    export = exports.load_export(folder)
    card = exports.card_of(export)
    tokenizer, identifier = loading.texts(folder)
    config = from_dict(ModelConfig, card.config["model"], "card: model")
    engine = CTranslate2(
        folder,
        exports.words(tokenizer, config.vocab).pieces,
        loading.symbols(tokenizer),
        export.positions or None,
        device=wish.device,
        threads=wish.threads,
        shift=specs.Reading.of(config).shift,
        native=partial(_stand_in, model, wish) if model else None,
    )
    which = (
        f"CTranslate2 {exports.version()}, {export.quantization} on {wish.device}: {reason} "
        f"({folder})"
    )
    return Ready(engine, tokenizer, card, identifier, which)


def _stand_in(model: Path, wish: _Wish) -> Engine:
    """The native engine, for what CTranslate2 cannot do."""
    return _native(model, wish, "in CTranslate2's place").engine
