"""Export folders: a model in CTranslate2's format with all that a Translator needs beside it.

`model.bin`, `config.json` and the vocabulary are CTranslate2's own; the tokenizer's files and the
language identifier come from the model folder; `export.json` holds the model's card, what the
export is, and the sha256 of every file. Written beside its place and renamed into it; read only
when every hash agrees; no pickle anywhere.

Not its job: what stands in `model.bin` (exchange.ctranslate2), decoding.
"""

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.checkpoint.model import CARD, README, WEIGHTS, Loaded, ModelFolderError
from m4nmt.core.config import ConfigError, config_hash, from_dict, parse_json, to_dict, unknown_name
from m4nmt.core.files import fsync_folder, sha256_file, sync_file, write_atomic
from m4nmt.data.tokenizer import BOS, EOS, UNK, Tokenizer
from m4nmt.exchange import ctranslate2 as specs
from m4nmt.model.settings import Learned, ModelConfig, Sinusoidal

MANIFEST, FORMAT = "export.json", 1
FEWEST_POSITIONS = 2048


@dataclass(frozen=True, kw_only=True)
class Export:
    """What an export folder says about itself.

    Attributes:
        format: of the folder; a newer one is refused.
        quantization: of the weights, in CTranslate2's words.
        writer: version of CTranslate2 that wrote it.
        weights_sha256: of the model's own weights that it was made of.
        positions: the longest row it takes; 0: any.
        card: of the model folder.
        files: sha256 of every other file, by name.
    """

    format: int = FORMAT
    quantization: str
    writer: str
    weights_sha256: str
    positions: int
    card: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)


def version() -> str:
    """Of the CTranslate2 that is installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        return metadata.version("ctranslate2")
    except metadata.PackageNotFoundError as error:
        raise ConfigError(
            "CTranslate2 is not installed: pip install 'm4nmt[ctranslate2]'"
        ) from error


def is_export(path: Path) -> bool:
    """Whether there is an export folder at this path."""
    return (path / MANIFEST).is_file()


def beside(model_folder: Path, quantization: str) -> Path:
    """Where the export of a model folder lies unless told otherwise."""
    return model_folder / f"ctranslate2-{quantization}"


def write_export(loaded: Loaded, folder: Path, quantization: str) -> None:
    """Write an export of a model, in the place of an older one.

    Raises:
        NotExportableError: CTranslate2 cannot express the model; names the part.
        ConfigError: CTranslate2 is not installed, an unknown quantisation, or something else lies
            at the place.
        OSError: the disk's fault; an old export stands.
    """
    if quantization not in specs.QUANTIZATIONS:
        raise ConfigError(unknown_name(quantization, specs.QUANTIZATIONS, "quantisation"))
    if folder.exists() and not is_export(folder):
        raise ConfigError(f"{folder} is there already and is no export; choose a new folder")
    writer = version()
    config = from_dict(ModelConfig, loaded.card.config["model"], "card: model")
    specs.check(config)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".tmp-{folder.name}-{secrets.token_hex(4)}")
    try:
        temporary.mkdir()
        positions = _positions(config, loaded.card)
        export = Export(
            quantization=quantization,
            writer=writer,
            weights_sha256=loaded.card.weights_sha256,
            positions=positions,
            card=to_dict(loaded.card),
        )
        _write(temporary, loaded, config, export)
        _swap(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read_export(folder: Path) -> Export:
    """What an export folder says, without a look at its other files.

    Raises:
        ModelFolderError: no export, a damaged one, or one of a newer format.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes().decode("utf-8")
        data = parse_json(text, str(path))
        if not isinstance(data, dict):
            raise ConfigError("not an export")
        form = data.get("format")
        if isinstance(form, int) and form > FORMAT:
            raise ModelFolderError(
                f"{path}: format {form} is newer than this m4nmt can read ({FORMAT}); update m4nmt"
            )
        data.pop("sha256", None)
        if _encode(data) != text:
            raise ConfigError("its sha256 does not agree with its content")
        return from_dict(Export, data, where=str(path))
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise ModelFolderError(f"{path} is damaged or no export: {error}") from error


def load_export(folder: Path) -> Export:
    """Read an export folder, verifying every hash.

    Raises:
        ModelFolderError: says which file is missing or damaged.
    """
    export = read_export(folder)
    for name, digest in export.files.items():
        try:
            found = sha256_file(folder / name)
        except OSError as error:
            raise ModelFolderError(
                f"{folder / name}: {error.strerror}; export the model again"
            ) from error
        if found != digest:
            raise ModelFolderError(
                f"{folder / name} is damaged or was exchanged: its sha256 is not that of "
                f"{MANIFEST}; export the model again"
            )
    return export


def card_of(export: Export) -> CheckpointCard:
    """The card of the model that was exported."""
    return from_dict(CheckpointCard, dict(export.card), "export: card")


def words(tokenizer: Tokenizer, size: int) -> specs.Words:
    """The tokenizer's vocabulary; ids of the model beyond it get names of their own.

    Raises:
        ConfigError: two ids are written alike, which CTranslate2 could not tell apart.
    """
    pieces = tokenizer.pieces(range(min(size, tokenizer.size)))
    pieces += [f"<unused {i}>" for i in range(len(pieces), size)]
    if len(set(pieces)) < len(pieces):
        raise ConfigError(
            "two pieces of the vocabulary are written alike, and CTranslate2 knows pieces by their "
            "writing only; the native engine serves this model (--engine native)"
        )
    return specs.Words(tuple(pieces), pieces[UNK], pieces[BOS], pieces[EOS])


def _positions(config: ModelConfig, card: CheckpointCard) -> int:
    """Rows of the table of positions: far more than the model has seen; 0: it needs none."""
    match config.position:
        case Sinusoidal():
            longest = int(card.config["data"]["blocks"]["max_length"])
            return max(FEWEST_POSITIONS, 1 << (8 * longest - 1).bit_length())
        case Learned(length=length):
            return length
        case _:
            return 0


def _write(folder: Path, loaded: Loaded, config: ModelConfig, export: Export) -> None:
    """Every file of an export, the manifest last."""
    vocabulary = words(Tokenizer.load(loaded.folder), config.vocab)
    spec = specs.specification(config, loaded.weights, vocabulary, export.positions)
    spec.optimize(export.quantization)
    spec.save(str(folder))
    for name in loaded.card.files:
        shutil.copyfile(loaded.folder / name, folder / name)
    write_atomic(folder / README, _readme(export, loaded.card))
    paths = sorted(path for path in folder.iterdir() if path.name != README)
    for path in paths:
        sync_file(path)
    export = replace(export, files={path.name: sha256_file(path) for path in paths})
    write_atomic(folder / MANIFEST, _encode(to_dict(export)))


def _swap(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`."""
    fsync_folder(folder.parent)
    aside = folder.with_name(f".old-{folder.name}-{secrets.token_hex(4)}")
    if folder.exists():
        folder.rename(aside)
    new.rename(folder)
    fsync_folder(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _encode(data: dict[str, Any]) -> str:
    """The one spelling of a manifest: its own sha256 first, then its fields."""
    sealed = {"sha256": config_hash(data), **data}
    return json.dumps(sealed, indent=1, ensure_ascii=False) + "\n"


def _readme(export: Export, card: CheckpointCard) -> str:
    """Markdown for the people who find this folder."""
    return (
        f"# {card.name} for CTranslate2\n\n"
        f"An export ({export.quantization}, CTranslate2 {export.writer}) of a translation model of "
        f"{len(card.languages)} languages, made with {card.code}. `{MANIFEST}` holds the model's "
        f"`{CARD}` and the sha256 of every file; the weights it was made of (`{WEIGHTS}`) have the "
        f"sha256 `{export.weights_sha256}`.\n\n"
        "```sh\nm4nmt translate THIS_FOLDER --from CODE --to CODE < in.txt\n"
        "m4nmt serve THIS_FOLDER\n```\n\n"
        "CTranslate2 alone loads it, too: a source is the tag of the target language, such as "
        f"`<2{card.languages[0]}>`, then SentencePiece's pieces, then `</s>`.\n"
    )
