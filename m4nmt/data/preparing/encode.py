"""From rows of one source file to finished files: judge, key and encode every line.

Runs in worker processes: a column depends on its source file, the tokenizer and the limits alone,
so the number of workers changes nothing. Not its job: which worker does which part of a file
(parts.py), rows (tally.py).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from m4nmt.data import leakage
from m4nmt.data.columns.column import ColumnWriter, Lines
from m4nmt.data.filters import characters
from m4nmt.data.filters.features import FeatureWriter, Wanted
from m4nmt.data.filters.settings import LineFilter
from m4nmt.data.formats import FormatError, Row, Source
from m4nmt.data.preparing import clean
from m4nmt.data.read.types import Dataset
from m4nmt.data.tokenizer import Tokenizer

_CHUNK = 4096
PART_ROWS = 64 * _CHUNK  # some ten seconds of work
_SAMPLES = 3
_SAMPLE_CHARS = 120
IDENTIFIER = "identify.safetensors"


@dataclass(frozen=True)
class Part:
    """Consecutive rows of a source file, encoded together.

    Attributes:
        first: the first of them.
        rows: how many they are.
        whole: whether the file has no others.
    """

    first: int
    rows: int
    whole: bool

    def path(self, file: Path) -> Path:
        """Where the part of a file of a store is: the file itself where the part is whole."""
        return file if self.whole else file.with_name(f".{file.name}.{self.first}.part")


@dataclass(frozen=True)
class EncodeTask:
    """One source file to encode.

    Attributes:
        source: the file and its columns.
        rows: of the file.
        columns: for each, the path of the column file.
        languages: of the columns.
        tokenizer: folder of the tokenizer and the language identifier.
        sha256: what the tokenizer makes of text, see `Tokenizer.text_sha256`.
        limits: longest lines.
        filters: further line filters.
        features: to note of each line, beside the columns.
        keep_text: also keep the raw text.
    """

    source: Source
    rows: int
    columns: tuple[Path, ...]
    languages: tuple[str, ...]
    tokenizer: Path
    sha256: str
    limits: clean.Limits
    filters: tuple[LineFilter, ...]
    features: Wanted
    keep_text: bool

    @property
    def files(self) -> tuple[Path, ...]:
        """All that it writes: the columns, then the features of each."""
        beside = tuple(map(features_path, self.columns)) if self.features else ()
        return self.columns + beside

    @property
    def parts(self) -> list[Part]:
        """The parts in which it is encoded, at least one. Their size is a constant, so that nothing
        depends on the workers; what the hub sends is one part, to be fetched once."""
        kind = self.source.kind
        size = self.rows if isinstance(kind, Dataset) and kind.hub else PART_ROWS
        firsts = range(0, self.rows, max(1, size)) or range(1)
        return [Part(n, min(size, self.rows - n), len(firsts) == 1) for n in firsts]


def features_path(column: Path) -> Path:
    """Where the features of a column's lines are."""
    return column.with_suffix(".features")


class _Counts:
    """Lines left out of a part, by filter, with a few samples."""

    def __init__(self, first: int) -> None:
        self.rows, self._first = 0, first
        self.dropped: dict[str, int] = {}
        self.samples: dict[str, list[str]] = {}
        self.scripts: Counter[str] = Counter()

    def add(self, flags: Sequence[int], texts: Sequence[str | None]) -> None:
        start = self._first + self.rows + 1
        for number, (flag, text) in enumerate(zip(flags, texts, strict=True), start):
            if flag == clean.GOOD:
                continue
            name = clean.LINE_FILTERS[flag]
            self.dropped[name] = self.dropped.get(name, 0) + 1
            samples = self.samples.setdefault(name, [])
            if len(samples) < _SAMPLES and flag != clean.EMPTY:
                samples.append(f"{number}: {(text or '')[:_SAMPLE_CHARS]}")
        self.rows += len(flags)
        present = characters.Lines([text or "" for text in texts], "")
        self.scripts.update(characters.script_counts(present))

    def about(self) -> dict[str, Any]:
        """For the column's metadata."""
        return {
            "rows": self.rows,
            "dropped": self.dropped,
            "samples": self.samples,
            "scripts": dict(self.scripts),
        }


def merged(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The metadata of a column of those of its parts, in order; that of features is empty."""
    if not counts[0]:
        return {}
    dropped, scripts = Counter[str](), Counter[str]()
    samples: dict[str, list[str]] = {}
    for one in counts:
        dropped.update(one["dropped"])
        scripts.update(one["scripts"])
        for name, found in one["samples"].items():
            samples[name] = [*samples.get(name, []), *found][:_SAMPLES]
    rows = sum(one["rows"] for one in counts)
    return {"rows": rows, "dropped": dropped, "samples": samples, "scripts": scripts}


class _Writer:
    """Writes a part of one column and, where they are asked for, the features of its lines."""

    def __init__(self, task: EncodeTask, part: Part, place: int, tokenizer: Tokenizer) -> None:
        path = task.columns[place]
        self.language = task.languages[place]
        self._counts = _Counts(part.first)
        self._all = task.keep_text
        self._column = ColumnWriter(part.path(path), tokenizer.size, task.keep_text)
        self._features: FeatureWriter | None = None
        if task.features:
            self._features = FeatureWriter(part.path(features_path(path)), task.features)

    def append(self, lines: Lines, texts: Sequence[str | None]) -> None:
        self._column.append(lines)
        self._counts.add(lines.flags, texts)
        if self._features:
            # Training lines may resemble any line of a test set, also one too long for a batch.
            looked_at = [
                text if flag == clean.GOOD or self._all else ""
                for flag, text in zip(lines.flags, lines.texts, strict=True)
            ]
            self._features.append(looked_at, self.language)

    def finish(self) -> None:
        if self._features:
            self._features.finish()
        self._column.finish(self._counts.about())

    def abandon(self) -> None:
        self._column.abandon()
        if self._features:
            self._features.abandon()


def encode(task: EncodeTask, part: Part, rows: Iterator[Row]) -> None:
    """Write the files of a part of one source.

    Args:
        task: what to make of the source.
        part: which of its rows.
        rows: those rows, and no others.

    Raises:
        FormatError: there are fewer rows, or they cannot be read.
    """
    tokenizer = _tokenizer(task.tokenizer, task.sha256)
    judge = clean.LineJudge(task.filters, task.tokenizer / IDENTIFIER)
    writers = [_Writer(task, part, place, tokenizer) for place in range(len(task.columns))]
    found = 0
    try:
        while chunk := list(islice(rows, _CHUNK)):
            found += len(chunk)
            for writer, texts in zip(writers, zip(*chunk, strict=True), strict=True):
                flags = _flags(texts, writer.language, task.limits, judge)
                writer.append(_lines(texts, flags, tokenizer, task.limits), texts)
        if found != part.rows:
            raise changed(task)
        for writer in writers:
            writer.finish()
    finally:
        for writer in writers:
            writer.abandon()


def changed(task: EncodeTask) -> FormatError:
    """The error of a source that has not the rows it had when it was looked at."""
    return FormatError(
        f"{task.source}: no longer has {task.rows:,} rows: it was changed while it was prepared; "
        "run prepare again"
    )


def _flags(
    texts: Sequence[str | None], language: str, bounds: clean.Limits, judge: clean.LineJudge
) -> list[int]:
    """What is known of lines from their text alone."""
    flags = [clean.judge_text(text, bounds) for text in texts]
    good = [i for i, flag in enumerate(flags) if flag == clean.GOOD]
    for i, flag in zip(good, judge.judge([texts[i] or "" for i in good], language), strict=True):
        flags[i] = int(flag)
    return flags


def _lines(
    texts: Sequence[str | None], flags: list[int], tokenizer: Tokenizer, bounds: clean.Limits
) -> Lines:
    present = [text or "" for text in texts]
    good = [i for i, flag in enumerate(flags) if flag == clean.GOOD]
    pieces: list[Sequence[int]] = [()] * len(texts)
    for i, ids in zip(good, tokenizer.encode([present[i] for i in good]), strict=True):
        flags[i] = clean.judge_pieces(len(ids), bounds)
        if flags[i] == clean.GOOD:
            pieces[i] = ids
    keyed = (clean.UNREADABLE, clean.EMPTY)
    keys = [
        0 if flag in keyed else leakage.key(text) for flag, text in zip(flags, present, strict=True)
    ]
    return Lines(pieces, [len(text) for text in present], keys, flags, present)


@lru_cache(maxsize=1)
def _tokenizer(folder: Path, sha256: str) -> Tokenizer:
    """Held from task to task; another tokenizer may come into the same folder."""
    return Tokenizer.load(folder)
