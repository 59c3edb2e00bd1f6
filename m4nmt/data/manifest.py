"""Manifests: what corpora exist, which files and languages they have, their licence and hashes.

A manifest is a TOML file, found by name or by path. Its corpora are sets of line-aligned columns,
one column a language; a bitext has two:

    name = "news"
    license = "CC0-1.0"
    folder = "news"                       # below the root; may be left out

    [[corpus]]
    name = "news"
    split = "train"                       # train, dev or test
    path = "train/{lang}.txt.xz"          # packed or not; "a.zip!/b.tmx" is a file in an archive
    format = "multiway"                   # may be left out: told from the file
    languages = ["en", "swh_Latn"]        # or {en = "en_US"}: what {lang} stands for
    columns = ["en", "", "sw"]            # for tables: "" is left out; or {en = "name", sw = ...}
    header = true                         # for tables: the first line holds names
    where = {label = "clean"}             # for tables and records: only these rows
    pairs = ["eng_Latn-*"]                # may be left out: all
    domain = "law"                        # may be left out: a tag for its directions
    synthetic = ["sw"]                    # may be left out: columns that a machine translated
    lines = 29000                         # may be left out
    sha256 = {"train/en.txt.xz" = "..."}  # may be left out

A table with `each = [{x = "de"}, {x = "fr"}]` stands for one table for each of these, with {x}
replaced in its texts. [[fetch]] says where a file comes from (manifests/fetch.py): `file`, and
`url` or `dataset`; `sha256` and `size` where known. docs/corpora.md goes through the formats. Not
its job: which fields of which files hold a language (manifests/columns.py; where the manifest does
not say, manifests/told.py), reading the files (formats.py).
"""

import dataclasses
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from m4nmt.core.config import ConfigError, unknown_name
from m4nmt.data import origin
from m4nmt.data.manifests import columns as manifest_columns
from m4nmt.data.manifests import keys, told
from m4nmt.data.manifests.columns import FORMATS, code_of
from m4nmt.data.read.types import INSIDE, Dataset, Kind, Lines
from m4nmt.data.types import Direction, Split

_CHECKOUT = Path(__file__).resolve().parents[2] / "data" / "manifests"
_SHIPPED = Path(__file__).resolve().parents[1] / "_shipped" / "manifests"
_CORPUS = {"name", "split", "format", "path", "pairs", "license", "licenses", "sha256", "lines"}
_CORPUS |= manifest_columns.KEYS | told.KEYS | origin.KEYS


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Line-aligned columns of text.

    Attributes:
        name: unique in the manifest among corpora of one split.
        split: "train", "dev" or "test".
        format: one of FORMATS.
        files: language -> file, relative to the manifest's root; a table has one file for all. It
            may end in "!/" and the name of a file in an archive.
        fields: language -> field of its file, as `kind` says.
        kind: how the files are read.
        where: field -> text: only rows that have these are read.
        pairs: patterns of the directions that may be drawn from it; empty: all.
        license: of the whole, or of the parts that `licenses` leaves out.
        licenses: language -> its own licence.
        sha256: file -> hash, where known.
        lines: how many there must be; 0 where unknown.
        domain: what the text is about, told to the model by a tag; may be empty.
        synthetic: languages whose column a machine translated: never a target (origin.py).
    """

    name: str
    split: Split
    format: str
    files: Mapping[str, str]
    fields: Mapping[str, int | str]
    kind: Kind = field(default_factory=Lines)
    where: Mapping[str, str] = field(default_factory=dict)
    pairs: tuple[str, ...] = ()
    license: str = ""
    licenses: Mapping[str, str] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    lines: int = 0
    domain: str = ""
    synthetic: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Unique name: "bible100.train"."""
        return f"{self.name}.{self.split}"

    @property
    def languages(self) -> tuple[str, ...]:
        """Sorted codes."""
        return tuple(sorted(self.files))

    def tags(self, src: str) -> tuple[str, ...]:
        """What is known of its text when it is read from this language; nothing of a test set."""
        return origin.tags(self.domain, self.synthetic, src) if self.split == "train" else ()

    def allows(self, one: str, other: str) -> bool:
        """Whether the pair (in whichever order) may be drawn."""
        names = (str(Direction(one, other)), str(Direction(other, one)))
        return not self.pairs or any(fnmatchcase(n, p) for n in names for p in self.pairs)


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """Where a file comes from.

    Attributes:
        file: relative to the manifest's root.
        url: https address of the bytes; empty where `dataset` is given.
        dataset: hub, config, split and revision for the `datasets` library instead; the file is
            written as Parquet.
        sha256: of the file; empty where it is noted at the first fetch.
        size: bytes; 0 where unknown.
    """

    file: str
    url: str = ""
    dataset: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Corpora and the folder in which their files lie.

    Attributes:
        name, license, url, note: for people.
        folder: of the files, below a root; may be empty.
        root: the folder that has the files; of a manifest that was only read (`parse`), the folder
            in which they belong.
        corpora: in the order of the file.
        fetches: where the files come from; may be empty.
    """

    name: str
    root: Path
    corpora: tuple[Corpus, ...]
    license: str = ""
    url: str = ""
    note: str = ""
    folder: str = ""
    fetches: tuple[Fetch, ...] = ()

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
        FormatError: a file that must be looked at to know its languages cannot be read.
    """
    path = find(name_or_path)
    data = _data(path)
    read = _parse(data, path)
    wanted = [file for corpus in read.corpora for file in on_disk(corpus)]
    wanted += [
        told.on_disk(item) for item in _each(data["corpus"], str(path)) if told.is_vague(item)
    ]
    found = _root(read, path, root, list(dict.fromkeys(wanted)))
    return dataclasses.replace(read, root=found, corpora=_corpora(data, path, found))


def parse(path: Path) -> Manifest:
    """Read a manifest without looking for its files.

    Its corpora are those of which it says the format and the languages; of others, `load` learns
    them from their files.

    Raises:
        ConfigError: broken manifest; says what and where.
    """
    return _parse(_data(path), path)


def _data(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    keys.check(data, keys.TOP, str(path))
    if not data.get("corpus"):
        raise ConfigError(f"{path}: has no [[corpus]]")
    return data


def _corpora(data: Mapping[str, Any], path: Path, root: Path | None) -> tuple[Corpus, ...]:
    """The corpora of a manifest; without a root, only those of which it says all."""
    license = str(data.get("license", ""))
    corpora: list[Corpus] = []
    for number, item in enumerate(_each(data["corpus"], str(path)), start=1):
        where = _checked(item, f"{path}: corpus {number}")
        if not told.is_vague(item):
            corpora.append(_corpus(item, where, license))
        elif root is not None:
            corpora += [_corpus(whole, where, license) for whole in told.whole(item, root, where)]
    keys = [corpus.key for corpus in corpora]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"{path}: two corpora are called {key}; give them different names")
    return tuple(corpora)


def _parse(data: Mapping[str, Any], path: Path) -> Manifest:
    folder = str(data.get("folder", ""))
    return Manifest(
        name=str(data.get("name", path.stem)),
        root=places(path)[0] / folder,
        corpora=_corpora(data, path, None),
        license=str(data.get("license", "")),
        url=str(data.get("url", "")),
        note=str(data.get("note", "")),
        folder=folder,
        fetches=tuple(
            _fetch(item, f"{path}: fetch {number}")
            for number, item in enumerate(_each(data.get("fetch", ()), str(path)), start=1)
        ),
    )


def places(manifest: Path, given: str = "") -> list[Path]:
    """Where the folder of a manifest's files may lie, best first."""
    if given:
        return [Path(given).expanduser()]
    environment = os.environ.get("M4NMT_DATA", "")
    named = [Path(environment).expanduser()] if environment else []
    return [*named, manifest.resolve().parent]


def _folder() -> Path:
    return _CHECKOUT if _CHECKOUT.is_dir() else _SHIPPED


def _root(read: Manifest, path: Path, given: str, wanted: Sequence[str]) -> Path:
    """The first place that has the files.

    Raises:
        ConfigError: none has all of them.
    """
    roots = [place / read.folder for place in places(path, given)]
    absent = [[file for file in wanted if not (root / file).exists()] for root in roots]
    best = min(range(len(roots)), key=lambda i: len(absent[i]))
    if not absent[best]:
        return roots[best]
    missing = absent[best]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    looked = ", ".join(str(root) for root in roots)
    within = f" (so that {read.folder}/ lies in it)" if read.folder else ""
    got = f", or get them: m4nmt data fetch {read.name}" if read.fetches else ""
    raise ConfigError(
        f"{path}: missing {missing[0]}{more}; looked in {looked}. Set M4NMT_DATA or data.root "
        f"to the folder of the corpora{within}{got}"
    )


def on_disk(corpus: Corpus) -> list[str]:
    """The files of a corpus that must lie under the root: an archive for all that is in it."""
    if isinstance(corpus.kind, Dataset) and corpus.kind.hub:
        return []
    return list(dict.fromkeys(file.partition(INSIDE)[0] for file in corpus.files.values()))


def _each(tables: Sequence[Mapping[str, Any]], where: str) -> Iterator[Mapping[str, Any]]:
    """Tables, those with `each` once for each of its entries."""
    for table in tables:
        if not isinstance(table, dict) or "each" not in table:
            yield table  # what is no table is refused where it is read
            continue
        each = table["each"]
        if not isinstance(each, list) or not all(isinstance(words, dict) for words in each):
            raise ConfigError(f"{where}: each is a list of tables, such as [{{x = 'de'}}]")
        for words in each:
            yield {key: _filled(value, words) for key, value in table.items() if key != "each"}


def _filled(value: Any, words: Mapping[str, Any]) -> Any:
    """A value with {x} replaced by the word for x, in keys and lists too."""
    if isinstance(value, str):
        for key, word in words.items():
            value = value.replace(f"{{{key}}}", str(word))
        return value
    if isinstance(value, list):
        return [_filled(item, words) for item in value]
    if isinstance(value, dict):
        return {_filled(key, words): _filled(item, words) for key, item in value.items()}
    return value


def _fetch(data: Mapping[str, Any], where: str) -> Fetch:
    """One [[fetch]] table."""
    keys.check(data, keys.FETCH, where)
    file, url, dataset = (data.get(key, "") for key in ("file", "url", "dataset"))
    parts = PurePosixPath(file).parts if isinstance(file, str) else ()
    if not parts or parts[0] == "/" or ".." in parts:
        raise ConfigError(f"{where}: give file, a path below the folder of the corpus")
    if bool(url) == bool(dataset):
        raise ConfigError(f"{where} ({file}): give either url or dataset")
    if url and not url.startswith(("https://", "http://localhost:", "http://127.0.0.1:")):
        raise ConfigError(f"{where} ({file}): the url must begin with https://")
    if dataset and (not isinstance(dataset, dict) or not dataset.get("hub")):
        raise ConfigError(f'{where} ({file}): dataset is a table, such as {{hub = "a/b"}}')
    sha256 = str(data.get("sha256", "")).lower()
    if not re.fullmatch("([0-9a-f]{64})?", sha256):
        raise ConfigError(f"{where} ({file}): sha256 has 64 hexadecimal digits, not {sha256!r}")
    return Fetch(
        file=file,
        url=url,
        dataset={key: str(value) for key, value in (dataset or {}).items()},
        sha256=sha256,
        size=int(data.get("size", 0)),
    )


def _checked(data: Mapping[str, Any], where: str) -> str:
    """See that one [[corpus]] has what all have; returns what messages call it."""
    keys.check(data, _CORPUS, where)
    hub = data.get("format") == "datasets" and "dataset" in data
    for key in ("name", "split", *(() if hub else ("path",))):
        if not isinstance(data.get(key), str):
            raise ConfigError(f"{where}: the key {key!r} is missing, or is not a text")
    where = f"{where} ({data['name']})"
    if data["split"] not in get_args(Split):
        raise ConfigError(f"{where}: {unknown_name(data['split'], get_args(Split), 'split')}")
    if data.get("format", FORMATS[0]) not in FORMATS:
        raise ConfigError(f"{where}: {unknown_name(data['format'], FORMATS, 'format')}")
    pairs = data.get("pairs", "all")
    if pairs != "all" and not isinstance(pairs, list):
        raise ConfigError(f'{where}: pairs is "all" or a list of patterns like "eng_Latn-*"')
    return where


def _corpus(data: Mapping[str, Any], where: str, license: str) -> Corpus:
    """One [[corpus]] table that says all."""
    files, fields, kind = manifest_columns.columns(data, where)
    pairs, rows, hashes = data.get("pairs", "all"), data.get("where", {}), data.get("sha256", {})
    if not isinstance(hashes, dict):
        raise ConfigError(f'{where}: sha256 is a table, such as {{"train/en.txt" = "..."}}')
    return Corpus(
        name=data["name"],
        split=data["split"],
        format=data["format"],
        files=files,
        fields=fields,
        kind=kind,
        where={str(name): str(text) for name, text in rows.items()},
        pairs=() if pairs == "all" else tuple(pairs),
        license=str(data.get("license", license)),
        licenses={code_of(k, where): str(v) for k, v in data.get("licenses", {}).items()},
        sha256={str(file): str(value).lower() for file, value in hashes.items()},
        lines=int(data.get("lines", 0)),
        domain=origin.domain(data, where),
        synthetic=origin.synthetic(data, files, where),
    )
