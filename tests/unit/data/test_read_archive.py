"""An archive is not read anew for each of its files."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from read_made import PACKED, put, rows

from m4nmt.data.read import archive, unpack
from m4nmt.data.read.types import FormatError, Source

COUNT, LINES = 20, 4000


def archived(packing: str, count: int = COUNT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for number in range(count):
            body = f"{number} line\n".encode() * LINES
            info = tarfile.TarInfo(f"a/{number}.txt")
            info.size = len(body)
            made.addfile(info, io.BytesIO(body))
    return PACKED[packing](out.getvalue())


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that are read of files, one entry a read."""
    found: list[int] = []

    class Counted(unpack._File):
        def readinto(self, buffer: Any) -> int:
            found.append(super().readinto(buffer))
            return found[-1]

    monkeypatch.setattr(unpack, "_File", Counted)
    return found


def test_all_files_of_a_tar_are_one_pass(
    taken: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = archived("")
    path = put(tmp_path / "x.tar", data)
    walks: list[Path] = []
    walk = archive.TarWalk.__init__

    def noted(self: Any, stream: Any, path: Path, *rest: Any) -> None:
        walks.append(path)
        walk(self, stream, path, *rest)

    monkeypatch.setattr(archive.TarWalk, "__init__", noted)
    for _ in range(2):
        for number in reversed(range(COUNT)):
            source = Source(path, member=f"a/{number}.txt")
            assert rows(source) == [(f"{number} line",)] * LINES
    assert walks == [path]
    # What is read ahead of the start, to see what the file is, comes on top, for each member.
    assert sum(taken) < 2 * (len(data) + COUNT * 3 * (1 << 16))


def test_a_tar_that_changed_is_looked_through_again(tmp_path: Path) -> None:
    path = put(tmp_path / "x.tar", archived("", 2))
    assert unpack.members(path) == ["a/0.txt", "a/1.txt"]
    put(path, archived("", 3))
    assert unpack.members(path) == ["a/0.txt", "a/1.txt", "a/2.txt"]
    assert rows(Source(path, member="a/2.txt")) == [("2 line",)] * LINES


def test_a_file_cut_short_in_a_tar_is_told_of(tmp_path: Path) -> None:
    data = archived("", 3)
    path = put(tmp_path / "x.tar", data)
    first = archive.tar_entries(path, (0, 0))["a/2.txt"].first
    put(path, data[: first + 10])
    with pytest.raises(FormatError, match=f"{path}.*cannot be unpacked: unexpected end of data"):
        rows(Source(path, member="a/2.txt"))


def test_only_headers_of_a_tar_are_read_to_know_its_files(tmp_path: Path) -> None:
    path = put(tmp_path / "x.tar", archived(""))
    read: list[int] = []

    class Counted(io.FileIO):
        def readinto(self, buffer: Any) -> int:
            read.append(super().readinto(buffer) or 0)
            return read[-1]

    with io.BufferedReader(Counted(path), 512) as stream:
        entries = archive.TarWalk(stream, path, "r:").entries()
    assert len(entries) == COUNT
    assert entries["a/0.txt"] == archive.TarEntry("", 512, 7 * LINES)
    assert sum(read) < path.stat().st_size / 20
