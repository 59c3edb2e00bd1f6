"""From one source file to finished column files: judge, key and encode every line.

Runs in worker processes: a column depends on its source file, the tokenizer and the limits alone,
so the number of workers changes nothing. Not its job: rows (tally.py).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from m4nmt.core.progress import progress
from m4nmt.data import clean, leakage
from m4nmt.data.column import ColumnWriter, Lines
from m4nmt.data.filters import characters
from m4nmt.data.filters.features import FeatureWriter, Wanted
from m4nmt.data.filters.settings import LineFilter
from m4nmt.data.formats import Faults, Source, read
from m4nmt.data.tokenizer import Tokenizer

T = TypeVar("T")
R = TypeVar("R")
_CHUNK = 4096
_SAMPLES = 3
_SAMPLE_CHARS = 120
IDENTIFIER = "identify.safetensors"


@dataclass(frozen=True)
class EncodeTask:
    """One source file to encode.

    Attributes:
        source: the file and its columns.
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


def features_path(column: Path) -> Path:
    """Where the features of a column's lines are."""
    return column.with_suffix(".features")


class _Counts:
    """Lines left out, by filter, with a few samples."""

    def __init__(self) -> None:
        self.rows = 0
        self.dropped: dict[str, int] = {}
        self.samples: dict[str, list[str]] = {}
        self.scripts: Counter[str] = Counter()

    def add(self, flags: Sequence[int], texts: Sequence[str | None]) -> None:
        for number, (flag, text) in enumerate(zip(flags, texts, strict=True), self.rows + 1):
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


class _Writer:
    """Writes one column and, where they are asked for, the features of its lines."""

    def __init__(self, task: EncodeTask, place: int, tokenizer: Tokenizer) -> None:
        path = task.columns[place]
        self.language = task.languages[place]
        self.counts = _Counts()
        self._all = task.keep_text
        self._column = ColumnWriter(path, tokenizer.size, task.keep_text)
        self._features: FeatureWriter | None = None
        if task.features:
            self._features = FeatureWriter(features_path(path), task.features)

    def append(self, lines: Lines, texts: Sequence[str | None]) -> None:
        self._column.append(lines)
        self.counts.add(lines.flags, texts)
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
        self._column.finish(self.counts.about())

    def abandon(self) -> None:
        self._column.abandon()
        if self._features:
            self._features.abandon()


def encode(task: EncodeTask) -> int:
    """Write the column files of one source; returns the number of rows.

    Raises:
        FormatError: the file cannot be read.
    """
    tokenizer = _tokenizer(task.tokenizer, task.sha256)
    judge = clean.LineJudge(task.filters, task.tokenizer / IDENTIFIER)
    writers = [_Writer(task, place, tokenizer) for place in range(len(task.columns))]
    try:
        rows = read(task.source, Faults())
        while chunk := list(islice(rows, _CHUNK)):
            for writer, texts in zip(writers, zip(*chunk, strict=True), strict=True):
                flags = _flags(texts, writer.language, task.limits, judge)
                writer.append(_lines(texts, flags, tokenizer, task.limits), texts)
        for writer in writers:
            writer.finish()
    finally:
        for writer in writers:
            writer.abandon()
    return writers[0].counts.rows


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


def spread(
    work: Callable[[T], R], tasks: Sequence[T], workers: int, label: str
) -> Iterator[tuple[T, R]]:
    """Do all tasks, in worker processes where there are several; results come as they are done.

    Raises:
        RuntimeError: a worker process was killed.
    """
    if workers < 2 or len(tasks) < 2:
        yield from _shown(((task, work(task)) for task in tasks), label, len(tasks))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        futures = {pool.submit(work, task): task for task in tasks}
        try:
            done = ((futures[future], future.result()) for future in as_completed(futures))
            yield from _shown(done, label, len(tasks))
        except BrokenProcessPool as error:
            raise RuntimeError(
                f"{label}: a worker process was killed, most often for want of memory; what is "
                "done stays done: run it again"
            ) from error
        finally:
            for future in futures:
                future.cancel()


def _shown(results: Iterable[Any], label: str, total: int) -> Iterator[Any]:
    with progress(label, total) as ticker:
        for result in results:
            yield result
            ticker.advance()
