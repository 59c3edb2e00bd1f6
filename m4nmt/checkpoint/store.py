"""Write training checkpoints that are whole or absent, and delete old ones only when that is safe.

A checkpoint is a folder `step-%010d`: `dcp/` (tensors, torch.distributed.checkpoint), the caller's
blobs, and `manifest.json`. It is written under a temporary name, hashed, made durable, and renamed:
the rename is the commit. Where several processes (ranks) train, each writes and hashes its own
files, the leader commits, and all learn one outcome. Not its job: what the tensors and blobs mean
(the trainer), who writes which piece (`tensors`), reading (`load`), model folders (`model`).
"""

import contextlib
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.storage import WriteResult

from m4nmt.checkpoint.manifest import (
    NAME,
    CheckpointError,
    LostRanksError,
    describe,
    entry,
    folder_name,
    verify,
    wait_for,
)
from m4nmt.checkpoint.tensors import Share, finish, share, write
from m4nmt.core import ranks
from m4nmt.core.files import fsync_folder, sync_file, write_atomic
from m4nmt.core.ranks import LostRankError, Ranks

log = logging.getLogger(__name__)

DCP = "dcp"
TEMPORARY = ".tmp-"
DELETED = ".old-"
LINE, BACKGROUND = "checkpoint", "checkpoint in the background"
TIMEOUT = timedelta(minutes=10)  # of one message: how far ranks may drift apart while they write


def save(
    root: Path, step: int, tensors: dict[str, Any], blobs: dict[str, bytes], keep: int = 3
) -> Path:
    """Write the checkpoint of a step, then delete all but the `keep` newest.

    Older checkpoints go only after this one was read back from the disk and agreed. Whatever fails,
    on whichever rank, earlier checkpoints stand and nothing half-written is left behind. Where
    torch.distributed runs, every rank must call this, and all return or raise alike.

    Args:
        root: folder of the run's checkpoints, seen by all ranks; made if absent.
        step: training steps behind this state; a directory is never used twice.
        tensors: names to this rank's tensors or DTensors. A plain tensor that several ranks have is
            the same on each; a rank of a pipeline has the names of its stage only.
        blobs: file names to contents, for everything that is not a tensor; the leader's count.

    Raises:
        CheckpointError: no room, a disk fault, a good checkpoint of this step is there already, or
            an earlier `save_async` failed unnoticed. With several ranks, names rank and reason.
        LostRanksError: a rank is gone or hangs.
        ValueError: a blob's name is not a plain file name, or a value is not a tensor; with several
            ranks a CheckpointError.
    """
    world = ranks.shared(LINE, TIMEOUT)
    with _explained(root / folder_name(step)):
        _end_earlier(world)
        mine = _shared_out(world, step, tensors, blobs)
        return _commit(world, root, step, mine, blobs, keep)


class Saving:
    """A save in the background of training.

    `done` may differ between ranks at any moment; decide nothing by it without agreeing.
    """

    def __init__(self, job: Callable[[], Path]) -> None:
        self._future: Future[Path] = Future()
        self._asked = False
        threading.Thread(target=self._run, args=(job,), name="checkpoint").start()

    def _run(self, job: Callable[[], Path]) -> None:
        try:
            self._future.set_result(job())
        except BaseException as error:
            self._future.set_exception(error)

    def done(self) -> bool:
        """Whether it ended, well or not."""
        return self._future.done()

    def result(self, timeout: float | None = None) -> Path:
        """The checkpoint, once it is written and was read back. Raises what `save` would raise.

        Raises:
            TimeoutError: it takes longer than `timeout` seconds.
        """
        failure = self._future.exception(timeout)
        self._asked = True
        if failure is not None:
            raise failure
        return self._future.result()

    def unnoticed(self) -> BaseException | None:
        """Wait for the end; a failure that nobody asked for."""
        failure = self._future.exception()
        return None if self._asked else failure


_under_way: Saving | None = None


def save_async(
    root: Path, step: int, tensors: dict[str, Any], blobs: dict[str, bytes], keep: int = 3
) -> Saving:
    """`save`, but return once this rank's pieces are copied to the CPU's memory.

    Writing, hashing and commit go on in a thread with messages of their own. One save is under way
    at a time: another, of either kind, waits for it, and fails if it failed and nobody asked.
    Ask for the result before torch.distributed is shut down.

    Raises:
        as `save`, for what goes wrong up to the copy and for an earlier save that failed unnoticed.
    """
    global _under_way
    world = ranks.shared(BACKGROUND, TIMEOUT)
    final = root / folder_name(step)
    with _explained(final):
        _end_earlier(world)
        mine = _shared_out(world, step, tensors, blobs)
        copies: list[Share] = []
        world.agree(lambda: copies.append(mine.copied()), reason)
    kept = dict(blobs)

    def job() -> Path:
        with _explained(final):
            return _commit(world, root, step, copies.pop(), kept, keep)

    _under_way = Saving(job)
    return _under_way


def clean(root: Path) -> None:
    """Remove what killed saves and deletions left. Only for the process that owns the run."""
    for path in root.glob(".*"):
        if path.name.startswith((TEMPORARY, DELETED)):
            shutil.rmtree(path, ignore_errors=True)


def remove(root: Path, step: int) -> None:
    """Delete the checkpoint of a step. Only for the process that owns the run.

    Raises:
        OSError: it cannot be.
    """
    _delete(root / folder_name(step))


def steps(root: Path) -> list[int]:
    """Steps that have a checkpoint, good or not, ascending."""
    names = (path.name for path in root.glob("step-*") if path.is_dir())
    return sorted(int(n[5:]) for n in names if n[5:].isdecimal() and folder_name(int(n[5:])) == n)


def _end_earlier(world: Ranks) -> None:
    """Wait for the save under way; all ranks hear of a failure that any of them has not."""
    global _under_way
    earlier, _under_way = _under_way, None
    failure = earlier.unnoticed() if earlier else None
    told = world.gathered(str(failure) if failure else "")
    text = next(filter(None, told), "")
    if text:
        raise CheckpointError(f"the save before failed: {text}") from failure


def _shared_out(
    world: Ranks, step: int, tensors: Mapping[str, Any], blobs: Mapping[str, bytes]
) -> Share:
    """Check what is to be saved, and divide the writing."""

    def check() -> int:
        _check(tensors, blobs)
        return step

    asked = world.agree(check, reason)
    if len(set(asked)) > 1:
        raise CheckpointError(f"the ranks save different steps: {asked}")
    try:
        return share(world, tensors)
    except (ValueError, AssertionError) as error:
        raise CheckpointError(str(error)) from error


def _check(tensors: Mapping[str, Any], blobs: Mapping[str, bytes]) -> None:
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name!r} is {type(tensor).__name__}, not a tensor; make it a blob")
    for name in blobs:
        if Path(name).name != name or name.startswith(".") or name in (NAME, DCP):
            raise ValueError(f"{name!r} cannot name a blob; give a plain file name")


def _commit(
    world: Ranks, root: Path, step: int, mine: Share, blobs: Mapping[str, bytes], keep: int
) -> Path:
    """Write, rename, read back, prune; all ranks together."""
    final = root / folder_name(step)
    temporary = root / world.told(f"{TEMPORARY}{step}-{secrets.token_hex(4)}")
    size = mine.size + sum(len(data) for data in blobs.values())
    try:
        world.led(lambda: _begin(root, final, temporary, size), reason)
        _write(world, temporary, step, mine, blobs)
        world.led(lambda: _publish(temporary, final), reason)
    except BaseException:
        if world.leader:  # no other may: the leader might be about to publish it
            shutil.rmtree(temporary, ignore_errors=True)
        raise
    _read_back(world, final)
    if world.leader:
        _prune(root, final, keep)
    return final


def _begin(root: Path, final: Path, temporary: Path, size: int) -> None:
    _make_root(root)
    clean(root)
    _make_way(final)
    _need_space(root, size)
    temporary.mkdir()
    (temporary / DCP).mkdir()


def _write(world: Ranks, folder: Path, step: int, mine: Share, blobs: Mapping[str, bytes]) -> None:
    """All files and their manifest, durable, in an uncommitted folder."""
    kept: list[_Part] = []
    world.agree(lambda: kept.append(_write_mine(world, folder, mine)), reason)
    everyone = world.collected(kept[0])
    world.led(lambda: _seal(folder, step, mine, blobs, everyone), reason)


_Part = tuple[list[WriteResult], dict[str, tuple[int, str]]]


def _write_mine(world: Ranks, folder: Path, mine: Share) -> _Part:
    """This rank's files, durable and hashed."""
    wait_for(folder / DCP)
    results, paths = write(world, mine, folder / DCP)
    for path in paths:
        sync_file(path)
    fsync_folder(folder / DCP)
    return results, {f"{DCP}/{path.name}": entry(path) for path in paths}


def _seal(
    folder: Path, step: int, mine: Share, blobs: Mapping[str, bytes], everyone: list[_Part]
) -> None:
    """What the leader adds: metadata, blobs, and the manifest of all files."""
    known = {name: found for _, files in everyone for name, found in files.items()}
    for name in known:
        wait_for(folder / name)
    sync_file(finish(mine, folder / DCP, [results for results, _ in everyone]))
    fsync_folder(folder / DCP)
    for name, data in blobs.items():
        write_atomic(folder / name, data)
    write_atomic(folder / NAME, describe(folder, step, known).encode())


def _publish(temporary: Path, final: Path) -> None:
    """The commit."""
    temporary.rename(final)
    try:
        fsync_folder(final.parent)
    except OSError:
        with contextlib.suppress(OSError):
            final.rename(temporary)
        raise


def _read_back(world: Ranks, final: Path) -> None:
    """Each rank reads a part from the disk; what does not agree is withdrawn.

    Where a rank is lost meanwhile, the checkpoint stays: it is whole, and verified when read.
    """

    def read() -> None:
        wait_for(final / NAME)
        verify(final, from_disk=True, part=world.rank, parts=world.size)

    try:
        world.agree(read, reason)
    except LostRankError:
        raise
    except Exception:
        if world.leader:
            with contextlib.suppress(OSError):
                _delete(final)
        raise


def _make_root(root: Path) -> None:
    if not root.is_dir():
        root.mkdir(parents=True)
        fsync_folder(root.parent)


def _make_way(final: Path) -> None:
    """Refuse to replace a good checkpoint; take a damaged one of the same step out of the way."""
    if not final.exists():
        return
    try:
        verify(final)
    except CheckpointError as wrong:
        log.warning("replacing the damaged checkpoint %s (%s)", final, wrong)
        _delete(final)
    else:
        raise CheckpointError(f"{final} is there already and good; a checkpoint is written once")


def _need_space(root: Path, size: int) -> None:
    """Twice the size, so that a run warns before the disk is full and not while writing."""
    free = shutil.disk_usage(root).free
    if free < 2 * size:
        raise CheckpointError(
            f"{free / 2**20:.0f} MiB are free and {2 * size / 2**20:.0f} MiB are wanted (twice the "
            "checkpoint); free some space or lower train.keep"
        )


def _prune(root: Path, newest: Path, keep: int) -> None:
    """Delete checkpoints beyond the `keep` newest; called once `newest` was read back."""
    for step in steps(root)[:-keep]:
        if root / folder_name(step) != newest:
            try:
                _delete(root / folder_name(step))
            except OSError as error:
                log.warning("%s could not be deleted: %s", root / folder_name(step), error)


def _delete(folder: Path) -> None:
    """Rename first, so that a kill leaves no half-deleted folder under a checkpoint's name."""
    doomed = folder.with_name(f"{DELETED}{folder.name}-{secrets.token_hex(4)}")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


@contextmanager
def _explained(final: Path) -> Iterator[None]:
    """Turn whatever went wrong into one message."""
    try:
        yield
    except LostRankError as error:
        raise LostRanksError(
            f"it is not known whether {final} was written: {error}; earlier ones stand"
        ) from error
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"no checkpoint {final} was written: {reason(error)}; earlier ones stand"
        ) from error


def reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)} ({error.filename or 'no file named'})"
    return str(error) if isinstance(error, RuntimeError) else ranks.describe(error)
