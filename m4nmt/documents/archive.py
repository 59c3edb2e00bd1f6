"""Zip archives from strangers: read member by member, under limits, and written again.

Nothing is unpacked to disk and no size is believed: bytes are counted while they are read.
Not its job: what is in a member.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO

from m4nmt.documents.types import DocumentError, Limits

_STEP = 1 << 16
_ENCRYPTED = 0x1
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError)


class Archive:
    """An archive whose table of contents is sound.

    Raises (all methods):
        DocumentError: broken, encrypted, too large, or with names that lead out of a folder.
    """

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._limits = limits
        self._size = len(data)
        self._unpacked = 0
        try:
            self._zip = zipfile.ZipFile(BytesIO(data))
        except _BROKEN as error:
            raise DocumentError(f"not a whole zip archive: {error}") from error
        members = self._zip.infolist()
        if len(members) > limits.members:
            raise DocumentError(f"the archive holds more than {limits.members} members")
        names = [m.filename for m in members]
        if len({name.casefold() for name in names}) < len(names):
            raise DocumentError("the archive holds two members of one name")
        for member in members:
            _check(member)
        _check_places(members, len(data))
        self.names = frozenset(names)

    def text(self, name: str) -> bytes:
        """A member that is to be read as text."""
        return b"".join(self._read(self._zip.getinfo(name), self._limits.text))

    def rewritten(self, changed: Mapping[str, bytes]) -> bytes:
        """The archive with some members exchanged; all others with the bytes they had."""
        out = BytesIO()
        with zipfile.ZipFile(out, "w") as target:
            for member in self._zip.infolist():
                info = zipfile.ZipInfo(member.filename, member.date_time)
                info.compress_type = member.compress_type
                info.external_attr = member.external_attr
                if member.filename in changed:
                    target.writestr(info, changed[member.filename])
                    continue
                with target.open(info, "w") as stream:
                    for chunk in self._read(member, self._limits.unpacked):
                        stream.write(chunk)
        return out.getvalue()

    def check(self) -> None:
        """Read everything once, to see that it is whole and no bomb."""
        for member in self._zip.infolist():
            for _ in self._read(member, self._limits.unpacked):
                pass
        self._unpacked = 0

    def _read(self, member: zipfile.ZipInfo, most: int) -> Iterator[bytes]:
        size = 0
        allowed = min(
            self._limits.unpacked, max(self._limits.text, self._size * self._limits.ratio)
        )
        try:
            with self._zip.open(member) as stream:
                while chunk := stream.read(_STEP):
                    size += len(chunk)
                    self._unpacked += len(chunk)
                    if size > most or self._unpacked > allowed:
                        raise DocumentError(
                            f"the archive unpacks to too much at {member.filename!r}: more than "
                            f"{min(most, allowed)} bytes"
                        )
                    yield chunk
        except _BROKEN as error:
            if isinstance(error, DocumentError):
                raise
            raise DocumentError(f"member {member.filename!r} is broken: {error}") from error


def _check(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    parts = name.replace("\\", "/").split("/")
    if "\0" in name or "\\" in name or ".." in parts or name[:1] == "/" or ":" in parts[0]:
        raise DocumentError(f"the archive holds a name that leads out of its folder: {name!r}")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise DocumentError(f"the archive holds a link: {name!r}")
    if member.flag_bits & _ENCRYPTED:
        raise DocumentError("the archive is encrypted; save it without a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DocumentError(f"{name!r} is compressed in a way that documents are not")


def _check_places(members: list[zipfile.ZipInfo], size: int) -> None:
    """No two members share bytes: such archives unpack to far more than they hold."""
    end = 0
    for member in sorted(members, key=lambda m: m.header_offset):
        if member.header_offset < end:
            raise DocumentError(f"members of the archive overlap at {member.filename!r}")
        end = member.header_offset + 30 + len(member.orig_filename.encode()) + member.compress_size
    if end > size:
        raise DocumentError("the archive says it is longer than it is")
