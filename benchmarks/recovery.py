"""Seconds from a fault to its named error, and to the first new step: two ranks on this machine.

    python benchmarks/recovery.py --rounds 3

A rank is killed, or stopped while the other waits for it; a worker of `--devices 2`, or one of two
torchruns with all of its processes, is killed, and the others go on. The model is tiny, so that
the figures are those of noticing, meeting again and starting Python.
"""

import argparse
import contextlib
import datetime
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from machine import processor

BIN = Path(sys.executable).parent
RECIPE = """
from m4nmt.data.settings import BlockConfig, DataConfig, TokenizerConfig
from m4nmt.model.settings import classic
from m4nmt.train.settings import RunConfig, TrainConfig

def tiny() -> RunConfig:
    return RunConfig(
        name="tiny",
        data=DataConfig(
            manifest="corpus/manifest.toml",
            tokenizer=TokenizerConfig(vocab=800),
            blocks=BlockConfig(tokens=1024, max_length=64),
        ),
        model=classic(layers=1, dim=32, hidden=64, heads=2),
        train=TrainConfig(steps=100_000, validate_every=0, save_every=20, log_every=1),
    )
"""
TIMEOUT = 20.0
Started = list["subprocess.Popen[bytes]"]


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    ways: dict[str, Callable[[Path], float]] = {
        "a rank is killed: error of the other": killed,
        f"a rank is stopped: error of the other, less the timeout of {TIMEOUT:g} s": stopped,
        "a worker of --devices 2 is killed: first new step": worker_killed,
        "one of two torchruns is lost: first new step, alone": machine_lost,
    }
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        print(f"{processor()}, {os.cpu_count()} cores, {datetime.date.today()}")
        for name, measure in ways.items():
            found = []
            for number in range(given.rounds):
                (run := Path(folder) / f"{measure.__name__}{number}").mkdir()
                (run / "data").symlink_to(Path(folder) / "data")
                found.append(measure(run))
            rounds = ", ".join(f"{seconds:.1f}" for seconds in found)
            print(f"{name}: median {statistics.median(found):.1f} s ({rounds})", flush=True)


def prepare(folder: Path) -> None:
    """The recipe and its data."""
    from m4nmt.core.names import recipe
    from m4nmt.data import cldr
    from m4nmt.data.prepare import prepare as made

    os.chdir(folder)
    cldr.write(Path("corpus"), ["eng_Latn", "deu_Latn", "swh_Latn"])
    Path("tiny.py").write_text(RECIPE)
    made(recipe("tiny.py:tiny")().data, folder / "data")


def train(run: Path, *launcher: str, **env: str) -> "subprocess.Popen[bytes]":
    """Start training; what it says lies beside the run."""
    command = [*(launcher or [sys.executable, "-m"]), "m4nmt", "train", "tiny.py:tiny"]
    command += ["--run", str(run), "--set", f"parallel.timeout={TIMEOUT}"]
    with (run / f"said{env.get('RANK', '')}").open("ab") as said:
        return subprocess.Popen(
            command + (["--devices", "2"] if not launcher and not env else []),
            env={**os.environ, "OMP_NUM_THREADS": "1", **env},
            stdout=said,
            stderr=said,
        )


def steps(run: Path) -> int:
    """Of the run so far."""
    path = run / "metrics.jsonl"
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return max((json.loads(x)["step"] for x in lines if x.endswith(b"}")), default=0)


def until(there: Callable[[], bool], patience: float = 120) -> float:
    """Wait; the time at which it was there."""
    end = time.monotonic() + patience
    while not there():
        if time.monotonic() > end:
            raise TimeoutError("it never came")
        time.sleep(0.02)
    return time.monotonic()


def tree(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """A process and all below it."""
    found = psutil.Process(process.pid)
    return [found, *found.children(recursive=True)]


def clear(started: Started) -> None:
    """Leave none of them."""
    for process in started:
        if process.poll() is None:
            for one in tree(process):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        process.wait()


def two_ranks(run: Path) -> Started:
    """Two ranks that no launcher looks after, training."""
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port())}
    started = [train(run, RANK=str(rank), LOCAL_RANK=str(rank), **place) for rank in range(2)]
    until(lambda: steps(run) > 40)
    return started


def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def killed(run: Path) -> float:
    started = two_ranks(run)
    began = time.monotonic()
    started[1].kill()
    ended = until(lambda: b"LostRankError" in (run / "said0").read_bytes())
    clear(started)
    return ended - began


def stopped(run: Path) -> float:
    started = two_ranks(run)
    began = time.monotonic()
    started[1].send_signal(signal.SIGSTOP)
    ended = until(lambda: b"LostRankError" in (run / "said0").read_bytes())
    stacks = [run / "stacks" / f"rank{rank}.txt" for rank in range(2)]
    assert all("Thread" in stack.read_text() for stack in stacks)
    clear(started)
    return ended - began - TIMEOUT


def again(run: Path, started: Started, fault: Callable[[], None]) -> float:
    """Seconds from a fault to the first step that no life before has taken."""
    until(lambda: steps(run) > 40)
    began = time.monotonic()
    fault()
    until(lambda: b'"resumed"' in (run / "journal.jsonl").read_bytes())
    before = steps(run)
    ended = until(lambda: steps(run) > before)
    clear(started)
    return ended - began


def worker_killed(run: Path) -> float:
    launcher = train(run)
    return again(run, [launcher], lambda: tree(launcher)[-1].kill())


def machine_lost(run: Path) -> float:
    words = ["--nnodes", "1:2", "--nproc-per-node", "1", "--max-restarts", "9"]
    words += ["--local-addr", "localhost", "--rdzv-backend", "c10d", "--rdzv-endpoint"]
    words += [str(run / ".meet"), "--rdzv-conf", "store_type=file,last_call_timeout=10", "-m", "--"]
    share = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    started = [train(run, str(BIN / "torchrun"), *words, **share) for _ in range(2)]

    def lose() -> None:
        for process in tree(started[0]):
            process.kill()

    return again(run, started, lose)


if __name__ == "__main__":
    main()
