"""Workers of a real run killed at random times: it goes on each time, and ends with the losses of
the run that nobody killed."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import train_made
from test_launch import clean_env, recipe

EVERY = 12  # steps between two kills, about


def lines(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def workers(launcher: int) -> list[psutil.Process]:
    """The processes of the group that train."""
    try:
        children = psutil.Process(launcher).children()
        return [child for child in children if "train" in child.cmdline()]
    except psutil.Error:
        return []


def train(spec: str, run: Path, kills: int, draw: random.Random) -> int:
    """Run to the end with two workers, killing one of them `kills` times; kills that hit."""
    command = [sys.executable, "-m", "m4nmt", "train", spec, "--run", str(run), "--devices", "2"]
    command += ["--restarts", str(kills + 5), "--set", "parallel.microbatches=2"]
    command += ["--set", "parallel.pipeline=2"]
    hit = 0
    with subprocess.Popen(command, env=clean_env(), stderr=subprocess.DEVNULL) as launcher:
        due = draw.randint(1, EVERY)
        while launcher.poll() is None:
            found = workers(launcher.pid)
            if hit < kills and lines(run) >= due and found:
                time.sleep(draw.random() * 0.3)
                victim = draw.choice(found)
                try:
                    victim.send_signal(signal.SIGKILL)
                except psutil.NoSuchProcess:
                    continue
                hit += 1
                due = lines(run) + draw.randint(1, EVERY)
                victim.wait(10)
                _until_started(launcher, found)
            time.sleep(0.02)
    assert launcher.returncode == 0
    return hit


def _until_started(launcher: "subprocess.Popen[bytes]", old: list[psutil.Process]) -> None:
    """Wait for the next life of the group."""
    before = {process.pid for process in old}
    until = time.monotonic() + 60
    while launcher.poll() is None and time.monotonic() < until:
        new = {process.pid for process in workers(launcher.pid)}
        if len(new) == 2 and not new & before:
            return
        time.sleep(0.05)


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("kills", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_workers_change_no_loss(kills: int, tmp_path: Path) -> None:
    spec = recipe(tmp_path, steps=EVERY * kills + 15, save_every=5, validate_every=20)
    run, reference = tmp_path / "run", tmp_path / "reference"
    assert train(spec, reference, 0, random.Random(0)) == 0
    run.mkdir()
    (reference / "data").rename(run / "data")
    assert train(spec, run, kills, random.Random(1)) == kills
    assert train_made.records(run) == train_made.records(reference)
    assert train_made.records(run, "validation") == train_made.records(reference, "validation")
    assert len(train_made.events(run, "resumed")) >= kills - 1
