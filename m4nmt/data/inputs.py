"""The source files as they are: hashed, counted and checked before anything is made of them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from m4nmt.core.files import sha256_file, write_atomic
from m4nmt.data.formats import Faults, FormatError, Source, read, sources
from m4nmt.data.manifest import Corpus, Manifest


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
    status = path.stat()
    digest = sha256_file(path)
    expected = item.corpus.sha256.get(item.file, digest)
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
        status.st_size,
        status.st_mtime_ns,
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
    """What `facts` and the store call this input."""
    return f"{item.source.path}#{item.source.header:d}:{item.source.width}:{item.source.fields}"


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
    status = item.source.path.stat()
    return (status.st_size, status.st_mtime_ns) == (facts.size, facts.mtime_ns)
