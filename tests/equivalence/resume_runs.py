"""Runs with spikes in them, pictures of a run as a kill would leave it, and what must be equal.

Also a program: `resume_runs.py MANIFEST RUN...` goes on with runs, its global generators dirty.
"""

import hashlib
import json
import random
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import train_made

from m4nmt.data.types import Batch
from m4nmt.parallel.engine import StepLoss
from m4nmt.parallel.laid import Laid
from m4nmt.train.run import Outcome, train
from m4nmt.train.session import Session
from m4nmt.train.settings import GuardConfig, RunConfig

STEPS = 80
SPIKES = (20, 40)  # steps whose gradient is a thousand times too large
WORSE = range(30, 60)  # steps at which validation finds a far larger loss


def recipe(manifest: Path, **changes: Any) -> RunConfig:
    """Everything that has a memory is on: guard, interval, early stopping, snapshots, monitors."""
    settings: dict[str, Any] = {
        "steps": STEPS,
        "log_every": 3,
        "validate_every": 8,
        "validate_rows": 4,
        "early_stopping": 50,
        "average": 6,
        "average_every": 12,
        "monitor_every": 11,
        "guard": GuardConfig(window=32, armed=16),
        "choose": "average",
    }
    return train_made.config(manifest, **(settings | changes))


@contextmanager
def accidents() -> Iterator[None]:
    """Spikes of the gradient and bad validations, at their steps."""
    step, validation = Laid.step, Session.validation

    def spiked(self: Laid, batch: Batch) -> StepLoss:
        found = step(self, batch)
        if self._step.number in SPIKES:
            self.scale_grads(1000.0)
        return found

    def worsened(self: Session) -> dict[str, Any] | None:
        found = validation(self)
        assert found is not None
        return found | {"loss": found["loss"] + 10 * (self.state.step in WORSE)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Laid, "step", spiked)
        patch.setattr(Session, "validation", worsened)
        yield


@contextmanager
def pictures(run: Path, at: tuple[int, ...], late: int = 2) -> Iterator[dict[int, Path]]:
    """Save at these steps (and the first end of a block); copy the run `late` steps after."""
    taken: dict[int, Path] = {}
    saved: list[int] = []
    after_step = Session._after_step

    def watched(self: Session) -> None:
        after_step(self)
        step = self.state.step
        block_end = self.state.position.index == 0 and not any(s > max(at) for s in saved)
        if step in at or (block_end and step > max(at)):
            self.save()
            saved.append(step)
        if step - late in saved:
            taken[step - late] = run.with_name(f"killed-{step - late}")
            shutil.copytree(run, taken[step - late])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "_after_step", watched)
        yield taken


def result(run: Path, step: int = STEPS) -> dict[str, Any]:
    """All that must be equal to the bit: records, the state at a step, the model at the end."""
    checkpoint = run / "checkpoints" / f"step-{step:010d}"
    if not checkpoint.exists():
        return {"failed": run.name}
    told = [*train_made.records(run), *train_made.events(run, "refused")]
    told += [*train_made.records(run, "validation"), *train_made.records(run, "monitor")]
    refused = {event["step"] for event in told if event.get("event") and event["step"] <= step}
    return {
        "records": [line for line in told if "kind" in line and line["step"] <= step],
        "refused": sorted(refused),
        "state": json.loads((checkpoint / "state.json").read_text()),
        "random": _hash(checkpoint / "random.bin"),
        "tensors": {path.name: _hash(path) for path in (checkpoint / "dcp").glob("*.distcp")},
        "model": _hash(run / "model" / "model.safetensors") if step == STEPS else None,
    }


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def dirty(seed: int) -> None:
    """Leave every global generator somewhere else."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    random.random(), np.random.rand(3), torch.rand(3)


def go_on(manifest: Path, run: Path, seed: int = 7, **changes: Any) -> Outcome:
    """Resume (or begin) with dirty generators."""
    dirty(seed)
    with accidents():
        return train(recipe(manifest, **changes), run)


if __name__ == "__main__":
    for number, folder in enumerate(sys.argv[2:]):
        go_on(Path(sys.argv[1]), Path(folder), seed=number)
