"""The bytes of a source, unpacked while they are read: gz, bz2, xz, zst, and files in zip and tar.

Told by their first bytes, whatever they are called. Nothing is written to disk under a name from
an archive, no size in a header is believed, and what unpacks to far more than was read is refused.
Not its job: what the bytes mean, and what is spooled (preparing/spool.py).
"""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tarfile import TarError
from typing import IO, Any, Protocol

import pyarrow as pa

from m4nmt.data.read import archive
from m4nmt.data.read.types import INSIDE, FormatError, Source

CHUNK = 1 << 20
_BUFFER = 1 << 16
# Text is packed to a third or a tenth. Beyond FREE bytes, more than RATIO to one is an attack.
FREE = 256 << 20
RATIO = 200
_XZ_MEMORY = 512 << 20
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
_NAMED = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}
_TAR_AT, _TAR = 257, b"ustar"
_BROKEN: tuple[type[Exception], ...] = (
    EOFError,
    OSError,
    lzma.LZMAError,
    zlib.error,
    pa.ArrowException,
    ValueError,
    RuntimeError,  # an encrypted zip member, or one packed in a way that is not known here
    zipfile.BadZipFile,
    TarError,
)


def chunks(source: Source) -> Iterator[bytes]:
    """The bytes of a source, in pieces of at most CHUNK.

    Raises:
        FormatError: it cannot be unpacked, or unpacks to too much; says how to mend it.
    """
    with _failures(str(source)), ExitStack() as stack:
        yield from _pieces(_spooled(source, stack) or _opened(source, stack))


def spooled(source: Source) -> Path | None:
    """Where a file of a packed tar lies, or is to lie, unpacked; None where nowhere.

    The name is made of the archive as it is now: one that changed is never read as it was.

    Raises:
        FormatError: there is no such archive.
    """
    if source.spool is None or not source.member:
        return None
    with _failures(str(source)):
        state = source.path.stat()
    about = [str(source.path), state.st_size, state.st_mtime_ns, source.member]
    return source.spool / hashlib.sha256(json.dumps(about).encode()).hexdigest()


def of_packed_tar(path: Path, names: Collection[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Files of a packed tar in one pass, in the order in which they lie; of each its name and what
    `chunks` gives of it, to be read before the next one is asked for.

    Raises:
        FormatError: as `chunks`, in either iterator.
    """
    with _failures(str(path)), ExitStack() as stack:
        file, head, kind = _head(path, stack)
        for name, body in archive.TarWalk(_unpacked(head, kind, file, str(path)), path).find(names):
            source = Source(path, member=name)
            yield name, _read(_peekable(body), file, source)


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _spooled(source: Source, stack: ExitStack) -> IO[bytes] | None:
    path = spooled(source)
    with suppress(FileNotFoundError):
        return stack.enter_context(path.open("rb")) if path else None
    return None


@contextmanager
def _failures(name: str) -> Iterator[None]:
    """What libraries raise, in our words."""
    try:
        yield
    except FormatError:
        raise
    except FileNotFoundError as error:
        raise FormatError(f"{name}: there is no such file") from error
    except IsADirectoryError as error:
        raise FormatError(f"{name}: is a folder; name a file in it") from error
    except _BROKEN as error:
        raise FormatError(f"{name}: cannot be unpacked: {error}; fetch it again") from error


class _Decompressor(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _File(io.FileIO):
    """A file that knows how many bytes were read of it."""

    taken = 0

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer) or 0
        self.taken += count
        return count


class _Bounded(io.RawIOBase):
    """An unpacked stream that may not give much more than was read of the file."""

    def __init__(self, stream: IO[bytes], file: _File, name: str) -> None:
        self._stream, self._file, self._name = stream, file, name
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._given += len(data)
        if self._given > FREE and self._given > RATIO * self._file.taken:
            raise FormatError(
                f"{self._name}: {self._file.taken:,} packed bytes unpack to more than "
                f"{self._given:,}: no text packs so well, it is made to fill a disk. If it is what "
                "you want, unpack it yourself"
            )
        return len(data)


class _Unpacked(io.RawIOBase):
    """What bzip2 and xz streams, one or several in a row, unpack to."""

    def __init__(self, packed: IO[bytes], name: str) -> None:
        self._packed, self._xz = packed, name == "xz"
        self._unpacker: _Decompressor | None = None
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._unpacker is None or self._unpacker.eof:
                if not self._next():
                    return 0
                continue
            if self._unpacker.needs_input and not self._rest:
                self._rest = self._packed.read(_BUFFER)
                if not self._rest:
                    raise EOFError("it ends in the middle")
            data = self._unpacker.decompress(self._rest, len(buffer))
            self._rest = self._unpacker.unused_data if self._unpacker.eof else b""
            if data:
                buffer[: len(data)] = data
                return len(data)

    def _next(self) -> bool:
        """Start the next stream, if there is one; xz pads with zeros."""
        self._rest = self._rest or self._packed.read(_BUFFER)
        if self._xz and self._unpacker is not None:
            self._rest = self._rest.lstrip(b"\0")
        if not self._rest:
            return False
        self._unpacker = (
            lzma.LZMADecompressor(memlimit=_XZ_MEMORY) if self._xz else bz2.BZ2Decompressor()
        )
        return True


def members(path: Path) -> list[str]:
    """The files in an archive that can be read; none where it is no archive.

    Raises:
        FormatError: as `chunks`.
    """
    with _failures(str(path)), ExitStack() as stack:
        found = _problems(path, stack)
        return [name for name, problem in found.items() if not problem]


def is_packed_tar(path: Path) -> bool:
    """Whether each file in it can be reached only through all before it.

    Raises:
        FormatError: as `chunks`.
    """
    with _failures(str(path)), ExitStack() as stack:
        file, head, kind = _head(path, stack)
        return kind not in ("", "zip") and _is_tar(_unpacked(head, kind, file, str(path)))


def _problems(path: Path, stack: ExitStack) -> dict[str, str]:
    """The files of an archive, and why each cannot be read; "" where it can."""
    file, head, kind = _head(path, stack)
    if kind == "zip":
        return archive.zip_problems(zipfile.ZipFile(head), path)
    stream = _unpacked(head, kind, file, str(path))
    if not _is_tar(stream):
        return {}
    if not kind:
        return {name: entry.problem for name, entry in _entries(path).items()}
    return archive.TarWalk(stream, path).all()


def _entries(path: Path) -> dict[str, archive.TarEntry]:
    """The files of a tar archive that is not packed."""
    state = path.stat()
    return archive.tar_entries(path, (state.st_size, state.st_mtime_ns))


def _opened(source: Source, stack: ExitStack) -> IO[bytes]:
    """The innermost stream: a file, perhaps packed, perhaps an archive, perhaps packed inside."""
    file, head, kind = _head(source.path, stack)
    if kind == "zip":
        opened = stack.enter_context(zipfile.ZipFile(head))
        problems = archive.zip_problems(opened, source.path)
        member = archive.choose(source.path, source.member, problems)
        return _inner(_peekable(stack.enter_context(opened.open(member))), member, file, source)
    stream = _unpacked(head, kind, file, str(source.path))
    if not _is_tar(stream):
        if source.member:
            raise FormatError(f"{source.path}: is no zip or tar archive that has {source.member}")
        return stream
    member = source.member
    body: io.RawIOBase
    if not kind:
        entries = _entries(source.path)
        member = archive.choose(source.path, member, {n: e.problem for n, e in entries.items()})
        body = archive.Span(head, entries[member])
    else:
        if not member:
            member = archive.choose(source.path, "", _problems(source.path, stack))
        _, body = next(archive.TarWalk(stream, source.path).find([member]))
    return _inner(_peekable(body), member, file, source)


def _read(body: io.BufferedReader, file: _File, source: Source) -> Iterator[bytes]:
    with _failures(str(source)):
        yield from _pieces(_inner(body, source.member, file, source))


def _inner(stream: io.BufferedReader, member: str, file: _File, source: Source) -> IO[bytes]:
    """A file in an archive; it may be packed itself, but is no archive again."""
    name = f"{source.path}{INSIDE}{member}"
    kind = _kind(stream, member, name)
    unpacked = stream if kind == "zip" else _unpacked(stream, kind, file, name)
    if kind == "zip" or _is_tar(unpacked):
        raise FormatError(f"{name}: is an archive in an archive; unpack the outer one")
    return unpacked


def _head(path: Path, stack: ExitStack) -> tuple[_File, io.BufferedReader, str]:
    """A file, buffered, and how it is packed."""
    file = stack.enter_context(_File(path))
    head = _peekable(file)
    return file, head, _kind(head, path.name, str(path))


def _kind(head: io.BufferedReader, name: str, where: str) -> str:
    """How a stream is packed; "" where it is not."""
    start = head.peek(16)
    found = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "")
    suffix = Path(name).suffix.lower()
    said = _NAMED.get(suffix, "")
    if start and said and said != found:
        raise FormatError(
            f"{where}: cannot be unpacked: it is called {suffix} but is "
            f"{found or f'no {said} file'}; fetch it again, or name it what it is"
        )
    return found


def _unpacked(head: io.BufferedReader, kind: str, file: _File, name: str) -> io.BufferedReader:
    stream: Any = head
    if kind == "gzip":
        stream = gzip.GzipFile(fileobj=head)
    elif kind in ("bzip2", "xz"):
        stream = _Unpacked(head, kind)
    elif kind == "zstd":
        stream = pa.CompressedInputStream(pa.PythonFile(head, mode="r"), "zstd")
    opened = _peekable(_Bounded(stream, file, name))
    if kind and (twice := _kind(opened, "", name)):
        raise FormatError(f"{name}: is {twice} in {kind}; unpack it once")
    return opened


def _peekable(stream: Any) -> io.BufferedReader:
    return io.BufferedReader(stream, _BUFFER)


def _is_tar(stream: io.BufferedReader) -> bool:
    return stream.peek(512)[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR
