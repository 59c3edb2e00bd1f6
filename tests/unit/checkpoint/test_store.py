"""Training checkpoints: what is saved comes back, what is damaged never does."""

import errno
import io
import logging
import os
import pickle
import random
import shutil
from pathlib import Path

import pytest
import torch
from checkpoint_toys import blobs, flip, flip_somewhere, same, state, zeros
from torch.distributed.checkpoint import metadata

from m4nmt.checkpoint import load, manifest, store
from m4nmt.checkpoint.manifest import CheckpointError


def save(root: Path, *steps: int, keep: int = 3) -> Path:
    for step in steps:
        path = store.save(root, step, state(step), blobs(step), keep)
    return path


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_round_trip_in_place(tmp_path: Path) -> None:
    path = save(tmp_path / "run" / "checkpoints", 12)
    assert path.name == "step-0000000012"
    found = load.newest_good(path.parent)
    assert found == (path, 12, ())
    into = zeros()
    held = dict(into)
    assert load.restore(path, into) == blobs(12)
    assert same(into, state(12))
    assert all(into[name] is held[name] for name in held)


def test_no_checkpoints_is_not_an_error(tmp_path: Path) -> None:
    assert load.newest_good(tmp_path) is None
    assert load.newest_good(tmp_path / "absent") is None
    (tmp_path / "step-12").mkdir()
    (tmp_path / "step-notanumber").mkdir()
    assert load.newest_good(tmp_path) is None


def test_the_newest_are_kept(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 30, 200, keep=2)
    assert store.steps(tmp_path) == [30, 200]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-0000000030", "step-0000000200"]


def test_old_ones_stay_until_the_new_one_was_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)
    commit = Path.rename

    def rename_and_rot(self: Path, target: Path) -> Path:
        done = commit(self, target)
        if target.name == "step-0000000002":
            flip(target / "trainer.json", 3)
        return done

    monkeypatch.setattr(Path, "rename", rename_and_rot)
    with pytest.raises(CheckpointError, match=r"trainer\.json"):
        save(tmp_path, 2, keep=1)
    found = load.newest_good(tmp_path)
    assert found is not None
    assert found.step == 1


def test_a_checkpoint_is_written_once(tmp_path: Path) -> None:
    path = save(tmp_path, 5)
    before = {p: p.read_bytes() for p in files(path)}
    with pytest.raises(CheckpointError, match="written once"):
        store.save(tmp_path, 5, zeros(), blobs(9))
    assert {p: p.read_bytes() for p in files(path)} == before


def test_a_damaged_one_makes_way_as_a_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(tmp_path, 4, 5)
    (path / "left.bin").write_bytes(b"of the old one")
    flip(path / "dcp" / ".metadata", 100)
    assert save(tmp_path, 5) == path
    assert not (path / "left.bin").exists()
    assert "replacing the damaged checkpoint" in caplog.text
    into = zeros()
    load.restore(path, into)
    assert same(into, state(5))


def test_leavings_of_killed_saves_go_at_the_next_one(tmp_path: Path) -> None:
    for name in (".tmp-3-abc", ".old-step-0000000001-abc"):
        (tmp_path / name / "dcp").mkdir(parents=True)
        (tmp_path / name / "dcp" / "x").write_bytes(b"x")
    assert load.newest_good(tmp_path) is None
    save(tmp_path, 4)
    assert [p.name for p in tmp_path.iterdir()] == ["step-0000000004"]


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "manifest.json", "dcp"])
def test_blobs_need_plain_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        store.save(tmp_path, 1, state(1), {name: b""})


def test_what_is_no_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="make it a blob"):
        store.save(tmp_path, 1, {"lr": 0.1}, {})


# ---- damage


def test_one_flipped_bit_in_any_file_is_refused(tmp_path: Path) -> None:
    path, draw, flips = save(tmp_path, 1), random.Random(0), 0
    for file in files(path):
        good = file.read_bytes()
        for _ in range(200):
            bit = flip_somewhere(file, draw)
            with pytest.raises(CheckpointError, match="no checkpoint can be read"):
                load.newest_good(tmp_path)
            if flips % 20 == 0:
                with pytest.raises(CheckpointError, match="cannot be read"):
                    load.restore(path, zeros())
            flip(file, bit)
            flips += 1
        assert file.read_bytes() == good
    assert flips == 1000
    assert load.newest_good(tmp_path) is not None


def test_every_bit_of_the_manifest_counts(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    text = (path / manifest.NAME).read_bytes()
    good = manifest.decode(text.decode())
    for bit in range(8 * len(text)):
        data = bytearray(text)
        data[bit // 8] ^= 1 << bit % 8
        try:
            read = manifest.decode(data.decode())
        except ValueError:
            continue
        assert read != good, f"bit {bit} changes nothing"


@pytest.mark.parametrize("how", ["truncate", "grow", "delete", "empty", "swap"])
def test_a_damaged_newest_is_passed_over_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    save(tmp_path, 1, 2, 3)
    for number in range(5):
        path = tmp_path / "step-0000000003"
        file = files(path)[number]
        good = file.read_bytes()
        if how == "truncate":
            file.write_bytes(good[:-1])
        elif how == "grow":
            file.write_bytes(good + b"\0")
        elif how == "delete":
            file.unlink()
        elif how == "empty":
            file.write_bytes(b"")
        else:
            file.write_bytes(files(tmp_path / "step-0000000002")[number].read_bytes())
        caplog.clear()
        found = load.newest_good(tmp_path)
        assert found is not None
        untouched = how == "swap" and file.name == "rank0.bin"  # the same in both
        assert found.step == (3 if untouched else 2)
        if not untouched:
            warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
            assert len(warnings) == 1
            relative = "step-0000000003" if file.name == manifest.NAME else file.name
            assert relative in warnings[0].getMessage()
        file.write_bytes(good)


def test_when_all_are_damaged_each_is_named(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    (tmp_path / "step-0000000001" / "rank0.bin").unlink()
    flip(tmp_path / "step-0000000002" / "dcp" / "__0_0.distcp", 999)
    with pytest.raises(CheckpointError) as refused:
        load.newest_good(tmp_path)
    text = str(refused.value)
    assert "step-0000000001: rank0.bin: missing" in text
    assert "step-0000000002: dcp/__0_0.distcp: sha256 differs" in text


def test_a_renamed_checkpoint_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 1).rename(tmp_path / "step-0000000009")
    with pytest.raises(CheckpointError, match="of step 1, not of step-0000000009"):
        load.newest_good(tmp_path)


# ---- strict reading


def test_every_difference_of_names_shapes_and_dtypes_is_listed(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    wanted = zeros()
    del wanted["rng"]
    wanted["new.weight"] = torch.zeros(1)
    wanted["model.norm.weight"] = wanted["model.norm.weight"].float()
    wanted["optim.source.table.row"] = torch.zeros(41)
    kept = {name: value.clone() for name, value in wanted.items()}
    with pytest.raises(CheckpointError) as refused:
        load.restore(path, wanted)
    text = str(refused.value)
    assert "missing in the checkpoint: new.weight" in text
    assert "only in the checkpoint: rng" in text
    assert "model.norm.weight: saved as bfloat16 [8], wanted as float32 [8]" in text
    assert "optim.source.table.row: saved as float32 [40], wanted as float32 [41]" in text
    assert "model.source.table" not in text
    assert same(wanted, kept)


def test_enums_pickled_by_name_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python 3.11.0 to 3.11.3 do."""
    monkeypatch.setattr(
        metadata._MEM_FORMAT_ENCODING,
        "__reduce_ex__",
        lambda self, _: (getattr, (type(self), self.name)),
    )
    path = save(tmp_path, 1)
    assert b"getattr" in (path / "dcp" / ".metadata").read_bytes()
    into = zeros()
    load.restore(path, into)
    assert same(into, state(1))


class _Reach:
    def __reduce__(self) -> tuple[object, tuple[object, str]]:
        return getattr, (torch.Size, "__subclasses__")


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize(
    ("planted", "message"),
    [(_Bomb(), r"names posix\.mkdir"), (_Reach(), "asks for __subclasses__")],
)
def test_planted_metadata_runs_nothing_even_with_a_right_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: object, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path, 1)
    (path / "dcp" / ".metadata").write_bytes(pickle.dumps(planted))
    (path / manifest.NAME).unlink()
    (path / manifest.NAME).write_text(manifest.describe(path, 1).encode())
    assert load.newest_good(tmp_path) is not None
    with pytest.raises(CheckpointError, match=message):
        load.restore(path, zeros())
    assert not Path("exploded").exists()
    pickle.load(io.BytesIO(pickle.dumps(_Bomb())))
    assert Path("exploded").exists()


# ---- the disk


def leaves_nothing(root: Path, step: int) -> None:
    """The checkpoint of `step` is the newest, good, and alone."""
    found = load.newest_good(root)
    assert found is not None
    assert found.step == step
    assert [p.name for p in root.iterdir()] == [found.path.name]
    into = zeros()
    load.restore(found.path, into)
    assert same(into, state(step))


@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize(
    "code", [errno.ENOSPC, errno.EDQUOT, errno.EIO], ids=["full", "quota", "io"]
)
def test_a_full_disk_leaves_the_previous_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, code: int
) -> None:
    save(tmp_path, 1)
    sync, calls = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(code, os.strerror(code))
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=os.strerror(code)):
        save(tmp_path, 2)
    assert calls == call
    monkeypatch.undo()
    leaves_nothing(tmp_path, 1)


def test_too_little_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)
    size = sum(t.nbytes for t in state(2).values()) + sum(map(len, blobs(2).values()))
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2 * size, 1, 2 * size - 1))
    with pytest.raises(CheckpointError, match=r"free some space or lower train\.keep"):
        save(tmp_path, 2)
    leaves_nothing(tmp_path, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2 * size, 0, 2 * size))
    save(tmp_path, 2)


def test_a_disk_that_is_really_full(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = small_disk / "checkpoints"
    save(root, 1)
    big = {**state(2), "model.big": torch.zeros(200_000, dtype=torch.uint8)}
    with pytest.raises(CheckpointError, match="MiB are free"):
        store.save(root, 2, big, {})
    usage = type(shutil.disk_usage(root))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 10**9))
    (small_disk / "filler").write_bytes(bytes(120_000))
    with pytest.raises(CheckpointError, match="earlier ones stand"):
        store.save(root, 2, big, {})
    leaves_nothing(root, 1)
