"""What a [[corpus]] leaves out, told from its files: the format, the languages, the columns.

The result is what the manifest could have said: one table that says all, or, of a bilingual format
with {lang} in its path, one a file. Not its job: what such a table means (columns.py).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from m4nmt.core.config import ConfigError
from m4nmt.data import language
from m4nmt.data.manifests.columns import LANG, code_of
from m4nmt.data.read import unpack
from m4nmt.data.read.recognise import Recognised, recognise
from m4nmt.data.read.types import (
    INSIDE,
    Columnar,
    Csv,
    JsonLines,
    Lines,
    Po,
    Source,
    Tmx,
    Tsv,
    Xliff,
)

KEYS = {"source"}
Table = Mapping[str, Any]
_NAMES = {
    Lines: "multiway",
    Tsv: "tsv",
    Csv: "csv",
    JsonLines: "jsonl",
    Columnar: "parquet",
    Tmx: "tmx",
    Xliff: "xliff",
    Po: "po",
}
_BILINGUAL = ("tmx", "xliff", "po")
_CELL, _CELLS = 40, 8  # of a first line, in messages
_WORD = "(?P<lang>[A-Za-z0-9_@-]+)"


def is_vague(data: Table) -> bool:
    """Whether the files must be looked at to know what the corpus is."""
    form, several = data.get("format"), LANG in str(data.get("path", ""))
    if form == "datasets":
        return False
    if form in _BILINGUAL:
        return several or ("languages" if form == "tmx" else "columns") not in data
    if form in ("moses", "multiway"):
        return "languages" not in data
    return form is None or "columns" not in data or (several and "languages" not in data)


def on_disk(data: Table) -> str:
    """What must be there to look at: a file, or the folder of files with {lang} in their names."""
    outer = str(data["path"]).partition(INSIDE)[0]
    start, sign, _ = outer.partition(LANG)
    return start.rpartition("/")[0] if sign else outer


def whole(data: Table, root: Path, where: str) -> list[dict[str, Any]]:
    """The table with what it leaves out, or several.

    Raises:
        ConfigError: the files do not tell enough; says what to give.
        FormatError: a file cannot be read.
    """
    path = str(data["path"])
    if LANG not in path:
        return [_one_file(data, _look(root, path), where)]
    named = _named(data.get("languages", ())) or _there(root, path, where)
    files = {name: path.replace(LANG, label) for name, label in named.items()}
    found = _look(root, next(iter(files.values())))
    form = str(data.get("format", _NAMES[type(found.kind)]))
    if form in _BILINGUAL:
        return _bilingual({**data, "format": form}, root, files, where)
    if form in ("moses", "multiway"):
        return [{**data, "format": form, "languages": named}]
    return [{**_table(data, found, form), "languages": named}]


def _look(root: Path, file: str) -> Recognised:
    outer, _, member = file.partition(INSIDE)
    return recognise(Source(root / outer, member=member))


def _one_file(data: Table, found: Recognised, where: str) -> dict[str, Any]:
    """All languages are fields of one file."""
    form = str(data.get("format", _NAMES[type(found.kind)]))
    made = _table(data, found, form)
    if form in ("moses", "multiway"):
        raise ConfigError(
            f"{where}: {data['path']} has one text a line: give a path with {LANG} in it"
        )
    if "columns" in data or (form == "tmx" and "languages" in data):
        return made
    languages = data.get("languages")
    sides = ("source", "target")
    if form in ("xliff", "po") and isinstance(languages, list) and len(languages) == 2:
        return {**made, "columns": dict(zip(languages, sides, strict=True))}
    if form in ("xliff", "po") and "source" in data:
        origin = code_of(str(data["source"]), where)
        targets = [code for code, side in found.fields.items() if side == "target"]
        if targets and origin not in targets:
            return {**made, "columns": dict(zip((origin, *targets), sides, strict=True))}
    if form != _NAMES[type(found.kind)] or len(found.fields) < 2:
        raise ConfigError(f"{where}: {_ask(str(data['path']), form, found)}")
    key = "languages" if form == "tmx" else "columns"
    rows = dict(data.get("where", found.where))
    return {**made, key: dict(found.fields), **({"where": rows} if rows else {})}


def _table(data: Table, found: Recognised, form: str) -> dict[str, Any]:
    """The table with its format, and how a table of that format is written."""
    made: dict[str, Any] = {**data, "format": form}
    kind = found.kind
    if isinstance(kind, Tsv | Csv) and form == _NAMES[type(kind)] and "columns" not in data:
        made.setdefault("header", kind.header)
    if isinstance(kind, Csv) and form == "csv":
        made.setdefault("delimiter", kind.delimiter)
    return made


def _bilingual(
    data: Table, root: Path, files: Mapping[str, str], where: str
) -> list[dict[str, Any]]:
    """A table for each file: what each holds besides its own language is its own."""
    made = []
    for name, file in files.items():
        target, found = code_of(name, where), _look(root, file)
        origin = code_of(str(data["source"]), where) if "source" in data else _origin(found, target)
        if not origin:
            raise ConfigError(f'{where}: {file} does not tell its source; give source = "en" or so')
        if origin == target:
            continue  # the file of the source itself
        sides = {origin: "source", target: "target"}
        fields: dict[str, Any] = {"columns": sides}
        if data["format"] == "tmx":
            fields = {"languages": list(sides)}
        kept = {key: value for key, value in data.items() if key not in ("languages", "source")}
        made.append({**kept, "name": f"{data['name']}-{target}", "path": file, **fields})
    return made


def _origin(found: Recognised, target: str) -> str:
    """The other language of a bilingual file; empty where it does not tell."""
    if isinstance(found.kind, Tmx):
        others = [code for code in found.fields if code != target]
        return others[0] if len(others) == 1 else ""
    return next((code for code, side in found.fields.items() if side == "source"), "")


def _there(root: Path, path: str, where: str) -> dict[str, str]:
    """What {lang} stands for in the names of a folder or an archive, where it is a language."""
    outer, _, member = path.partition(INSIDE)
    if LANG in outer:
        folder = root / on_disk({"path": path})
        files = sorted(folder.rglob("*"))
        names, pattern = [f.relative_to(root).as_posix() for f in files if f.is_file()], outer
    else:
        names, pattern = unpack.members(root / outer), member
    first, *rest = (re.escape(part) for part in pattern.split(LANG))
    match = re.compile(first + _WORD + "(?P=lang)".join(rest))
    labels = [hit["lang"] for name in names if (hit := match.fullmatch(name))]
    if not labels:
        raise ConfigError(f"{where}: no file is called like {path}; list languages")
    found = {}
    for label in labels:
        try:
            found[language.normalise(label)] = label
        except ValueError as error:
            raise ConfigError(
                f"{where}: {path.replace(LANG, label)} is called like {path}, but {error}; list "
                'languages, such as {en = "..."}'
            ) from error
    return found


def _named(languages: Any) -> dict[str, str]:
    """Language as written -> what {lang} stands for."""
    if isinstance(languages, Mapping):
        return {str(label): str(name) for label, name in languages.items()}
    return {str(label): str(label) for label in languages}


def _ask(file: str, form: str, found: Recognised) -> str:
    what = f"{file} is {form}"
    names: Sequence[str] = found.names
    if form == "tmx":
        return f"{what} with {' '.join(found.fields) or 'no language'}; give languages"
    if form in ("xliff", "po"):
        return f'{what} and does not tell both languages; give languages = ["en", "sw"]'
    if names:
        return f'{what} with {", ".join(names)}; give columns, such as {{en = "{names[0]}", ...}}'
    if found.cells:
        cells = " | ".join(cell[:_CELL] for cell in found.cells[:_CELLS])
        what += f", and its first line ({cells}) names no languages"
        return (
            f'{what}; give columns, such as ["en", "", "sw"], and header = true if it is a header'
        )
    return f'{what}; give columns, such as ["en", "", "sw"]'
