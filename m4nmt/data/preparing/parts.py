"""Encoding many files, large ones in parts: in parallel within a file, and resumable within it.

A part is a fixed number of rows, encoded into files of its own that are durable and in the ledger;
the parts of a file are joined at last. So a kill costs the parts at hand, and neither the number of
workers nor the order of work changes a byte. Every worker reads its file itself, from front to
back, and passes over what others do: reading costs far less than encoding, and nothing waits in
memory. Not its job: encoding (encode.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from m4nmt.data.columns.column import read_arrow
from m4nmt.data.formats import Forward
from m4nmt.data.preparing.encode import EncodeTask, Part, changed, encode, merged
from m4nmt.data.preparing.join import join
from m4nmt.data.preparing.ledger import Ledger
from m4nmt.data.preparing.spool import fill
from m4nmt.data.preparing.workers import spread


class _Encoder:
    """Does the parts of all files; each process has its own, and all share what is taken.

    A worker stays with its file while that has parts; then it takes the largest that nobody has
    begun; then it helps with the one that has most left. So a file is read by several only where
    there are fewer of them than workers.

    Args:
        tasks: the files.
        parts: of each, those to do, in order.
    """

    def __init__(self, tasks: Sequence[EncodeTask], parts: Sequence[Sequence[Part]]) -> None:
        self._tasks, self._parts = tasks, parts
        self._count_F = np.array([len(some) for some in parts], np.int64)
        self._taken = get_context("fork").Array("q", len(tasks))
        self._mine = -1
        self._reader: Forward | None = None

    def next(self) -> tuple[int, Part]:
        """Do a part; returns the number of its file, and which it was."""
        self._mine, part = self._take()
        task = self._tasks[self._mine]
        reader = self._reader
        if reader is None or not reader.reaches(task.source, part.first):
            reader = self._reader = Forward(task.source)
        encode(task, part, reader.rows(part.first, part.rows))
        if part.first + part.rows == task.rows and not reader.ended():
            raise changed(task)
        return self._mine, part

    def _take(self) -> tuple[int, Part]:
        with self._taken.get_lock():
            taken_F = np.array(self._taken[:], np.int64)
            left_F = self._count_F - taken_F
            mine = self._mine
            if mine < 0 or not left_F[mine]:
                fresh_F = (taken_F == 0) & (left_F > 0)
                mine = int(np.argmax(np.where(fresh_F, left_F, 0) if fresh_F.any() else left_F))
            self._taken[mine] += 1
            return mine, self._parts[mine][int(taken_F[mine])]


_AT_WORK: list[_Encoder] = []  # in a worker process, the one it was forked with


@contextmanager
def _adopted(encoder: _Encoder) -> Iterator[None]:
    _AT_WORK.append(encoder)
    try:
        yield
    finally:
        _AT_WORK.remove(encoder)


def _next(_: int) -> tuple[int, Part]:
    return _AT_WORK[-1].next()


def encode_all(
    tasks: Sequence[EncodeTask], keys: Mapping[Path, str], ledger: Ledger, workers: int
) -> None:
    """Make what is missing of all files, and note it.

    Args:
        tasks: the files.
        keys: of each file that they write, what it depends on.
        ledger: gets every file and every part.
        workers: processes.

    Raises:
        FormatError: a source cannot be read, or changed.
        RuntimeError: a worker process was killed.
    """
    missing = {file for file, key in keys.items() if not ledger.has(_name(file), key)}
    tasks = [task for task in tasks if not missing.isdisjoint(task.files)]

    def there(file: Path, part: Part) -> bool:
        made = part.path(file)
        return file not in missing or ledger.has(_name(made), _key(keys[file], part))

    todo = [
        [part for part in task.parts if not all(there(file, part) for file in task.files)]
        for task in tasks
    ]
    fill((task.source for task, some in zip(tasks, todo, strict=True) if some), workers)
    with _adopted(_Encoder(tasks, todo)):
        for _, (number, part) in spread(_next, range(sum(map(len, todo))), workers, "encoding"):
            for file in tasks[number].files:
                ledger.add(_name(part.path(file)), _key(keys[file], part))
    joins = {
        file: [part.path(file) for part in task.parts]
        for task in tasks
        for file in task.files
        if file in missing and not task.parts[0].whole
    }
    for (file, parts), _ in spread(_join, list(joins.items()), workers, "joining parts"):
        ledger.add(_name(file), keys[file])
        for path in parts:
            path.unlink()


def _join(work: tuple[Path, Sequence[Path]]) -> None:
    file, parts = work
    join(parts, file, merged([read_arrow(part)[1] for part in parts]))


def _name(file: Path) -> str:
    return f"store/{file.name}"


def _key(key: str, part: Part) -> str:
    """Of a part: that of its file, and which rows it has."""
    return key if part.whole else f"{key} {part.first}+{part.rows}"
