"""The folder of a model that embeds sentences: where it is, what it is, how its parts are read.

A folder is what `transformers` writes, or what sentence-transformers writes: the same with a
`modules.json` that says how token states become one vector. Not its job: loading weights
(embedding.py).
"""

import hashlib
import json
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from m4nmt.core.config import ConfigError
from m4nmt.core.files import sha256_file

Pooling = Literal["cls", "mean"]
# Pickled weights are neither fetched nor looked at.
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.bpe")
_NAME = re.compile(r"[\w.-]+/[\w.-]+")
WHERE = "data.filters: EmbeddingScore"


@dataclass(frozen=True)
class Layout:
    """From token states to the vector of a sentence.

    Attributes:
        pooling: the state of the first token, or the mean of all.
        dense: folders of the linear layers that follow, in order.
    """

    pooling: Pooling = "mean"
    dense: tuple[Path, ...] = ()


def find(model: str, reach: bool = True) -> Path | None:
    """The folder of a model.

    A folder of this machine comes first; then the cache of huggingface_hub, then its hub.

    Args:
        model: path of a folder, or `owner/name` of the hub.
        reach: whether to fetch what is not here. Where it is not, None says so.

    Raises:
        ConfigError: it is not here and cannot be fetched, it is no such model, or transformers is
            not installed.
    """
    if reach and find_spec("transformers") is None:
        raise missing()
    if Path(model).is_dir():
        return _whole(Path(model), model)
    if _NAME.fullmatch(model):
        found = _fetched(model, reach)
        if found or not reach:
            return found
    elif not reach:
        return None
    raise ConfigError(
        f"{WHERE}: there is no folder {model!r}; give that of a sentence-embedding model, or "
        "owner/name of one on the hub of Hugging Face"
    )


def _fetched(model: str, reach: bool) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    for cached in (True, False) if reach else (True,):
        try:
            found = snapshot_download(model, allow_patterns=list(FILES), local_files_only=cached)
        except (OSError, HfHubHTTPError, ValueError) as error:
            if cached:
                continue
            first = str(error).splitlines()[0]
            raise ConfigError(
                f"{WHERE}: there is no folder {model!r}, and the hub does not give it: {first}. "
                "Where no network is, bring the model's folder and give its path"
            ) from error
        # A download that broke off leaves a part in the cache.
        if not cached or _is_whole(Path(found)):
            return _whole(Path(found), model)
    return None


def missing() -> ConfigError:
    """The extra is not installed."""
    return ConfigError(f"{WHERE} needs transformers; pip install 'm4nmt[embeddings]'")


def _is_whole(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


def _whole(folder: Path, model: str) -> Path:
    if not _is_whole(folder):
        raise ConfigError(
            f"{WHERE}: {model!r} is no model that can be read: it must hold config.json, a "
            f"tokenizer and weights in safetensors (looked in {folder}). To turn pickled weights "
            "into such: AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    layout(folder)
    return folder


def _files(folder: Path) -> list[Path]:
    found = {path for pattern in FILES for path in folder.rglob(pattern) if path.is_file()}
    return sorted(found)


def state(folder: Path) -> list[list[Any]]:
    """Name, size and time of all files, to see at a glance whether anything changed."""
    stats = [(path, path.stat()) for path in _files(folder)]
    return [[str(path.relative_to(folder)), s.st_size, s.st_mtime_ns] for path, s in stats]


def digest(folder: Path) -> str:
    """sha256 of all files' names and bytes."""
    told = [[str(path.relative_to(folder)), sha256_file(path)] for path in _files(folder)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def layout(folder: Path) -> Layout:
    """How a folder says that sentences are embedded; the mean of all tokens where it says nothing.

    Raises:
        ConfigError: it asks for a part that is not known here.
    """
    listed = folder / "modules.json"
    if not listed.is_file():
        return Layout()
    pooling: Pooling = "mean"
    dense: list[Path] = []
    for part in json.loads(listed.read_text(encoding="utf-8")):
        kind, place = part["type"].rpartition(".")[2], folder / part["path"]
        if kind == "Pooling":
            pooling = _pooling(place)
        elif kind == "Dense":
            dense.append(place)
        elif kind not in ("Transformer", "Normalize"):
            raise ConfigError(
                f"{WHERE}: {listed} asks for {part['type']}; Transformer, Pooling, Dense and "
                "Normalize are known: take another model"
            )
    return Layout(pooling, tuple(dense))


def _pooling(folder: Path) -> Pooling:
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # Older folders have a flag for each way, newer ones its name.
    flags = {
        name.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens")
        for name, value in told.items()
        if name.startswith("pooling_mode_") and value is True
    }
    named = told.get("pooling_mode", sorted(flags))
    modes = [named] if isinstance(named, str) else list(named)
    if modes == ["cls"]:
        return "cls"
    if modes == ["mean"]:
        return "mean"
    raise ConfigError(
        f"{WHERE}: {folder / 'config.json'} asks for pooling {'+'.join(modes) or 'of no kind'}; "
        "cls and mean are known: take another model"
    )
