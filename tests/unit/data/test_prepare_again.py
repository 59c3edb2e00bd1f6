"""Preparing again: idle, only what changed, after damage, after a kill, beside another run."""

import dataclasses
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from data_made import config, lines, small, tree, write_lines

from m4nmt.core.files import FolderLockedError, folder_lock
from m4nmt.data import prepare as prepare_module
from m4nmt.data.prepare import prepare
from m4nmt.data.preparing import parts as parts_module
from m4nmt.data.settings import DataConfig, FilterConfig
from m4nmt.data.store import Store, StoreError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataConfig, dict[str, bytes]]:
    """A config, and what an undisturbed run makes of it."""
    folder = tmp_path_factory.mktemp("whole")
    settings = config(small(folder))
    prepare(settings, folder / "out")
    return settings, tree(folder / "out")


def test_a_second_run_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(small(tmp_path))
    first = prepare(settings, tmp_path / "out")
    before = tree(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}

    def never(*_: Any) -> None:
        raise AssertionError("work was done again")

    monkeypatch.setattr(prepare_module._Job, "run", never)
    assert prepare(settings, tmp_path / "out").fingerprint == first.fingerprint
    assert tree(tmp_path / "out") == before
    assert {p: p.stat().st_mtime_ns for p in times if p.name != ".lock"} == {
        p: t for p, t in times.items() if p.name != ".lock"
    }


def remade(monkeypatch: pytest.MonkeyPatch, settings: DataConfig, out: Path) -> tuple[int, bool]:
    """How many columns a run encodes, and whether it trains a tokenizer."""
    encoded: list[Any] = []
    trained: list[Any] = []
    encode, train = parts_module.encode, prepare_module.tokenizer.train
    with monkeypatch.context() as patch:
        patch.setattr(parts_module, "encode", lambda *a: (encoded.append(a), encode(*a))[1])
        patch.setattr(
            prepare_module.tokenizer, "train", lambda *a: (trained.append(a), train(*a))[1]
        )
        prepare(settings, out)
    return len(encoded), bool(trained)


def test_only_what_changed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = small(tmp_path), tmp_path / "out"
    settings = config(path)
    assert remade(monkeypatch, settings, out) == (6, True)
    first = Store.open(out).fingerprint
    ratio = dataclasses.replace(settings, filters=FilterConfig(max_ratio=2.0))
    assert remade(monkeypatch, ratio, out) == (0, False)
    assert Store.open(out).fingerprint != first
    longer = dataclasses.replace(settings, filters=FilterConfig(max_chars=3000))
    assert remade(monkeypatch, longer, out) == (3, False)
    assert remade(monkeypatch, settings, out) == (3, False)
    assert Store.open(out).fingerprint == first
    dev = tmp_path / "c" / "dev.eng_Latn.txt"
    write_lines(dev, lines("eng_Latn", range(2000, 2010)))
    assert remade(monkeypatch, settings, out) == (1, False)
    assert Store.open(out).fingerprint != first
    train = tmp_path / "c" / "train.eng_Latn.txt"
    write_lines(train, lines("eng_Latn", range(500, 620)))
    assert remade(monkeypatch, settings, out) == (6, True)
    assert remade(monkeypatch, settings, out) == (0, False)


def test_touched_but_equal_files_change_nothing(tmp_path: Path) -> None:
    settings = config(small(tmp_path))
    first = prepare(settings, tmp_path / "out").fingerprint
    before = tree(tmp_path / "out")
    os.utime(tmp_path / "c" / "train.eng_Latn.txt", ns=(1, 1))
    assert prepare(settings, tmp_path / "out").fingerprint == first
    after = tree(tmp_path / "out")
    assert before.pop("store/inputs.json") != after.pop("store/inputs.json")
    assert after == before


def test_damaged_columns_are_made_again(tmp_path: Path) -> None:
    settings = config(small(tmp_path))
    out = prepare(settings, tmp_path / "out").out
    before = tree(out)
    path = out / "store" / "c.train.eng_Latn.arrow"
    raw = path.read_bytes()
    path.write_bytes(raw[:1000] + b"?" + raw[1001:])
    (out / "tokenizer" / "identify.safetensors").unlink()
    prepare(settings, out)
    assert tree(out) == before


def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(small(tmp_path))
    alone = tree(prepare(settings, tmp_path / "alone", workers=1).out)
    monkeypatch.setattr(prepare_module, "_SMALL", 0)
    several = tree(prepare(settings, tmp_path / "several", workers=3).out)
    assert several.keys() == alone.keys()
    for name in alone.keys() - {"store/ledger.jsonl"}:
        assert several[name] == alone[name], name


def test_a_killed_worker_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(small(tmp_path))
    whole = tree(prepare(settings, tmp_path / "whole").out)
    monkeypatch.setattr(prepare_module, "_SMALL", 0)
    with monkeypatch.context() as patch:
        patch.setattr(parts_module, "encode", _die)
        with pytest.raises(RuntimeError, match="encoding: a worker process was killed"):
            prepare(settings, tmp_path / "out", workers=2)
    prepare(settings, tmp_path / "out", workers=1)
    assert tree(tmp_path / "out") == whole


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_two_preparations_of_one_folder(tmp_path: Path) -> None:
    settings = config(small(tmp_path))
    with folder_lock(tmp_path / "out"), pytest.raises(FolderLockedError, match="is in use by"):
        prepare(settings, tmp_path / "out")


def killed_at(sync: int, settings: DataConfig, out: Path) -> int:
    """Prepare in a child that dies at its n-th fsync; its exit code."""

    def child() -> None:
        left, real = sync, os.fsync

        def fsync(handle: int) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            real(handle)

        os.fsync = fsync  # type: ignore[assignment]
        prepare(settings, out)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def test_a_half_changed_store_is_none(tmp_path: Path) -> None:
    settings = config(small(tmp_path))
    prepare(settings, tmp_path / "out")
    longer = dataclasses.replace(settings, filters=FilterConfig(max_chars=3000))
    assert killed_at(8, longer, tmp_path / "out") == -signal.SIGKILL
    with pytest.raises(StoreError, match="no finished store"):
        Store.open(tmp_path / "out")


@pytest.mark.parametrize("sync", [1, 6, 17, 37, 47])
def test_killed_anywhere_it_ends_the_same(
    sync: int, tmp_path: Path, whole: tuple[DataConfig, dict[str, bytes]]
) -> None:
    settings, expected = whole
    out = tmp_path / "out"
    assert killed_at(sync, settings, out) == -signal.SIGKILL
    with pytest.raises(StoreError, match="no finished store"):
        Store.open(out)
    prepare(settings, out).verify()
    assert tree(out) == expected


def test_a_run_killed_again_and_again_gets_there(
    tmp_path: Path, whole: tuple[DataConfig, dict[str, bytes]]
) -> None:
    settings, expected = whole
    out = tmp_path / "out"
    deaths = 0
    while killed_at(24, settings, out) != 0:
        deaths += 1
        assert deaths < 9, "no progress between kills"
    assert deaths > 1
    assert tree(out) == expected
