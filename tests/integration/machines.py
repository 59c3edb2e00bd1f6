"""Machines of one run, all of them this one: each is a torchrun with one process.

The recipe's steps are watched: every process writes down which rows it computed, and waits at the
step that the test says, unless it was told to stop.
"""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import train_made
from test_launch import clean_env, until

from m4nmt.core.config import to_dict
from m4nmt.model.settings import classic
from m4nmt.train.settings import RunConfig

BIN = Path(sys.executable).parent
WATCHED = """
import json, os, time
from pathlib import Path
from m4nmt.core.config import from_dict
from m4nmt.parallel.laid import Laid
from m4nmt.train.settings import RunConfig
from m4nmt.train.signals import Wish

HERE = Path(__file__).parent
step, wishes = Laid.step, []

def note(self):
    self.signal = ""
    wishes.append(self)

def watched(self, batch):
    number = self._step.number
    while number >= int((HERE / "limit").read_text() or 0) and not any(w.wanted for w in wishes):
        time.sleep(0.02)
    columns = batch.src_BS.tolist(), batch.out_BT.tolist(), batch.direction_B.tolist()
    seen = {"step": number, "rank": self.data_rank, "world": self.data_world, "time": time.time()}
    with (Path(os.environ["SEEN"]) / f"{os.getpid()}.jsonl").open("a") as lines:
        lines.write(json.dumps({**seen, "rows": list(zip(*columns))}) + "\\n")
    return step(self, batch)

Wish.__init__, Laid.step = note, watched

def digits() -> RunConfig:
    return from_dict(RunConfig, json.loads((HERE / "config.json").read_text()))
"""


def plain(config: RunConfig) -> RunConfig:
    """Without dropout, which follows the number of micro-batches."""
    return replace(config, model=classic(layers=2, dim=16, hidden=32, heads=2, dropout=0.0))


def recipe(folder: Path, **train: Any) -> str:
    """The digits, watched; its name on the command line."""
    config = plain(train_made.config(train_made.corpus(folder / "corpus"), **train))
    (folder / "config.json").write_text(json.dumps(to_dict(config)))
    (folder / "watched.py").write_text(WATCHED)
    hold(folder, 10**9)
    return f"{folder / 'watched.py'}:digits"


def prepared(alone: Path, run: Path) -> Path:
    """A run folder with the data of the other."""
    run.mkdir()
    (run / "data").symlink_to(alone / "data")
    return run


def hold(folder: Path, step: int) -> None:
    """Have every process wait before this step."""
    new = folder / "limit.new"
    new.write_text(str(step))
    new.replace(folder / "limit")


def environment(run: Path) -> dict[str, str]:
    """Of whatever trains in `run`."""
    (run / "seen").mkdir(parents=True, exist_ok=True)
    return {**clean_env(), "OMP_NUM_THREADS": "1", "SEEN": str(run / "seen")}


class Machines:
    """Machines by name.

    Args:
        spec: the recipe. `words`: for torchrun, of its rendezvous.
    """

    def __init__(self, spec: str, run: Path, words: Sequence[str]) -> None:
        self.run = run
        self._command = [str(BIN / "torchrun"), "--nproc-per-node", "1", *words]
        self._command += ["-m", "--", "m4nmt", "train", spec, "--run", str(run)]
        self._agents: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, after: int = 0) -> None:
        """Start one.

        Args:
            after: a port; wait until an earlier one has opened it.
        """
        if after:
            until(lambda: _open(after))
        with (self.run.parent / f"{name}.log").open("w") as log:
            self._agents[name] = subprocess.Popen(
                self._command,
                env=environment(self.run),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def lose(self, name: str) -> None:
        """All of its processes are gone at once."""
        agent = psutil.Process(self._agents[name].pid)
        for process in [agent, *agent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._agents[name].wait()

    def behead(self, name: str) -> None:
        """Its torchrun is killed, and nothing else."""
        self._agents[name].kill()

    def tell(self, name: str) -> None:
        """It is told to leave (SIGTERM)."""
        self._agents[name].send_signal(signal.SIGTERM)

    def codes(self, timeout: float = 120) -> dict[str, int]:
        """Exit codes, once all have ended."""
        end = time.monotonic() + timeout
        return {
            name: agent.wait(max(0.1, end - time.monotonic()))
            for name, agent in self._agents.items()
        }

    def clear(self) -> None:
        """Leave no process."""
        for name, agent in self._agents.items():
            if agent.poll() is None:
                self.lose(name)

    def said(self) -> str:
        """What all of them wrote, for a failing test."""
        logs = sorted(self.run.parent.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in logs)


@contextlib.contextmanager
def machines(spec: str, run: Path, *words: str) -> Iterator[Machines]:
    """No machine yet; none is left at the end."""
    made = Machines(spec, run, words)
    try:
        yield made
    except BaseException:
        print(made.said())
        raise
    finally:
        made.clear()


def _open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def seen(run: Path) -> list[dict[str, Any]]:
    """Shares of steps that were computed, in their order."""
    lines = []
    for path in (run / "seen").glob("*.jsonl"):
        for line in path.read_text().splitlines():
            with contextlib.suppress(ValueError):  # torn: its process was killed
                lines.append(json.loads(line))
    return sorted(lines, key=lambda line: float(line["time"]))


def until_seen(run: Path, world: int, step: int) -> None:
    """Wait until so many processes have computed this step together."""
    until(lambda: _shares(run, world, step) == world, timeout=150)


def _shares(run: Path, world: int, step: int) -> int:
    return sum((line["world"], line["step"]) == (world, step) for line in seen(run))


def examples(run: Path) -> dict[int, list[Any]]:
    """Examples of every step in the order of its global batch; a step that was computed again, in
    whatever world, had the same."""
    shares: dict[tuple[int, int], dict[int, list[Any]]] = defaultdict(dict)
    for line in seen(run):
        real = [row for row in line["rows"] if row[2] >= 0]
        shares[line["step"], line["world"]][line["rank"]] = real
    steps: dict[int, list[Any]] = {}
    for (step, world), ranks in sorted(shares.items()):
        if len(ranks) == world:  # else it was killed in this one
            rows = [row for rank in range(world) for row in ranks[rank]]
            assert steps.setdefault(step, rows) == rows, f"step {step} in a world of {world}"
    return steps


def took_seconds(run: Path) -> float:
    """The longest time in which no step was computed."""
    times = [float(line["time"]) for line in seen(run)]
    return max(b - a for a, b in pairwise(times))


def alone(spec: str, run: Path) -> None:
    """The run on one process."""
    subprocess.run(
        [sys.executable, "-m", "m4nmt", "train", spec, "--run", str(run)],
        env=environment(run),
        check=True,
        capture_output=True,
    )
