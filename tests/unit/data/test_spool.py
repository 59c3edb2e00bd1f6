"""Packed tars are passed once, and nothing else changes by it."""

import io
import shutil
import tarfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_made import CODES, config, lines, tree
from read_made import PACKED, put, rows

from m4nmt.data.manifest import load
from m4nmt.data.prepare import prepare
from m4nmt.data.preparing import inputs, parts, spool
from m4nmt.data.read import archive, unpack
from m4nmt.data.read.types import FormatError, Source
from m4nmt.data.settings import DataConfig

NAMES = [f"c/{split}.{code}.txt" for split in ("train", "dev") for code in CODES]


def packed(packing: str, names: list[str], body: bytes | None = None) -> bytes:
    """An archive; what is in a file is made of its name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name in names:
            split, code, *_ = name.removeprefix("c/").split(".")
            meanings = range(60) if split == "train" else range(9000, 9010)
            data = body or "".join(f"{line}\n" for line in lines(code, meanings)).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return PACKED[packing](out.getvalue())


@pytest.fixture
def settings(tmp_path: Path) -> DataConfig:
    """Training and dev text of three languages in one packed tar."""
    put(tmp_path / "x.tar.gz", packed(".gz", NAMES))
    parts = ['name = "made"', 'license = "CC0-1.0"']
    for split in ("train", "dev"):
        parts += [
            f'[[corpus]]\nname = "c"\nsplit = "{split}"\nformat = "multiway"',
            f'path = "x.tar.gz!/c/{split}.{{lang}}.txt"\nlanguages = {list(CODES)}',
        ]
    (tmp_path / "m.toml").write_text("\n".join(parts))
    return config(tmp_path / "m.toml")


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The packed tars that are walked through, a walk at a time."""
    found: list[Path] = []
    walk = archive.TarWalk.__init__

    def noted(self: Any, stream: Any, path: Path, *rest: Any) -> None:
        found.append(path)
        walk(self, stream, path, *rest)

    monkeypatch.setattr(archive.TarWalk, "__init__", noted)
    return found


def has_room(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(spool, "shutil", namedtuple("shutil", "disk_usage")(lambda _: usage(free)))


def test_a_packed_tar_is_passed_once_and_the_store_is_the_same(
    settings: DataConfig,
    walks: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(settings, tmp_path / "once", 1).verify()
    assert len(walks) == 1
    assert "6 files unpacked beside the store" in capsys.readouterr().err
    has_room(monkeypatch, 0)
    prepare(settings, tmp_path / "each", 1)
    assert len(walks) > 20
    assert "no room on the disk for 6 further files" in capsys.readouterr().err
    assert tree(tmp_path / "once") == tree(tmp_path / "each")
    assert not list(tmp_path.rglob(".spool"))


def test_a_killed_run_finds_what_was_unpacked(
    settings: DataConfig, walks: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parts, "encode", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare(settings, tmp_path / "out", 1)
    prepare(settings, tmp_path / "out", 1)
    assert len(walks) == 1
    assert not list(tmp_path.rglob(".spool"))


def sources(path: Path, names: list[str]) -> list[Source]:
    (path.parent / "spool").mkdir(exist_ok=True)
    return [Source(path, member=name, spool=path.parent / "spool") for name in names]


@pytest.mark.parametrize("packing", [packing for packing in PACKED if packing])
def test_every_packing(packing: str, tmp_path: Path, walks: list[Path]) -> None:
    path = put(tmp_path / f"x.tar{packing}", packed(packing, NAMES))
    wanted = sources(path, NAMES[:2])
    expected = [rows(replace(source, spool=None)) for source in wanted]
    assert all(expected)
    walks.clear()
    spool.fill(wanted, 1)
    assert [rows(source) for source in reversed(wanted)] == expected[::-1]
    spool.fill(wanted, 1)
    assert walks == [path]


def test_what_fits_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "x.tar.gz", packed(".gz", ["a.1", "a.2", "a.3"], b"a" * 999 + b"\n"))
    wanted = sources(path, ["a.1", "a.2", "a.3"])
    has_room(monkeypatch, 2500)
    for _ in range(2):  # what is there counts
        spool.fill(wanted, 1)
        there = [unpack.spooled(source) for source in wanted]
        assert [p is not None and p.is_file() for p in there] == [True, True, False]
        assert len(list((tmp_path / "spool").iterdir())) == 2
    assert [rows(source) for source in wanted] == 3 * [[("a" * 999,)]]


def test_an_archive_that_changed_is_not_read_as_it_was(tmp_path: Path) -> None:
    path = put(tmp_path / "x.tar.gz", packed(".gz", ["a.1", "a.2"], b"old\n"))
    wanted = sources(path, ["a.1", "a.2"])
    spool.fill(wanted, 1)
    put(path, packed(".gz", ["a.1", "a.2"], b"newer\n"))
    assert rows(wanted[1]) == [("newer",)]


def test_what_nobody_wants_any_more_is_removed(settings: DataConfig, tmp_path: Path) -> None:
    loaded = load(settings.manifest, settings.root)
    folder = tmp_path / "spool"
    folder.mkdir()
    found = spool.beside(inputs.inputs(loaded, loaded.corpora, CODES), folder)
    spool.fill([item.source for item in found], 1)
    put(folder / "left", b"a")
    assert spool.beside(found[:-1], folder) == found[:-1]
    assert len(list(folder.iterdir())) == len(found) - 1 == 5


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("a.1", b"a\n" * (1 << 20), "made to fill a disk"),
        ("a.1", PACKED[".gz"](b"a\n" * (1 << 20)), "made to fill a disk"),
        ("a.1", packed("", ["b.1"], b"b\n"), "archive in an archive"),
        ("../a.1", b"a\n", r"\.\./a\.1: its name leads out of the archive"),
        ("a.2", b"a\n", r"has no file a\.1; it has a\.2"),
    ],
)
def test_what_is_not_read_is_not_unpacked(
    name: str, body: bytes, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "FREE", 1 << 16)
    path = put(tmp_path / "x.tar.gz", packed(".gz", [name], body))
    wanted = sources(path, ["../a.1" if name.startswith("..") else "a.1"])
    with pytest.raises(FormatError, match=says) as filled:
        spool.fill(wanted, 1)
    with pytest.raises(FormatError) as read:
        rows(wanted[0])
    assert str(filled.value).partition(" bytes ")[0] == str(read.value).partition(" bytes ")[0]
    assert not list((tmp_path / "spool").iterdir())
    shutil.rmtree(tmp_path / "spool")
    assert list(tmp_path.iterdir()) == [path]
