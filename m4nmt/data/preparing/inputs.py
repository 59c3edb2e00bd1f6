"""The source files as they are: hashed, counted and checked before anything is made of them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from m4nmt.core.config import canonical_json
from m4nmt.core.files import sha256_file, write_atomic
from m4nmt.data.formats import Faults, FormatError, Source, read, sources
from m4nmt.data.manifest import Corpus, Manifest
from m4nmt.data.read import hub
from m4nmt.data.read.types import INSIDE, NAMES, Dataset


@dataclass(frozen=True)
class Facts:
    """What is known of a file.

    Attributes:
        size, mtime_ns: to see at a glance whether it changed.
        sha256: of its bytes.
        rows: lines, without a header.
        present: of each wanted column, the lines that are not blank.
        faults: rows that could not be read, by kind.
        samples: where the first of those are.
    """

    size: int
    mtime_ns: int
    sha256: str
    rows: int
    present: tuple[int, ...]
    faults: Mapping[str, int]
    samples: tuple[str, ...]


@dataclass(frozen=True)
class Input:
    """One source file of one corpus with the languages of its columns."""

    corpus: Corpus
    file: str
    source: Source
    languages: tuple[str, ...]


def inputs(manifest: Manifest, corpora: Sequence[Corpus], languages: Sequence[str]) -> list[Input]:
    """The files of these corpora that have any of these languages, cut down to them."""
    found = []
    for corpus in corpora:
        for source, codes in sources(corpus, manifest.root):
            wanted = [i for i, code in enumerate(codes) if code in languages]
            if wanted:
                fields = tuple(source.fields[i] for i in wanted)
                cut = dataclasses.replace(source, fields=fields)
                codes = tuple(codes[i] for i in wanted)
                found.append(Input(corpus, corpus.files[codes[0]], cut, codes))
    return found


def look(item: Input) -> Facts:
    """Hash and read a whole file.

    Raises:
        FormatError: the manifest has another hash, or the file cannot be read.
    """
    path = item.source.path
    state = _state(item)
    digest = hub.sha256(item.source) if _is_set(item) else _sha256(path, state)
    expected = item.corpus.sha256.get(item.file.partition(INSIDE)[0], digest)
    if digest != expected:
        raise FormatError(
            f"{path}: its sha256 is {digest}, the manifest says {expected}: the file is damaged or "
            f"of another version; fetch it again, or correct the manifest"
        )
    faults = Faults()
    rows, present = 0, [0] * len(item.source.fields)
    for row in read(item.source, faults):
        rows += 1
        for column, text in enumerate(row):
            if text and not text.isspace():
                present[column] += 1
    return Facts(
        *state,
        digest,
        rows,
        tuple(present),
        dict(faults.counts),
        tuple(faults.samples),
    )


def check_rows(found: Sequence[tuple[Input, Facts]]) -> None:
    """See that all files of a corpus have as many lines.

    Raises:
        FormatError: names two files and their counts.
    """
    first: dict[str, tuple[Input, Facts]] = {}
    for item, facts in found:
        other, expected = first.setdefault(item.corpus.key, (item, facts))
        if facts.rows != expected.rows:
            raise FormatError(
                f"{item.source.path} has {facts.rows} lines, {other.source.path} has "
                f"{expected.rows}: line-aligned files must have equally many"
            )
        if item.corpus.lines and facts.rows != item.corpus.lines:
            raise FormatError(
                f"{item.source.path} has {facts.rows} lines, the manifest says {item.corpus.lines}"
            )


def name(item: Input) -> str:
    """What `facts` and the store call this input; two corpora may read the same file."""
    return f"{item.corpus.key}:{item.source.path}#{item.source.fields}{reading(item)}"


def reading(item: Input) -> str:
    """All that decides, beside the bytes of the file and the field, what a column is."""
    source = item.source
    return canonical_json([source.member, source.kind, source.where])


def describe(item: Input, facts: Facts) -> str:
    """One line for people: what a file is, how many rows and texts it has, what was not taken."""
    texts = [f"{code} {n:,}" for code, n in zip(item.languages, facts.present, strict=True)]
    told = f"{item.source}: {NAMES[type(item.source.kind)]}, {facts.rows:,} rows: "
    faults = "".join(f"; {n:,} {kind}" for kind, n in sorted(facts.faults.items()))
    return told + ", ".join(texts) + faults


def load_facts(path: Path) -> dict[str, Facts]:
    """Facts noted by `save_facts`; none where the file is absent or damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {
            key: Facts(**value | {k: tuple(value[k]) for k in ("present", "samples")})
            for key, value in data.items()
        }
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def save_facts(path: Path, facts: Mapping[str, Facts]) -> None:
    """Note facts, to spare reading unchanged files again."""
    data = {key: dataclasses.asdict(value) for key, value in sorted(facts.items())}
    write_atomic(path, json.dumps(data, ensure_ascii=False))


def unchanged(item: Input, facts: Facts | None) -> bool:
    """Whether a file still has the size and time it had when it was looked at."""
    if facts is None:
        return False
    return _state(item) == (facts.size, facts.mtime_ns)


def size(item: Input) -> int:
    """Bytes on this machine, packed as they are."""
    return _state(item)[0]


@lru_cache(maxsize=64)
def _sha256(path: Path, _: tuple[int, int]) -> str:
    """Of a file, by its size and time of change: an archive is hashed once for all files in it."""
    return sha256_file(path)


def _is_set(item: Input) -> bool:
    return isinstance(item.source.kind, Dataset)


def _state(item: Input) -> tuple[int, int]:
    """Bytes and latest change, to see at a glance whether anything changed."""
    paths = hub.files(item.source) if _is_set(item) else [item.source.path]
    found = [path.stat() for path in paths]
    return sum(s.st_size for s in found), max((s.st_mtime_ns for s in found), default=0)
