"""Small runs over bad data, and what must be equal of them to the bit.

The measure is a run that never saw the bad batches, because its journal says from the start that
they are left out.
"""

import json
import math
import shutil
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import train_made

from m4nmt.data.types import Batch
from m4nmt.model.settings import classic
from m4nmt.parallel.engine import StepLoss
from m4nmt.parallel.laid import Laid
from m4nmt.train.journal import Journal
from m4nmt.train.run import train
from m4nmt.train.settings import GuardConfig, Rewind, RunConfig

STEPS = 18
KINDS = ("rewound", "out_of_memory")  # events that say what is left out
BAD = range(12, 15)  # batches, by their number
SMALL = Rewind(margin=3, skip=4, most_skip=6, region=20)
Change = Callable[[Laid, train_made.Step, Batch], StepLoss]


def recipe(corpus: Path, **changes: Any) -> RunConfig:
    given: dict[str, Any] = {
        "steps": STEPS,
        "save_every": 4,
        "keep": 99,
        "guard": GuardConfig(armed=6, window=8, sigma=20.0, rewind=SMALL),
    }
    made = train_made.config(corpus, **(given | changes))
    return replace(made, model=classic(layers=1, dim=16, hidden=32, heads=2, dropout=0.1))


def key(batch: Batch) -> bytes:
    return batch.src_BS.numpy().tobytes() + batch.tgt_BT.numpy().tobytes()


def poison(known: dict[bytes, int], bad: Collection[int], seen: list[int]) -> Change:
    """Batches, wherever they come, whose loss and gradients are not finite."""

    def change(engine: Laid, step: train_made.Step, batch: Batch) -> StepLoss:
        found = step(engine, batch)
        seen.append(known[key(batch)])
        if seen[-1] in bad:
            engine.scale_grads(math.nan)
            return found._replace(loss=found.loss * math.nan, suspects=(0,), shares=(math.nan,))
        return found

    return change


def shuffled(known: dict[bytes, int], bad: Collection[int], seen: list[int]) -> Change:
    """Batches whose labels are pieces of other words."""

    def change(engine: Laid, step: train_made.Step, batch: Batch) -> StepLoss:
        seen.append(known[key(batch)])
        if seen[-1] in bad:
            out_BT = batch.out_BT
            mixed_BT = torch.where(out_BT > 10, 290 + 10 - out_BT, out_BT)
            batch = Batch(**(vars(batch) | {"out_BT": mixed_BT}))
        return step(engine, batch)

    return change


def never_seen(run: Path, config: RunConfig) -> Path:
    """A run that leaves out from the start what another one has in its journal by now."""
    other = run.with_name(f"{run.name}-never-seen")
    shutil.copytree(run / "data", other / "data")
    journal = Journal(other / "journal.jsonl")
    for event in (event for kind in KINDS for event in train_made.events(run, kind)):
        facts = {k: v for k, v in event.items() if k not in ("event", "step", "time")}
        journal.record(event["event"], 0, **facts)
    train(config, other)
    return other


def end(run: Path, step: int = STEPS) -> dict[str, Any]:
    """All that must be equal to the bit at a step."""
    checkpoint = run / "checkpoints" / f"step-{step:010d}"
    state = json.loads((checkpoint / "state.json").read_text())
    files = sorted((checkpoint / "dcp").glob("*.distcp"))
    return {"state": state, "tensors": [path.read_bytes() for path in files]}


def newest(run: Path) -> list[dict[str, Any]]:
    """The record that counts of each step, without saying how often the run had gone back."""
    found = {line["step"]: line for line in train_made.records(run)}  # later lines go back less
    return [{k: v for k, v in found[n].items() if k != "rewinds"} for n in sorted(found)]
