"""What the web page says in other languages than English: one JSON file a language.

A file is called by the language's BCP-47 code. It has the language's own name, whether it runs from
right to left, and the texts by what they are in English; one that lacks is said in English.
A community adds a language with one file. Not its job: putting them into the page (page.py).
"""

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from m4nmt.core.config import ConfigError, parse_json

Texts = dict[str, Any]
_SHAPE = '{"name": "Kiswahili", "rtl": false, "texts": {"Translate": "Tafsiri"}}'


def read(further: Path | None = None) -> dict[str, Texts]:
    """Languages of the page by code: those that are shipped, then those of a folder, which win.

    Raises:
        ConfigError: no such folder, or a file that is not as it should be.
    """
    folders: list[Traversable] = [resources.files("m4nmt_serve").joinpath("web", "texts")]
    if further is not None:
        if not further.is_dir():
            raise ConfigError(f"page_texts: {further} is not a folder (of files such as sw.json)")
        folders.append(further)
    found: dict[str, Texts] = {}
    for folder in folders:
        files = [each for each in folder.iterdir() if each.name.endswith(".json")]
        for file in sorted(files, key=lambda each: each.name):
            found[file.name.removesuffix(".json")] = _read(file)
    return found


def _read(file: Traversable) -> Texts:
    try:
        said = parse_json(file.read_text("utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    if not isinstance(said, dict) or set(said) != {"name", "rtl", "texts"}:
        raise ConfigError(f"{file}: must be an object such as {_SHAPE}")
    texts = said["texts"]
    if not isinstance(said["name"], str) or not isinstance(said["rtl"], bool):
        raise ConfigError(f"{file}: name must be a text, rtl true or false, as in {_SHAPE}")
    if not isinstance(texts, dict) or not all(isinstance(x, str) for x in texts.values()):
        raise ConfigError(f"{file}: texts must be texts by English text, as in {_SHAPE}")
    return said
