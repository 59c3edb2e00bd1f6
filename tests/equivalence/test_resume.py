"""A resumed run is, bit for bit, the run that was not killed; and the test of it can fail."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import resume_runs
import torch
import train_made
from resume_runs import go_on, result

from m4nmt.checkpoint import manifest as manifests
from m4nmt.checkpoint.load import newest_good
from m4nmt.core.files import write_atomic
from m4nmt.data.loader import LoaderState
from m4nmt.optim.state import tensors as moments
from m4nmt.parallel.laid import Laid
from m4nmt.train.guard import Guard
from m4nmt.train.state import State
from m4nmt.train.trainer import TrainError

HERE = Path(__file__).resolve()
pytestmark = pytest.mark.xdist_group("resume")  # one reference for all
# in the warm-up, right after a refused step, in the middle of an interval; a block's end is added
AT = (1, 21, 25)
MUTATED, SEEN = 25, 48  # resumed here, compared there (all that is periodic is due at 48)


class Reference(NamedTuple):
    """The run that was not killed, and pictures of it by step of the newest checkpoint."""

    manifest: Path
    run: Path
    killed: dict[int, Path]
    result: dict[str, object]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("resume")
    manifest = train_made.corpus(folder / "corpus")
    run = folder / "whole"
    with resume_runs.pictures(run, (*AT, SEEN)) as killed:
        outcome = go_on(manifest, run, keep=1000)
    assert outcome.status == "finished"
    return Reference(manifest, run, killed, result(run))


def a_copy(picture: Path, name: str) -> Path:
    run = picture.with_name(f"{picture.name}-{name}")
    shutil.copytree(picture, run)
    return run


def test_the_reference_has_what_could_go_wrong(reference: Reference) -> None:
    assert reference.result["refused"] == [step + 1 for step in resume_runs.SPIKES]
    assert len(reference.killed) == len(AT) + 2
    best = [r["best"] for r in train_made.records(reference.run, "validation")]
    assert True in best[: MUTATED // 8]
    assert True not in best[MUTATED // 8 : SEEN // 8]
    assert resume_runs.STEPS - MUTATED >= 50


def test_resumed_in_a_new_process_is_bitwise_equal(reference: Reference) -> None:
    """Begun anew (k = 0) and resumed at every picture, with dirty generators."""
    anew = reference.run.with_name("anew")
    shutil.copytree(reference.run / "data", anew / "data")
    pictures = [picture for step, picture in reference.killed.items() if step != SEEN]
    runs = [anew, *(a_copy(picture, "process") for picture in pictures)]
    path = f"{HERE.parents[1]}{os.pathsep}{HERE.parent}"
    done = subprocess.run(
        [sys.executable, str(HERE.parent / "resume_runs.py"), str(reference.manifest), *runs],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for run in runs:
        assert result(run) == reference.result, run.name


# ---- each thing left out of the state must be seen


def leave_weights(state: State, restore: Callable[[], None]) -> None:
    fresh = {n: p.detach().clone() for n, p in state.trainer.engine.named_parameters()}
    restore()
    with torch.no_grad():
        for name, p in state.trainer.engine.named_parameters():
            p.copy_(fresh[name])


def leave_moments(state: State, restore: Callable[[], None]) -> None:
    restore()
    for tensor in moments(state.trainer.optimizer).values():
        tensor.zero_()


def leave_position(state: State, restore: Callable[[], None]) -> None:
    restore()
    state.position = LoaderState()


def leave_guard(state: State, restore: Callable[[], None]) -> None:
    restore()
    state.trainer.guard = Guard(state.trainer.guard.config)


def leave_interval(state: State, restore: Callable[[], None]) -> None:
    restore()
    state.interval.clear()


def leave_stopping(state: State, restore: Callable[[], None]) -> None:
    fresh = state.stopping.state()
    restore()
    state.stopping.load(fresh)


def leave_snapshots(state: State, restore: Callable[[], None]) -> None:
    restore()
    state.snapshots.load([], state.step)


def leave_applied(state: State, restore: Callable[[], None]) -> None:
    restore()
    state.trainer.counters.applied = 0


def leave_tokens(state: State, restore: Callable[[], None]) -> None:
    restore()
    state.trainer.counters.target_tokens = 0


def leave_attempted(state: State, restore: Callable[[], None]) -> None:
    restore()
    state.trainer.counters.attempted -= 1


def leave_random(state: State, restore: Callable[[], None]) -> None:
    restore()
    engine = state.trainer.engine
    assert isinstance(engine, Laid)
    engine._step.seed_segment = lambda piece, segment: None  # type: ignore[method-assign]


LEFT_OUT = [
    leave_weights,
    leave_moments,
    leave_position,
    leave_guard,
    leave_interval,
    leave_stopping,
    leave_snapshots,
    leave_applied,
    leave_tokens,
    leave_attempted,
    leave_random,
]


def test_resumed_here_is_bitwise_equal(reference: Reference) -> None:
    """The control of the mutations below: nothing left out, nothing differs."""
    run = a_copy(reference.killed[MUTATED], "control")
    go_on(reference.manifest, run, steps=SEEN)
    assert result(run, SEEN) == result(reference.run, SEEN)


@pytest.mark.parametrize("leave", LEFT_OUT, ids=lambda leave: leave.__name__)
def test_leaving_anything_out_is_seen(
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
    leave: Callable[[State, Callable[[], None]], None],
) -> None:
    run = a_copy(reference.killed[MUTATED], leave.__name__)
    restore = State.restore
    monkeypatch.setattr(
        State, "restore", lambda self, path: leave(self, lambda: restore(self, path))
    )
    go_on(reference.manifest, run, steps=SEEN)
    assert result(run, SEEN) != result(reference.run, SEEN)


def test_one_bit_of_a_saved_generator_is_seen(reference: Reference) -> None:
    """With a manifest made to fit, so that no hash gives it away."""
    run = a_copy(reference.killed[MUTATED], "bit")
    found = newest_good(run / "checkpoints")
    assert found is not None
    data = bytearray((found.path / "random.bin").read_bytes())
    data[100] ^= 1
    write_atomic(found.path / "random.bin", bytes(data))
    (found.path / "manifest.json").unlink()
    write_atomic(found.path / "manifest.json", manifests.describe(found.path, found.step).encode())
    with pytest.raises(TrainError, match="random numbers"):
        go_on(reference.manifest, run)


def test_a_damaged_checkpoint_is_passed_over(reference: Reference) -> None:
    """The one before it leads to the same end, and the damage is told."""
    run = a_copy(reference.killed[MUTATED], "damaged")
    path = next((run / "checkpoints" / f"step-{MUTATED:010d}" / "dcp").glob("*.distcp"))
    path.write_bytes(path.read_bytes()[:-100])
    go_on(reference.manifest, run)
    resumed = train_made.events(run, "resumed")[0]
    assert resumed["step"] == 21
    assert f"step-{MUTATED:010d}" in resumed["skipped"][0]
    assert result(run) == reference.result


# ---- killed, again and again


def killed_until_done(manifest: Path, run: Path, kills: int, longest: float) -> int:
    """Train in children that are killed at random times; the last may finish. Number of kills."""
    draw = random.Random(11)
    for number in range(kills + 1):
        child = os.fork()
        if child == 0:
            try:
                go_on(manifest, run, seed=number, save_every=3)
            finally:
                os._exit(0)
        if number == kills:
            os.waitpid(child, 0)
            return kills
        deadline = time.monotonic() + draw.uniform(0.2, longest)
        while time.monotonic() < deadline:
            if os.waitpid(child, os.WNOHANG)[0]:
                return number
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return kills


@pytest.mark.parametrize(
    ("kills", "longest"), [(8, 1.5), pytest.param(60, 1.5, marks=pytest.mark.slow)]
)
def test_killed_at_random_times_it_ends_the_same(
    reference: Reference, tmp_path: Path, kills: int, longest: float
) -> None:
    run = tmp_path / "run"
    shutil.copytree(reference.run / "data", run / "data")
    assert killed_until_done(reference.manifest, run, kills, longest) > 2
    assert result(run) == reference.result


def killed_at_sync(manifest: Path, run: Path, number: int) -> bool:
    """Whether a child lived to its end that is killed when it makes a file durable the n-th time:
    in the middle of checkpoints, snapshots, records, the journal and the model."""
    child = os.fork()
    if child == 0:
        sync, left = os.fsync, [number]

        def counted(handle: int) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            sync(handle)

        os.fsync = counted
        try:
            go_on(manifest, run, save_every=7)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    "numbers",
    [
        (9, 14, 20, 31, 47),
        pytest.param(tuple(range(1, 120, 2)), marks=pytest.mark.slow),
    ],
    ids=["few", "many"],
)
def test_killed_while_writing_it_ends_the_same(
    reference: Reference, tmp_path: Path, numbers: tuple[int, ...]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(reference.run / "data", run / "data")
    assert not any(killed_at_sync(reference.manifest, run, number) for number in numbers[:3])
    for number in numbers[3:]:
        killed_at_sync(reference.manifest, run, number)
    go_on(reference.manifest, run)
    assert result(run) == reference.result
