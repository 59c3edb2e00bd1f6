"""From one source file to finished column files: judge, key and encode every line.

Runs in worker processes: a column depends on its source file, the tokenizer and the limits alone,
so the number of workers changes nothing. Not its job: rows (tally.py).
"""

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
from m4nmt.data.formats import Faults, Source, read
from m4nmt.data.tokenizer import Tokenizer

T = TypeVar("T")
R = TypeVar("R")
_CHUNK = 4096
_SAMPLES = 3
_SAMPLE_CHARS = 120


@dataclass(frozen=True)
class EncodeTask:
    """One source file to encode.

    Attributes:
        source: the file and its columns.
        columns: for each, the path of the column file.
        tokenizer: folder of the tokenizer.
        limits: longest lines.
        keep_text: also keep the raw text.
    """

    source: Source
    columns: tuple[Path, ...]
    tokenizer: Path
    limits: clean.Limits
    keep_text: bool


class _Counts:
    """Lines left out, by filter, with a few samples."""

    def __init__(self) -> None:
        self.rows = 0
        self.dropped: dict[str, int] = {}
        self.samples: dict[str, list[str]] = {}

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


def encode(task: EncodeTask) -> int:
    """Write the column files of one source; returns the number of rows.

    Raises:
        FormatError: the file cannot be read.
    """
    tokenizer = _tokenizer(task.tokenizer)
    writers = [ColumnWriter(path, tokenizer.size, task.keep_text) for path in task.columns]
    counts = [_Counts() for _ in writers]
    try:
        rows = read(task.source, Faults())
        while chunk := list(islice(rows, _CHUNK)):
            for writer, count, texts in zip(writers, counts, zip(*chunk, strict=True), strict=True):
                lines = _lines(texts, tokenizer, task.limits)
                writer.append(lines)
                count.add(lines.flags, texts)
        for writer, count in zip(writers, counts, strict=True):
            about = {"rows": count.rows, "dropped": count.dropped, "samples": count.samples}
            writer.finish(about)
    finally:
        for writer in writers:
            writer.abandon()
    return counts[0].rows


def _lines(texts: Sequence[str | None], tokenizer: Tokenizer, bounds: clean.Limits) -> Lines:
    flags = [clean.judge_text(text, bounds) for text in texts]
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
def _tokenizer(folder: Path) -> Tokenizer:
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
