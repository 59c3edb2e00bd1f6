"""Files of packed tars, unpacked once beside the store, for as long as it is prepared.

In a packed tar a file lies behind all before it: reading some hundred of them, each in several
passes, would unpack the archive as many hundred times. So those that are wanted are written out in
one pass, where there is room; what is not there is read from the archive as ever, and the store is
the same to the byte. A killed run finds what is there; the last step of a preparation removes it.
Not its job: unpacking, and what may be unpacked (read/unpack.py).
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from m4nmt.core.files import atomic
from m4nmt.core.progress import console
from m4nmt.data.preparing.inputs import Input
from m4nmt.data.preparing.workers import spread
from m4nmt.data.read import unpack
from m4nmt.data.read.types import Source


def beside(inputs: Sequence[Input], folder: Path) -> list[Input]:
    """The inputs, those in an archive with others told where they may lie unpacked.

    Args:
        inputs: all of a preparation.
        folder: what is in it of other inputs, or of an archive as it was before, is removed.
    """
    members = {(item.source.path, item.source.member) for item in inputs if item.source.member}
    wanted = Counter(path for path, _ in members)
    told = [
        replace(item, source=replace(item.source, spool=folder))
        if wanted[item.source.path] > 1
        else item
        for item in inputs
    ]
    known = {unpack.spooled(item.source) for item in told}
    for path in folder.glob("*"):
        if path not in known:
            path.unlink()
    return told


def fill(sources: Iterable[Source], workers: int) -> None:
    """Unpack what is in packed tars and not there yet, each archive in one pass.

    Args:
        sources: what is about to be read.
        workers: processes.

    Raises:
        FormatError: it cannot be unpacked, or unpacks to too much.
    """
    absent: dict[Path, dict[str, Path]] = {}
    folders = set()
    for source in sources:
        path = unpack.spooled(source)
        if path and not path.is_file():
            absent.setdefault(source.path, {})[source.member] = path
            folders.add(path.parent)
    tasks = [_Task(path, names) for path, names in absent.items() if unpack.is_packed_tar(path)]
    for folder in folders if tasks else ():
        folder.mkdir(parents=True, exist_ok=True)
    for task, (files, size) in spread(_fill, tasks, workers, "unpacking archives"):
        left = len(task.places) - files
        if files:
            told = f"{task.archive}: {files} files unpacked beside the store until it is finished"
            console.print(f"{told}, {-(-size >> 20):,} MiB", soft_wrap=True, markup=False)
        if left:
            console.print(
                f"{task.archive}: no room on the disk for {left} further files; each is reached by "
                "unpacking all before it, every time it is read. Free some, or unpack the outer "
                "packing (gunzip, unxz, unzstd) elsewhere and name the .tar in the manifest",
                soft_wrap=True,
                markup=False,
            )


@dataclass(frozen=True)
class _Task:
    """Files of one archive, and where each is to lie."""

    archive: Path
    places: dict[str, Path]


class _NoRoomError(Exception):
    """A file did not fit."""


def _fill(task: _Task) -> tuple[int, int]:
    """How many files were written before there was no more room, and their bytes.

    What is unpacked may take as much of a disk as it leaves.
    """
    folder = next(iter(task.places.values())).parent
    taken = sum(path.stat().st_size for path in folder.iterdir())
    files = size = 0
    try:
        for name, chunks in unpack.of_packed_tar(task.archive, task.places):
            with atomic(task.places[name]) as stream:
                for chunk in chunks:
                    if taken + size + len(chunk) > shutil.disk_usage(folder).free:
                        raise _NoRoomError
                    size += stream.write(chunk)
            files += 1
    except _NoRoomError:
        pass
    return files, size
