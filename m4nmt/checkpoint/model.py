"""Model folders: all that inference needs, in one folder that travels.

`model.safetensors` (weights by canonical name, a tied table once), the tokenizer's files,
`card.json` and a README for people. Written beside its place and renamed into it; read only when
every hash agrees; no pickle anywhere. Not its job: training state (`store`), building the model.
"""

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from m4nmt.checkpoint.card import FORMAT, CheckpointCard
from m4nmt.checkpoint.readme import readme
from m4nmt.core.config import ConfigError, config_hash, from_dict, parse_json, to_dict
from m4nmt.core.files import fsync_folder, sha256_file, sync_file, write_atomic
from m4nmt.data.tokenizer import Tokenizer, TokenizerError
from m4nmt.model.settings import ModelConfig
from m4nmt.model.translation import build

WEIGHTS, CARD, README = "model.safetensors", "card.json", "README.md"
ASIDE = ".old-"


class ModelFolderError(RuntimeError):
    """A model folder cannot be written or read; says which file and why."""


class Loaded(NamedTuple):
    """A verified model folder. Weights are on the CPU, by canonical parameter name."""

    card: CheckpointCard
    weights: dict[str, Tensor]
    folder: Path


def model_folder(path: Path) -> Path:
    """The model folder at `path`: itself, or `model/` of a run.

    A folder that a killed save had moved aside is found where it lies.

    Raises:
        ModelFolderError: there is none.
    """
    for place in (path, path / "model"):
        if (place / CARD).is_file():
            return place
        aside = _aside(place)
        if aside is not None:
            return aside
    raise ModelFolderError(
        f"{path} is neither a model folder (with {CARD} and {WEIGHTS}) nor a run that has one in "
        "model/; training writes it at its end"
    )


def save_model(
    folder: Path, weights: Mapping[str, Tensor], card: CheckpointCard, tokenizer_folder: Path
) -> None:
    """Write or replace a model folder; at every moment an old or a new one can be loaded.

    Args:
        weights: by canonical name; stored in their dtype.
        card: its `files` and `weights_sha256` are filled in here.
        tokenizer_folder: of a tokenizer, or another model folder; all but model files is copied.

    Raises:
        ModelFolderError: the tokenizer is not the card's, or weights are not of the card's model.
        OSError: the disk's fault; the old folder, if any, stands.
    """
    _check_tokenizer(tokenizer_folder, card.tokenizer_sha256)
    _agree(folder, card, weights)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _settle(folder)
    temporary = folder.with_name(f".tmp-{folder.name}-{secrets.token_hex(4)}")
    try:
        _write(temporary, weights, card, tokenizer_folder)
        _swap(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        _settle(folder)


def load_card(folder: Path) -> CheckpointCard:
    """The verified card of a model folder or run, without reading weights.

    Raises:
        ModelFolderError: no card, a damaged one, or one of a newer format.
    """
    return _read_card(model_folder(folder))


def load_model(folder: Path) -> Loaded:
    """Read a model folder, verifying every hash, name and shape.

    Raises:
        ModelFolderError: says which file is missing, damaged, or does not belong.
    """
    folder = model_folder(folder)
    card = _read_card(folder)
    for name, digest in {**card.files, WEIGHTS: card.weights_sha256}.items():
        _check(folder / name, digest)
    _check_tokenizer(folder, card.tokenizer_sha256)
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(f"{folder / WEIGHTS}: {error}") from error
    _agree(folder, card, weights)
    return Loaded(card, weights, folder)


def write_scores(folder: Path, scores: Mapping[str, Any]) -> None:
    """Replace the scores on the card of a model folder; its other files are not touched.

    Raises:
        ModelFolderError: no model there, or a damaged card.
        OSError: the disk's fault; the old card stands.
    """
    folder = model_folder(folder)
    card = replace(_read_card(folder), scores=dict(scores))
    _write_card(folder, card, _model_size(card))


def _model_size(card: CheckpointCard) -> int:
    model = build(from_dict(ModelConfig, card.config["model"]))
    return sum(p.numel() for p in model.canonical_parameters().values())


def _write_card(folder: Path, card: CheckpointCard, parameters: int) -> None:
    write_atomic(folder / CARD, _encode(to_dict(card)))
    # Last, since write_atomic also makes the names of all files before it durable.
    write_atomic(folder / README, readme(card, parameters))


def _write(
    folder: Path, weights: Mapping[str, Tensor], card: CheckpointCard, tokenizer_folder: Path
) -> None:
    folder.mkdir()
    own = (WEIGHTS, CARD, README)
    for path in sorted(tokenizer_folder.iterdir()):
        if path.is_file() and path.name not in own and not path.name.startswith("."):
            write_atomic(folder / path.name, path.read_bytes())
    files = {path.name: sha256_file(path) for path in sorted(folder.iterdir())}
    try:
        save_file({name: w.detach().contiguous() for name, w in weights.items()}, folder / WEIGHTS)
    except SafetensorError as error:  # a full disk, say: safetensors hides the OSError
        raise OSError(f"{folder / WEIGHTS} was not written: {error}") from error
    sync_file(folder / WEIGHTS)
    card = replace(card, files=files, weights_sha256=sha256_file(folder / WEIGHTS))
    _write_card(folder, card, sum(w.numel() for w in weights.values()))


def _swap(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`. Between the renames the old one lies aside, whole."""
    fsync_folder(folder.parent)
    if folder.exists():
        folder.rename(folder.with_name(f"{ASIDE}{folder.name}-{secrets.token_hex(4)}"))
    new.rename(folder)
    fsync_folder(folder.parent)


def _aside(folder: Path) -> Path | None:
    """The newest whole folder that a save had moved aside."""
    left = [p for p in folder.parent.glob(f"{ASIDE}{folder.name}-*") if (p / CARD).is_file()]
    return max(left, key=lambda p: p.stat().st_mtime_ns, default=None)


def _settle(folder: Path) -> None:
    """Finish what a killed save began, and remove its leavings."""
    aside = _aside(folder)
    if aside is not None and not folder.exists():
        aside.rename(folder)
        fsync_folder(folder.parent)
    for kind in (".tmp-", ASIDE):
        for path in folder.parent.glob(f"{kind}{folder.name}-*"):
            shutil.rmtree(path, ignore_errors=True)


def _encode(data: dict[str, Any]) -> str:
    """The one spelling of a card: its own sha256 first, then its fields."""
    sealed = {"sha256": config_hash(data), **data}
    return json.dumps(sealed, indent=1, ensure_ascii=False) + "\n"


def _read_card(folder: Path) -> CheckpointCard:
    path = folder / CARD
    try:
        text = path.read_bytes().decode("utf-8")
        data = parse_json(text, str(path))
        if not isinstance(data, dict):
            raise ConfigError("not the card of a model")
        form = data.get("format")
        if isinstance(form, int) and form > FORMAT:
            raise ModelFolderError(
                f"{path}: format {form} is newer than this m4nmt can read ({FORMAT}); update m4nmt"
            )
        data.pop("sha256", None)
        if _encode(data) != text:
            raise ConfigError("its sha256 does not agree with its content")
        card = from_dict(CheckpointCard, data, where=str(path))
        if card.config_sha256 != config_hash(card.config):
            raise ConfigError("config_sha256 is not that of its config")
        return card
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise ModelFolderError(f"{path} is damaged or no card: {error}") from error


def _check(path: Path, digest: str) -> None:
    try:
        if sha256_file(path) == digest:
            return
    except OSError as error:
        raise ModelFolderError(f"{path}: {error.strerror}; copy the folder again") from error
    raise ModelFolderError(
        f"{path} is damaged or was exchanged: its sha256 is not the card's; copy the folder again"
    )


def _check_tokenizer(folder: Path, digest: str) -> None:
    """The tokenizer must be the one the model was trained with: its ids mean nothing elsewhere."""
    try:
        found = Tokenizer.load(folder).sha256
    except TokenizerError as error:
        raise ModelFolderError(str(error)) from error
    if found != digest:
        raise ModelFolderError(
            f"{folder} holds another tokenizer (sha256 {found[:12]}) than the model was trained "
            f"with ({digest[:12]}); put back the tokenizer files of the training run"
        )


def _agree(folder: Path, card: CheckpointCard, weights: Mapping[str, Tensor]) -> None:
    """Names and shapes must be those of the card's model."""
    try:
        model = build(from_dict(ModelConfig, card.config["model"]))
    except (KeyError, ConfigError) as error:
        raise ModelFolderError(f"{folder / CARD}: its config holds no model: {error}") from error
    wanted = {name: list(p.shape) for name, p in model.canonical_parameters().items()}
    found = {name: list(w.shape) for name, w in weights.items()}
    if wanted != found:
        wrong = [f"{n}: missing" for n in sorted(wanted.keys() - found.keys())]
        wrong += [f"{n}: not in the model" for n in sorted(found.keys() - wanted.keys())]
        wrong += [
            f"{n}: {found[n]} stored, {wanted[n]} in the model"
            for n in sorted(wanted.keys() & found.keys())
            if wanted[n] != found[n]
        ]
        raise ModelFolderError(
            f"{folder / WEIGHTS} does not belong to its card:\n  " + "\n  ".join(wrong[:20])
        )
