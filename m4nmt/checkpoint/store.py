"""Write training checkpoints that are whole or absent, and delete old ones only when that is safe.

A checkpoint is a folder `step-%010d`: `dcp/` (tensors, torch.distributed.checkpoint), the caller's
blobs, and `manifest.json`. It is written under a temporary name, hashed, made durable, and renamed:
the rename is the commit. Not its job: what the tensors and blobs mean (the trainer), reading
(`load`), model folders (`model`).
"""

import logging
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint import state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter

from m4nmt.checkpoint.manifest import (
    NAME,
    CheckpointError,
    describe,
    folder_name,
    verify,
)
from m4nmt.core.files import fsync_folder, sync_file, write_atomic

log = logging.getLogger(__name__)

DCP = "dcp"
TEMPORARY = ".tmp-"
DELETED = ".old-"


def save(
    root: Path, step: int, tensors: dict[str, Any], blobs: dict[str, bytes], keep: int = 3
) -> Path:
    """Write the checkpoint of a step, then delete all but the `keep` newest.

    Older checkpoints go only after this one was read back from the disk and agreed. Whatever fails,
    earlier checkpoints stand and nothing half-written is left behind.

    Args:
        root: folder of the run's checkpoints; made if absent.
        step: training steps behind this state; a directory is never used twice.
        tensors: names to tensors.
        blobs: file names to contents, for everything that is not a tensor.

    Raises:
        CheckpointError: no room, a disk fault, or a good checkpoint of this step is there already.
        ValueError: a blob's name is not a plain file name, or a value is not a tensor.
    """
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name!r} is {type(tensor).__name__}, not a tensor; make it a blob")
    for name in blobs:
        if Path(name).name != name or name.startswith(".") or name in (NAME, DCP):
            raise ValueError(f"{name!r} cannot name a blob; give a plain file name")
    final = root / folder_name(step)
    with _explained(final):
        _make_root(root)
        clean(root)
        _make_way(final)
        _need_space(root, tensors, blobs)
        temporary = root / f"{TEMPORARY}{step}-{secrets.token_hex(4)}"
        try:
            _write(temporary, step, tensors, blobs)
            temporary.rename(final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        fsync_folder(root)
        verify(final, from_disk=True)
        _prune(root, final, keep)
    return final


def clean(root: Path) -> None:
    """Remove what killed saves and deletions left. Only for the process that owns the run."""
    for path in root.glob(".*"):
        if path.name.startswith((TEMPORARY, DELETED)):
            shutil.rmtree(path, ignore_errors=True)


def steps(root: Path) -> list[int]:
    """Steps that have a checkpoint, good or not, ascending."""
    names = (path.name for path in root.glob("step-*") if path.is_dir())
    return sorted(int(n[5:]) for n in names if n[5:].isdecimal() and folder_name(int(n[5:])) == n)


def _write(folder: Path, step: int, tensors: Mapping[str, Any], blobs: Mapping[str, bytes]) -> None:
    """All files and their manifest, durable, in an uncommitted folder."""
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        state_dict_saver.save(
            dict(tensors),
            storage_writer=FileSystemWriter(folder / DCP, sync_files=False, overwrite=False),
            no_dist=not (dist.is_available() and dist.is_initialized()),
        )
    for path in (folder / DCP).iterdir():
        sync_file(path)  # DCP's own sync comes before its metadata leaves the buffer
    fsync_folder(folder / DCP)
    for name, data in blobs.items():
        write_atomic(folder / name, data)
    write_atomic(folder / NAME, describe(folder, step).encode())


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
    except CheckpointError as reason:
        log.warning("replacing the damaged checkpoint %s (%s)", final, reason)
        _delete(final)
    else:
        raise CheckpointError(f"{final} is there already and good; a checkpoint is written once")


def _need_space(root: Path, tensors: Mapping[str, Any], blobs: Mapping[str, bytes]) -> None:
    """Twice the size, so that a run warns before the disk is full and not while writing."""
    size = sum(tensor.nbytes for tensor in tensors.values())
    size += sum(len(data) for data in blobs.values())
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
            _delete(root / folder_name(step))


def _delete(folder: Path) -> None:
    """Rename first, so that a kill leaves no half-deleted folder under a checkpoint's name."""
    doomed = folder.with_name(f"{DELETED}{folder.name}-{secrets.token_hex(4)}")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


@contextmanager
def _explained(final: Path) -> Iterator[None]:
    """Turn a fault of the disk into one message. DCP wraps faults, in a BaseException."""
    try:
        yield
    except (OSError, RuntimeError, CheckpointException) as error:
        raise CheckpointError(
            f"no checkpoint {final} was written: {_reason(error)}; earlier ones stand"
        ) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, CheckpointException):
        return "; ".join(_reason(cause) for cause, _ in error.failures.values())
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)} ({error.filename or 'no file named'})"
    return str(error)
