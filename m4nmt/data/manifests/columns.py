"""The part of a manifest that depends on the format: which file and field holds each language.

    format = "moses", "multiway"    languages = ["en", "sw"]     # a file each: {lang} in the path
    format = "tsv"    columns = ["en", "", "sw"]              # by place; "" is left out
    format = "csv"    columns = {en = "src", sw = "tgt"}      # by name: the first line is a header
    format = "jsonl"  columns = {en = "translation.en", ...}  # keys, with dots into objects
    format = "parquet" (Arrow too)  likewise
    format = "tmx"    languages = ["en", "sw"]                # or {en = "EN-US"}
    format = "xliff", "po"          columns = {en = "source", sw = "target"}
    format = "datasets"             columns as for jsonl; dataset = {hub, config, split, revision}

Tables may be one a language too: {lang} in the path, columns = ["{lang}", ""]. Not its job: the
rest of a manifest (manifest.py), or what it leaves out (told.py).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from m4nmt.core.config import ConfigError, unknown_name
from m4nmt.data import language
from m4nmt.data.read.types import (
    Columnar,
    Csv,
    Dataset,
    JsonLines,
    Kind,
    Lines,
    Po,
    Tmx,
    Tsv,
    Xliff,
)

LANG = "{lang}"
FORMATS = (
    "moses",
    "multiway",
    "tsv",
    "csv",
    "jsonl",
    "parquet",
    "tmx",
    "xliff",
    "po",
    "datasets",
)
KEYS = {"languages", "columns", "header", "delimiter", "dataset", "where"}
_DATASET = {"hub", "config", "split", "revision"}


class Columns(NamedTuple):
    """Where the languages of a corpus stand.

    Attributes:
        files: language -> file, relative to the manifest's root; may end in "!/member".
        fields: language -> field of its file, as `kind` says.
        kind: the format of the files.
    """

    files: dict[str, str]
    fields: dict[str, int | str]
    kind: Kind


def columns(data: Mapping[str, Any], where: str) -> Columns:
    """Read these keys of a [[corpus]] table.

    Raises:
        ConfigError: a key is missing or does not fit the format.
    """
    form, path = data["format"], data.get("path", "")
    kind = _kind(data, where)
    if isinstance(kind, Lines):
        return _by_language(data, 0, kind, where)
    if LANG in path:
        return _by_language(data, _own(data.get("columns"), kind, where), kind, where)
    if form == "tmx":
        fields = _named(data, "languages", where)
    elif isinstance(kind, Tsv | Csv) and not isinstance(data.get("columns"), dict):
        fields = _placed(data.get("columns"), where)
    else:
        fields = _named(data, "columns", where)
    if form in ("xliff", "po") and not set(fields.values()) <= {"source", "target"}:
        raise ConfigError(f'{where}: {form} has the columns "source" and "target" alone')
    file = kind.hub if isinstance(kind, Dataset) and kind.hub else path
    return Columns(dict.fromkeys(fields, file), fields, kind)


def _kind(data: Mapping[str, Any], where: str) -> Kind:
    form, given = data["format"], data.get("columns")
    header = bool(data.get("header", isinstance(given, dict)))
    width = len(given) if isinstance(given, list) else 0
    if form == "tsv":
        return Tsv(width=width, header=header)
    if form == "csv":
        delimiter = data.get("delimiter", ",")
        if not isinstance(delimiter, str) or len(delimiter) != 1:
            raise ConfigError(f'{where}: delimiter is one character, such as ";"')
        return Csv(width=width, header=header, delimiter=delimiter)
    if form == "datasets":
        about = data.get("dataset", {})
        for key in about:
            if key not in _DATASET:
                raise ConfigError(f"{where}: dataset: {unknown_name(key, _DATASET, 'key')}")
        return Dataset(**{key: str(value) for key, value in about.items()})
    plain: dict[str, Kind] = {
        "moses": Lines(),
        "multiway": Lines(),
        "jsonl": JsonLines(),
        "parquet": Columnar(),
        "tmx": Tmx(),
        "xliff": Xliff(),
        "po": Po(),
    }
    return plain[form]


def _by_language(data: Mapping[str, Any], own: int | str, kind: Kind, where: str) -> Columns:
    """A file a language, aligned row by row; `languages` lists codes or maps code -> {lang}."""
    path = data["path"]
    if LANG not in path or not data.get("languages"):
        raise ConfigError(f"{where}: give languages, and a path with {LANG} in it")
    named = _named(data, "languages", where)
    if data["format"] == "moses" and len(named) != 2:
        raise ConfigError(f"{where}: a moses corpus has two languages, not {len(named)}")
    files = {code: path.replace(LANG, str(name)) for code, name in named.items()}
    return Columns(files, dict.fromkeys(files, own), kind)


def _own(given: Any, kind: Kind, where: str) -> int | str:
    """The field of each of several files that is in the language of the file."""
    if isinstance(given, list) and given.count(LANG) == 1 and isinstance(kind, Tsv | Csv):
        return given.index(LANG)
    if isinstance(given, dict) and list(given) == [LANG]:
        return str(given[LANG])
    raise ConfigError(
        f"{where}: say which column of each file is in its language: "
        f'columns = ["{LANG}", ""], or {{"{LANG}" = "name"}}'
    )


def _named(data: Mapping[str, Any], key: str, where: str) -> dict[str, int | str]:
    """Language -> what the file calls it, from a list of codes or a table.

    Of a list, files whose languages are named inside (TMX) are asked for the code itself.
    """
    given = data.get(key)
    if isinstance(given, list) and key == "languages":
        lists = data["format"] == "tmx"
        given = {code: code_of(code, where) if lists else code for code in given}
    if not given or not isinstance(given, dict):
        example = '["en", "sw"]' if key == "languages" else '{en = "src", sw = "tgt"}'
        raise ConfigError(f"{where}: give {key}, such as {example}")
    fields: dict[str, int | str] = {code_of(code, where): str(n) for code, n in given.items()}
    if len(fields) != len(given):
        raise ConfigError(f"{where}: two of its {key} are the same language")
    return fields


def _placed(given: Any, where: str) -> dict[str, int | str]:
    """Language -> number of its column; "" is one to leave out."""
    if not isinstance(given, list) or not any(given):
        raise ConfigError(f'{where}: give columns, such as ["eng_Latn", "", "swh_Latn"]')
    fields: dict[str, int | str] = {code_of(c, where): n for n, c in enumerate(given) if c}
    if len(fields) != sum(map(bool, given)):
        raise ConfigError(f"{where}: two of its columns have the same language")
    return fields


def code_of(code: str, where: str) -> str:
    """The FLORES-style code.

    Raises:
        ConfigError: no such language.
    """
    try:
        return language.normalise(code)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
