"""Atomic writes and the lock on a folder."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from m4nmt.core import files


def test_failed_write_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    files.write_atomic(path, "old")

    def broken(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_second_holder_is_refused_and_a_dead_one_is_not_in_the_way(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from m4nmt.core.files import folder_lock\n"
        f"with folder_lock(pathlib.Path({str(tmp_path)!r})):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "held"
        busy = pytest.raises(files.FolderLockedError, match=str(other.pid))
        with busy, files.folder_lock(tmp_path):
            pass
        other.kill()
        other.wait()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            with files.folder_lock(tmp_path):
                return
        except files.FolderLockedError:
            time.sleep(0.05)
    pytest.fail("the lock outlived its holder")


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert files.sha256_file(path).startswith("ba7816bf")
