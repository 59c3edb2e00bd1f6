"""Files in zip and tar archives from strangers, read one by one without unpacking the archive.

A tar archive that is not packed is looked through once, header by header, and its files are then
read where they lie; a packed one can only be read from its start.

Links, devices, encrypted and sparse members and names that lead out of a folder are not read: such
members are passed over, and refused where they are asked for. Not its job: packed members.
"""

import io
import stat
import tarfile
import zipfile
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, NamedTuple

from m4nmt.data.read.types import INSIDE, FormatError

MEMBERS = 100_000
# A header of a tar archive with long names; a larger one would be held whole.
_HEADER = 1 << 20
_STEP = 1 << 16
_ENCRYPTED = 0x1
_SHOWN = 8
_TWICE = "the archive has two files of this name"
# What lies beside corpora: an archive with one other file in it needs no name to be read.
_BESIDE = ("readme", "license", "licence", "copying", "changelog", "citation")


def zip_problems(archive: zipfile.ZipFile, path: Path) -> dict[str, str]:
    """The files of a zip archive, and why each cannot be read; "" where it can.

    Raises:
        FormatError: too many.
    """
    _count(len(archive.infolist()), path)
    found: dict[str, str] = {}
    for member in archive.infolist():
        if not member.is_dir():
            twice = member.filename in found
            found[member.filename] = _TWICE if twice else _zip_problem(member)
    return found


def choose(path: Path, name: str, problems: dict[str, str]) -> str:
    """The member that is asked for, or the only one that can be meant.

    Raises:
        FormatError: no such member, several to choose from, or one that cannot be read.
    """
    if name:
        if name not in problems:
            raise FormatError(f"{path}: has no file {name}; it has {_some(list(problems))}")
        if problems[name]:
            raise FormatError(f"{path}{INSIDE}{name}: {problems[name]}")
        return name
    texts = [n for n, problem in problems.items() if not problem and not _is_beside(n)]
    if len(texts) == 1:
        return texts[0]
    if texts:
        raise FormatError(
            f"{path}: holds {len(texts)} files ({_some(texts)}); say which: "
            f"{path.name}{INSIDE}{texts[0]}"
        )
    why = next((f"{n}: {problem}" for n, problem in problems.items() if problem), "it is empty")
    raise FormatError(f"{path}: holds no file that can be read; {why}")


class _Metered(io.RawIOBase):
    """A stream that may be read only so far ahead, so that no header makes us hold it."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path
        self.left = _HEADER

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise FormatError(f"{self._path}: has a header of over 1 MiB; pack it anew")
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


class TarEntry(NamedTuple):
    """A file in a tar archive: why it cannot be read, or ""; where its bytes are."""

    problem: str
    first: int
    size: int


@lru_cache(maxsize=8)
def tar_entries(path: Path, _: tuple[int, int]) -> dict[str, TarEntry]:
    """The files of a tar archive that is not packed; only headers are read.

    Args:
        path: of the archive.
        _: its size and time of change: what was found is remembered until they change.

    Raises:
        FormatError: as of `TarWalk`.
    """
    with path.open("rb") as stream:
        return TarWalk(stream, path, "r:").entries()


class Span(io.RawIOBase):
    """Some bytes of a file."""

    def __init__(self, file: IO[bytes], entry: TarEntry) -> None:
        file.seek(entry.first)
        self._file, self._left = file, entry.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        if not data and self._left:
            raise EOFError("it ends in the middle")
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


class TarWalk:
    """Goes once through an unpacked tar archive, read from its start ("r|") or with leaps ("r:").

    Raises (all methods):
        FormatError: too many members, a header of a size that none needs, or as `choose`.
    """

    def __init__(self, stream: IO[bytes], path: Path, mode: Literal["r|", "r:"] = "r|") -> None:
        self._metered, self._path, self._leaps = _Metered(stream, path), path, mode == "r:"
        self._tar = tarfile.open(fileobj=self._metered, mode=mode, encoding="utf-8")  # noqa: SIM115
        self._problems: dict[str, str] = {}
        self._places: dict[str, tuple[int, int]] = {}

    def all(self) -> dict[str, str]:
        """The files of the archive, and why each cannot be read; "" where it can."""
        for _ in self._bodies():
            pass
        return self._problems

    def entries(self) -> dict[str, TarEntry]:
        """The files of the archive."""
        return {name: TarEntry(why, *self._places[name]) for name, why in self.all().items()}

    def find(self, names: Collection[str]) -> Iterator[tuple[str, io.RawIOBase]]:
        """Members in the order in which they lie, and the bytes of each, to be read before the
        next one is asked for."""
        left = set(names)
        for found, body in self._bodies():
            if found in left and body is not None:
                left.remove(found)
                yield found, body
                if not left:
                    return
        absent = min(left)
        raise FormatError(choose(self._path, absent, self._problems) + ": was not found again")

    def _bodies(self) -> Iterator[tuple[str, io.RawIOBase | None]]:
        count = 0
        while (info := self._tar.next()) is not None:
            count += 1
            _count(count, self._path)
            self._tar.members = []  # type: ignore[attr-defined]  # it would keep them all
            if info.isdir():
                continue
            name = info.name.removeprefix("./")
            self._problems[name] = _TWICE if name in self._problems else _tar_problem(info)
            self._places[name] = (info.offset_data, info.size)
            opened = self._tar.extractfile(info) if not self._problems[name] else None
            body = None if opened is None else _Body(opened, self._metered)
            yield name, body
            while body is not None and not self._leaps and body.read(_STEP):
                pass
            self._metered.left = _HEADER


class _Body(io.RawIOBase):
    """The bytes of a member; reading them is not reading ahead."""

    def __init__(self, body: IO[bytes], metered: _Metered) -> None:
        self._body, self._metered = body, metered

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._metered.left = _HEADER + len(buffer)
        data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _count(members: int, path: Path) -> None:
    if members > MEMBERS:
        raise FormatError(f"{path}: holds more than {MEMBERS:,} files; unpack it, or pack fewer")


def _some(found: Sequence[str]) -> str:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more if found else "none"


def _is_beside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return hidden or parts[-1].lower().startswith(_BESIDE)


def _leads_out(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return "\0" in name or ".." in parts or name[:1] in ("/", "\\") or ":" in parts[0]


def _zip_problem(member: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if _leads_out(member.orig_filename):
        return "its name leads out of the archive"
    if kind not in (0, stat.S_IFREG):
        return "it is a link or a device, not a file"
    if member.flag_bits & _ENCRYPTED:
        return "it is encrypted; pack it without a password"
    return ""


def _tar_problem(info: tarfile.TarInfo) -> str:
    if _leads_out(info.name):
        return "its name leads out of the archive"
    if not info.isreg():
        return "it is a link or a device, not a file"
    if info.issparse():
        return "it is sparse; pack it without --sparse"
    return ""
