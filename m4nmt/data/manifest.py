"""Manifests: what corpora exist, which files and languages they have, their licence and hashes.

A manifest is a TOML file, found by name or by path. Its corpora are sets of line-aligned columns,
one column a language; a bitext has two:

    name = "news"
    license = "CC0-1.0"
    folder = "news"                       # below the root; may be left out

    [[corpus]]
    name = "news"
    split = "train"                       # train, dev or test
    format = "multiway"                   # or moses (two languages), or tsv
    path = "train/{lang}.txt.xz"          # plain, .gz, .xz or .bz2
    languages = ["en", "swh_Latn"]        # or {en = "en_US"}: what {lang} stands for
    columns = ["en", "", "sw"]            # for tsv instead of languages; "" is left out
    header = true                         # for tsv: pass over the first line
    pairs = ["eng_Latn-*"]                # may be left out: all
    lines = 29000                         # may be left out
    sha256 = {"train/en.txt.xz" = "..."}  # may be left out

Not its job: reading the files (formats.py).
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args

from m4nmt.core.config import ConfigError, unknown_name
from m4nmt.data import language
from m4nmt.data.types import Direction, Split

FORMATS = ("moses", "multiway", "tsv")
_CHECKOUT = Path(__file__).resolve().parents[2] / "data" / "manifests"
_SHIPPED = Path(__file__).resolve().parents[1] / "_shipped" / "manifests"
_TOP = {"name", "url", "license", "note", "folder", "corpus"}
_CORPUS = {"name", "split", "format", "path", "languages", "columns", "header", "pairs"} | {
    "license",
    "licenses",
    "sha256",
    "lines",
}


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Line-aligned columns of text.

    Attributes:
        name: unique in the manifest among corpora of one split.
        split: "train", "dev" or "test".
        format: one of FORMATS.
        files: language -> file, relative to the manifest's root; a table has one file for all.
        fields: language -> column of its file, from 0.
        width: columns of a table; 1 for plain lines.
        header: whether a table's first line holds names.
        pairs: patterns of the directions that may be drawn from it; empty: all.
        license: of the whole, or of the parts that `licenses` leaves out.
        licenses: language -> its own licence.
        sha256: file -> hash, where known.
        lines: how many there must be; 0 where unknown.
    """

    name: str
    split: Split
    format: str
    files: Mapping[str, str]
    fields: Mapping[str, int]
    width: int = 1
    header: bool = False
    pairs: tuple[str, ...] = ()
    license: str = ""
    licenses: Mapping[str, str] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    lines: int = 0

    @property
    def key(self) -> str:
        """Unique name: "bible100.train"."""
        return f"{self.name}.{self.split}"

    @property
    def languages(self) -> tuple[str, ...]:
        """Sorted codes."""
        return tuple(sorted(self.files))

    def allows(self, one: str, other: str) -> bool:
        """Whether the pair (in whichever order) may be drawn."""
        names = (str(Direction(one, other)), str(Direction(other, one)))
        return not self.pairs or any(fnmatchcase(n, p) for n in names for p in self.pairs)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Corpora and the folder in which their files lie."""

    name: str
    root: Path
    corpora: tuple[Corpus, ...]
    license: str = ""
    url: str = ""
    note: str = ""

    def of(self, split: Split) -> tuple[Corpus, ...]:
        """The corpora of one split."""
        return tuple(corpus for corpus in self.corpora if corpus.split == split)


def names() -> list[str]:
    """The manifests that come with m4nmt."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def find(name_or_path: str) -> Path:
    """The manifest's file.

    Raises:
        ConfigError: neither a file nor a known name.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    shipped = _folder() / f"{name_or_path}.toml"
    if shipped.is_file() and path.name == name_or_path:
        return shipped
    hint = unknown_name(name_or_path, names(), "manifest")
    raise ConfigError(f"{hint} (or the path of a .toml file)")


def load(name_or_path: str, root: str = "") -> Manifest:
    """Read a manifest and find its files.

    Args:
        name_or_path: "multi30k" or "my/manifest.toml".
        root: folder of the files; empty: $M4NMT_DATA, else the manifest's own folder.

    Raises:
        ConfigError: broken manifest, or files that are not there; says where it looked.
    """
    path = find(name_or_path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    _check_keys(data, _TOP, str(path))
    corpora = tuple(
        _corpus(item, f"{path}: corpus {number}", str(data.get("license", "")))
        for number, item in enumerate(data.get("corpus", ()), start=1)
    )
    keys = [corpus.key for corpus in corpora]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"{path}: two corpora are called {key}; give them different names")
    if not corpora:
        raise ConfigError(f"{path}: has no [[corpus]]")
    return Manifest(
        name=str(data.get("name", path.stem)),
        root=_root(path, root, str(data.get("folder", "")), corpora),
        corpora=corpora,
        license=str(data.get("license", "")),
        url=str(data.get("url", "")),
        note=str(data.get("note", "")),
    )


def _folder() -> Path:
    return _CHECKOUT if _CHECKOUT.is_dir() else _SHIPPED


def _root(manifest: Path, given: str, folder: str, corpora: Sequence[Corpus]) -> Path:
    """The first place that has the files.

    Raises:
        ConfigError: none has all of them.
    """
    environment = os.environ.get("M4NMT_DATA", "")
    if given:
        places = [Path(given).expanduser()]
    else:
        places = [Path(environment).expanduser()] if environment else []
        places.append(manifest.resolve().parent)
    roots = [place / folder for place in places]
    wanted = list(dict.fromkeys(file for corpus in corpora for file in corpus.files.values()))
    absent = [[file for file in wanted if not (root / file).is_file()] for root in roots]
    best = min(range(len(roots)), key=lambda i: len(absent[i]))
    if not absent[best]:
        return roots[best]
    missing = absent[best]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    looked = ", ".join(str(root) for root in roots)
    within = f" (so that {folder}/ lies in it)" if folder else ""
    raise ConfigError(
        f"{manifest}: missing {missing[0]}{more}; looked in {looked}. Set M4NMT_DATA or data.root "
        f"to the folder of the corpora{within}"
    )


def _check_keys(data: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in data:
        if key not in known:
            raise ConfigError(f"{where}: {unknown_name(key, known, 'key')}")


def _corpus(data: Mapping[str, Any], where: str, license: str) -> Corpus:
    """One [[corpus]] table."""
    _check_keys(data, _CORPUS, where)
    for key in ("name", "split", "format", "path"):
        if not isinstance(data.get(key), str):
            raise ConfigError(f"{where}: the key {key!r} is missing, or is not a text")
    where = f"{where} ({data['name']})"
    if data["split"] not in get_args(Split):
        raise ConfigError(f"{where}: {unknown_name(data['split'], get_args(Split), 'split')}")
    if data["format"] not in FORMATS:
        raise ConfigError(f"{where}: {unknown_name(data['format'], FORMATS, 'format')}")
    columns = _table if data["format"] == "tsv" else _lines
    files, fields, width = columns(data, where)
    if data["format"] == "moses" and len(files) != 2:
        raise ConfigError(f"{where}: a moses corpus has two languages, not {len(files)}")
    pairs = data.get("pairs", "all")
    if pairs != "all" and not isinstance(pairs, list):
        raise ConfigError(f'{where}: pairs is "all" or a list of patterns like "eng_Latn-*"')
    return Corpus(
        name=data["name"],
        split=data["split"],
        format=data["format"],
        files=files,
        fields=fields,
        width=width,
        header=bool(data.get("header", False)),
        pairs=() if pairs == "all" else tuple(pairs),
        license=str(data.get("license", license)),
        licenses={_code(k, where): str(v) for k, v in data.get("licenses", {}).items()},
        sha256=dict(data.get("sha256", {})),
        lines=int(data.get("lines", 0)),
    )


def _lines(data: Mapping[str, Any], where: str) -> tuple[dict[str, str], dict[str, int], int]:
    """A file a language: `path` has {lang}, `languages` lists codes or maps code -> {lang}."""
    languages = data.get("languages")
    if not languages or "{lang}" not in data["path"]:
        raise ConfigError(f"{where}: give languages, and a path with {{lang}} in it")
    named = languages if isinstance(languages, dict) else {code: code for code in languages}
    files = {_code(code, where): data["path"].format(lang=name) for code, name in named.items()}
    if len(files) != len(named):
        raise ConfigError(f"{where}: two of its languages are the same one")
    return files, dict.fromkeys(files, 0), 1


def _table(data: Mapping[str, Any], where: str) -> tuple[dict[str, str], dict[str, int], int]:
    """One file: `columns` lists the language of each column, "" for one to leave out."""
    columns = data.get("columns")
    if not isinstance(columns, list) or not any(columns):
        raise ConfigError(f'{where}: give columns, such as ["eng_Latn", "", "swh_Latn"]')
    fields = {_code(code, where): number for number, code in enumerate(columns) if code}
    if len(fields) != sum(bool(code) for code in columns):
        raise ConfigError(f"{where}: two of its columns have the same language")
    return dict.fromkeys(fields, data["path"]), fields, len(columns)


def _code(code: str, where: str) -> str:
    try:
        return language.normalise(code)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
