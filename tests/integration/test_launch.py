"""`m4nmt train --devices N`: processes that die are started again, signals reach all, codes agree.

Most tests launch a stand-in for training: numbered steps, a collective and a checkpoint each.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import train_made

from m4nmt.cli.launch import _verdict
from m4nmt.core.config import to_dict

WORKER = """
import logging, os, signal, sys, time
from pathlib import Path
from m4nmt.cli.launch import follow
from m4nmt.core.ranks import LostRankError
from m4nmt.parallel.watchdog import COURTESY, EXIT
from m4nmt.parallel.world import joined
from m4nmt.train.signals import wish_to_stop

follow()
folder, steps, what = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
saved = folder / "saved"
rank = os.environ["RANK"]
with (folder / "lives").open("a") as lives:
    lives.write(f"{rank} {os.getpid()} {os.environ['OMP_NUM_THREADS']}\\n")

def train():
    with joined("cpu", 30) as world, wish_to_stop() as wish:
        step = world.told(int(saved.read_text()) if saved.exists() else 0)
        print(f"rank {rank} begins at {step}", file=sys.stderr, flush=True)
        while step < steps:
            stop = world.any(wish.wanted)
            step += 1
            time.sleep(0.02)
            if step == 5 and rank == "1":
                misbehave()
            world.barrier()
            if world.leader:
                saved.write_text(str(step))
            if stop:
                if world.leader:
                    time.sleep(1)
                    (folder / "stopped").write_text(str(step))
                return 0
        return 0

def misbehave():
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", "0,1,2").split(",")
    if what == "device fails" and devices[int(rank)] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    once = folder / "once"
    if what == "kill" or (what == "kill once" and not once.exists()):
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "wrong use":
        print("m4nmt train: wrong use", file=sys.stderr)
        sys.exit(2)

try:
    sys.exit(train())
except LostRankError as error:
    print(error, file=sys.stderr)
    time.sleep(COURTESY)
    sys.exit(EXIT)
"""
LAUNCH = """
import sys
from m4nmt.cli import launch
from m4nmt.cli.devices import Devices
from m4nmt.parallel.settings import ParallelConfig
launch._gpus = lambda: {number}
devices = Devices({number}, {fewest}, ParallelConfig(shard={shard}).layout)
sys.exit(launch.launch(sys.argv[3:], devices, {restarts}, gpus={fewest} < {number}))
"""


def clean_env() -> dict[str, str]:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
    return {k: v for k, v in os.environ.items() if k not in names}


@contextmanager
def launched(
    folder: Path, steps: int, what: str = "", restarts: int = 3, **devices: int
) -> Iterator["subprocess.Popen[str]"]:
    """The launcher with two stand-ins, or more; none of them is left at the end."""
    script = folder / "worker.py"
    script.write_text(WORKER)
    words = [str(folder), str(steps), what]
    code = LAUNCH.format(**({"number": 2, "fewest": 2, "shard": 1} | devices), restarts=restarts)
    with subprocess.Popen(
        [sys.executable, "-c", code, "-", "-", str(script), *words],
        env=clean_env(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            for _, pid in lives(folder):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def lives(folder: Path) -> list[tuple[int, int]]:
    """(rank, process) of every stand-in that was started."""
    path = folder / "lives"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def finish(process: "subprocess.Popen[str]", timeout: float = 90) -> tuple[int, str]:
    """(exit code, what was shown)."""
    _, said = process.communicate(timeout=timeout)
    return process.returncode, said


def until(there: Callable[[], bool], timeout: float = 60) -> None:
    end = time.monotonic() + timeout
    while not there():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def step(folder: Path) -> int:
    path = folder / "saved"
    return int(path.read_text() or 0) if path.exists() else 0


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_group_finishes(tmp_path: Path) -> None:
    with launched(tmp_path, steps=8) as process:
        code, said = finish(process)
    assert (code, step(tmp_path)) == (0, 8)
    assert sorted(rank for rank, _ in lives(tmp_path)) == [0, 1]
    # Rank 0 speaks for itself; the others are named, and nobody else has anything to say.
    assert sorted(said.splitlines()) == ["[rank 1] rank 1 begins at 0", "rank 0 begins at 0"]
    threads = {line.split()[2] for line in (tmp_path / "lives").read_text().splitlines()}
    assert threads == {str(max(1, len(os.sched_getaffinity(0)) // 2))}


def test_a_killed_process_starts_the_group_again(tmp_path: Path) -> None:
    with launched(tmp_path, 12, "kill once") as process:
        code, said = finish(process)
    assert (code, step(tmp_path)) == (0, 12)
    assert sorted(rank for rank, _ in lives(tmp_path)) == [0, 0, 1, 1]
    assert "a process died (exit code 137); starting again, 3 left" in said
    assert "rank 0 begins at 4" in said


def test_restarts_end(tmp_path: Path) -> None:
    (tmp_path / "saved").write_text("0")
    with launched(tmp_path, 5, "kill", restarts=1) as process:
        code, _ = finish(process)
    assert code == 128 + signal.SIGKILL
    assert len(lives(tmp_path)) == 4


def test_a_device_that_keeps_failing_is_left_out(tmp_path: Path) -> None:
    with launched(tmp_path, 12, "device fails", number=3, fewest=2) as process:
        code, said = finish(process)
    assert (code, step(tmp_path)) == (0, 12), said
    # Two lives of three, then one of two, whose rank 1 has the third device.
    assert sorted(rank for rank, _ in lives(tmp_path)) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert "device 1 failed twice in a row; going on with 0, 2" in said
    assert "rank 0 begins at 4" in said


@pytest.mark.slow
def test_without_devices_that_fit_the_run_ends_and_says_what_would(tmp_path: Path) -> None:
    with launched(tmp_path, 12, "device fails", number=2, fewest=1, shard=2) as process:
        code, said = finish(process)
    assert code == 128 + signal.SIGKILL
    assert len(lives(tmp_path)) == 4
    assert "device 1 failed twice in a row, and a group needs at least 1" in said
    assert "start 2, or change one of them" in said
    assert "m4nmt plan RECIPE --devices 1" in said


def test_a_verdict_is_not_tried_again(tmp_path: Path) -> None:
    with launched(tmp_path, 20, "wrong use") as process:
        code, said = finish(process)
    assert code == 2
    assert len(lives(tmp_path)) == 2
    assert "[rank 1] m4nmt train: wrong use" in said


@pytest.mark.parametrize("whom", ["launcher", "launcher, Ctrl-C", "rank 0", "rank 1"])
def test_a_signal_lets_all_save_and_leave(tmp_path: Path, whom: str) -> None:
    with launched(tmp_path, 10_000) as process:
        until(lambda: step(tmp_path) > 3)
        pids = dict(lives(tmp_path))
        target = process.pid if "launcher" in whom else pids[int(whom[-1])]
        os.kill(target, signal.SIGINT if "Ctrl-C" in whom else signal.SIGTERM)
        code, _ = finish(process, timeout=30)
        left = [pid for pid in pids.values() if not gone(pid)]
    assert code == 0
    assert (tmp_path / "stopped").read_text() == (tmp_path / "saved").read_text()
    assert len(lives(tmp_path)) == 2
    assert left == []


def test_repeated_sigterm_does_not_disturb_the_saving(tmp_path: Path) -> None:
    with launched(tmp_path, 10_000) as process:
        until(lambda: step(tmp_path) > 3)
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        code, _ = finish(process, timeout=30)
    assert code == 0
    assert (tmp_path / "stopped").exists()


def test_a_second_ctrl_c_interrupts(tmp_path: Path) -> None:
    with launched(tmp_path, 10_000) as process:
        until(lambda: step(tmp_path) > 3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        code, _ = finish(process, timeout=60)
    assert code == 130
    assert not (tmp_path / "stopped").exists()
    assert len(lives(tmp_path)) == 2


def test_without_their_launcher_the_processes_save_and_leave(tmp_path: Path) -> None:
    with launched(tmp_path, 10_000) as process:
        until(lambda: step(tmp_path) > 3)
        process.kill()
        until(lambda: all(gone(pid) for _, pid in lives(tmp_path)), timeout=30)
    assert (tmp_path / "stopped").exists()


def test_the_code_of_a_group_is_that_of_its_cause() -> None:
    assert _verdict({}) == 0
    assert _verdict({0: 75, 1: 2}) == 2
    assert _verdict({0: 75, 1: -9}) == 137
    assert _verdict({1: 75, 0: 75}) == 75
    assert _verdict({0: -9, 1: 1}) == 137  # whose loader was told to leave, say
    assert _verdict({0: 75, 1: -15, 2: 1}) == 1


# ---- training itself


def recipe(folder: Path, **train: object) -> str:
    """A recipe file over digits; returns its name on the command line."""
    manifest = train_made.corpus(folder / "corpus")
    config = to_dict(train_made.config(manifest, **train))
    (folder / "config.json").write_text(json.dumps(config))
    path = folder / "digits.py"
    path.write_text(
        "import json\n"
        "from pathlib import Path\n"
        "from m4nmt.core.config import from_dict\n"
        "from m4nmt.train.settings import RunConfig\n\n\n"
        "def digits() -> RunConfig:\n"
        f"    return from_dict(RunConfig, json.loads(Path({str(folder / 'config.json')!r})"
        ".read_text()))\n"
    )
    return f"{path}:digits"


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["kind"] == "train"]


def m4nmt(*words: str, launcher: str = "-m") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *launcher.split(), "m4nmt", *words],
        env={**clean_env(), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


LAUNCHERS = {
    "torchrun": "-m torch.distributed.run --standalone --nproc-per-node 2 -m --",
    "accelerate": "-m accelerate.commands.launch --multi_gpu --num_machines 1 --num_processes 2 "
    "--mixed_precision no --dynamo_backend no -m",
}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_training_on_two_devices_is_training_on_one(tmp_path: Path) -> None:
    name = recipe(tmp_path, steps=8, save_every=4)
    command = [
        "train",
        name,
        "--set=model.embedding_dropout=0.0",
        "--set=model.encoder.*.dropout=0.0",
        "--set=model.decoder.*.dropout=0.0",
    ]
    done = {
        "one": m4nmt(*command, f"--run={tmp_path / 'one'}"),
        "two": m4nmt(*command, f"--run={tmp_path / 'two'}", "--devices=2"),
    }
    for how, launcher in LAUNCHERS.items():
        done[how] = m4nmt(*command, f"--run={tmp_path / how}", launcher=launcher)
    for how, process in done.items():
        assert process.returncode == 0, f"{how}: {process.stderr}"
        assert f"finished at step 8; model: {tmp_path / how}" in process.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    for how in LAUNCHERS:
        assert losses(tmp_path / how) == losses(tmp_path / "two")
    assert len(losses(tmp_path / "two")) == 8


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_whose_process_was_killed_is_the_run_that_was_not(tmp_path: Path, rank: int) -> None:
    name = recipe(tmp_path, steps=120, save_every=10, workers=1)
    whole = m4nmt("train", name, f"--run={tmp_path / 'whole'}", "--devices=2")
    assert whole.returncode == 0, whole.stderr
    run = tmp_path / "killed"
    with subprocess.Popen(
        [sys.executable, "-m", "m4nmt", "train", name, f"--run={run}", "--devices=2"],
        env={**clean_env(), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: (run / "metrics.jsonl").exists() and len(losses(run)) > 25)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[rank]), signal.SIGKILL)
        code, said = finish(process, timeout=200)
    assert code == 0, said
    assert "a process died (exit code 137); starting again, 3 left" in said
    assert losses(run) == losses(tmp_path / "whole")
    assert len(losses(run)) == 120


def test_what_cannot_be_launched_is_wrong_use(tmp_path: Path) -> None:
    name = recipe(tmp_path)
    run = ("--run", str(tmp_path / "run"))
    for words, says in (
        (["--devices", "0"], "need --devices of at least 1"),
        (["--devices", "3", "--set", "parallel.shard=2"], "--devices 3: "),
        (["--devices", "3", "--min-devices", "4"], "need --min-devices of 1 to 3"),
    ):
        done = m4nmt("train", name, *run, *words)
        assert done.returncode == 2, done.stderr
        assert says in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
