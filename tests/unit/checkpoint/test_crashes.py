"""SIGKILL at every point of a save, and loss of power at the commit."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from checkpoint_toys import blobs, card, state, tokenizer_folder, weights

from m4nmt.checkpoint import model, store
from m4nmt.core import files

DRIVER = Path(__file__).with_name("kill_driver.py")


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder where syncs cost nothing, if this machine has one: kills do not depend on them."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir="/dev/shm", prefix="m4nmt-test-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("what", ["checkpoint", "model"])
def test_a_kill_at_any_point_leaves_a_good_latest(in_memory: Path, what: str) -> None:
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(in_memory), what],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["problems"] == {}
    assert result["rounds"] > 30


class Power:
    """What a disk that loses power would still hold, judged at each commit (a rename).

    Contents are durable once their file was synced after its last change; a name is durable once
    its folder was synced after the name appeared. Renames may reach the disk at any time.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, commits: tuple[str, ...]) -> None:
        self.commits = commits
        self.contents: dict[tuple[int, int], tuple[int, int]] = {}
        self.names: dict[int, set[str]] = {}
        self.problems: list[str] = []
        self.judged = 0
        self.pending: Path | None = None
        self._sync, self._rename = os.fsync, os.rename
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(os, "rename", self.rename)

    def fsync(self, handle: int) -> None:
        self._sync(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        status = path.stat()
        if path.is_dir():
            self.names[status.st_ino] = {child.name for child in path.iterdir()}
            if self.pending is not None and self.pending.name in self.names[status.st_ino]:
                self.pending = None
        else:
            self.contents[status.st_dev, status.st_ino] = (status.st_size, status.st_mtime_ns)

    def rename(self, source: str | Path, target: str | Path) -> None:
        if self.pending is not None:
            self.problems.append(f"{source} moved before {self.pending.name} was durable")
        if Path(target).name in self.commits:
            self.judged += 1
            self.problems += self.lost(Path(source))
            self._rename(source, target)
            self.pending = Path(target)
        else:
            self._rename(source, target)

    def lost(self, folder: Path) -> list[str]:
        """What would be missing of a folder after a power cut."""
        missing = []
        for path in [folder, *folder.rglob("*")]:
            status = path.stat()
            if path.is_dir():
                names = {child.name for child in path.iterdir()}
                unsure = names - self.names.get(status.st_ino, set())
                missing += [f"{path.name}/{name}" for name in unsure]
            else:
                now = (status.st_size, status.st_mtime_ns)
                if self.contents.get((status.st_dev, status.st_ino)) != now:
                    missing.append(f"contents of {path.name}")
        return missing


def save_checkpoint(folder: Path) -> None:
    store.save(folder / "run", 2, state(2), blobs(2), keep=1)


def save_folder(folder: Path) -> None:
    model.save_model(folder / "model", weights(2), card(), tokenizer_folder())


SAVES = {"step-0000000002": save_checkpoint, "model": save_folder}


@pytest.mark.parametrize("name", SAVES)
def test_everything_is_durable_before_the_commit_and_the_commit_before_deleting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    store.save(tmp_path / "run", 1, state(1), blobs(1))
    save_folder(tmp_path)
    power = Power(monkeypatch, (name,))
    SAVES[name](tmp_path)
    assert power.judged == 1
    assert power.problems == []
    assert power.pending is None


@pytest.mark.parametrize("name", SAVES)
@pytest.mark.parametrize("forgotten", ["files", "folders"])
def test_the_disk_without_syncs_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, forgotten: str
) -> None:
    power = Power(monkeypatch, (name,))
    if forgotten == "folders":
        for module in (files, store, model):
            monkeypatch.setattr(module, "fsync_folder", lambda _: None)
    else:
        monkeypatch.setattr(os, "fsync", lambda _: None)
    SAVES[name](tmp_path)
    assert power.judged == 1
    assert power.problems
    assert power.pending is not None
