"""Files that are whole or absent: atomic writes, hashes, and a lock on a folder."""

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class FolderLockedError(RuntimeError):
    """Another living process holds the folder."""


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable (a renamed file is not, until its folder is synced)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make the contents of a file that another library wrote durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Write a file so that every reader, and a machine that loses power, sees old or new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write all of a file as `atomic` does, and its folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as stream:
        stream.write(data.encode() if isinstance(data, str) else data)


def append_durable(path: Path, line: str) -> None:
    """Append one line to a journal and make it durable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        stream.write(line.encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for this process. The kernel drops the lock when the holder dies.

    Raises:
        FolderLockedError: another process holds it; the message names host and pid.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    with path.open("a+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.seek(0)
            holder = stream.read().decode(errors="replace").strip() or "an unknown process"
            raise FolderLockedError(
                f"{folder} is in use by {holder}; wait for it, stop it, or choose another folder"
            ) from error
        stream.truncate(0)
        stream.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())
        stream.flush()
        yield
