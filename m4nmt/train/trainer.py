"""One training step over an Engine: gradients, verdict, clip, learning rate, update.

Not its job: where batches come from, devices (the engine), cadence, files and records (the run).

Shape letters: B rows.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from m4nmt.data.types import Batch
from m4nmt.parallel.engine import Engine, Rows
from m4nmt.train.clip import Clip, total
from m4nmt.train.guard import Guard, Verdict
from m4nmt.train.monitor import Reading, routed


class TrainError(RuntimeError):
    """Training cannot go on; says at which step, why, and how to mend it."""


@dataclass
class Counters:
    """How far training has come.

    Attributes:
        attempted: steps taken; data, learning rate and dropout follow it.
        applied: steps whose update was made.
        target_tokens, source_tokens: real ones, of all steps attempted.
    """

    attempted: int = 0
    applied: int = 0
    target_tokens: int = 0
    source_tokens: int = 0


class Step(NamedTuple):
    """What a step gave.

    Attributes:
        loss: minimised, per target token of the global batch.
        rows: of the global batch.
        norm: of the gradient, before clipping.
        lr: learning rate of the step.
        readings: of the monitors, where asked for and the update was made.
        suspects: ranks whose own loss was not finite.
    """

    loss: float
    rows: Rows
    norm: float
    lr: float
    verdict: Verdict
    readings: dict[str, Any] | None
    suspects: tuple[int, ...]


class Trainer:
    """Takes steps.

    A refused step leaves weights and moments as they were, bit for bit: the optimiser is not
    called at all (a zero gradient would still move weights by their momentum). Data, learning rate
    and dropout move on.
    """

    def __init__(
        self,
        engine: Engine,
        optimizer: torch.optim.Optimizer,
        schedule: Callable[[int], float],
        clip: Clip,
        guard: Guard,
    ) -> None:
        self.engine = engine
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip = clip
        self.guard = guard
        self.counters = Counters()

    def step(self, batch: Batch, watch: bool = False) -> Step:
        """Train on one global batch.

        Args:
            watch: take the readings of the monitors around the update.

        Raises:
            TrainError: memory ran out.
        """
        counters = self.counters
        lr = self.schedule(counters.attempted)
        with _memory_explained(batch, counters.attempted):
            self.engine.seed_step(counters.attempted)
            with self.engine.watched() if watch else nullcontext({}) as experts:
                result = self.engine.step(batch)
            norms = self.engine.grad_norms()
            loss, norm = float(result.loss), total(norms)
            verdict = self.guard.judge(loss, norm, result.finite)
            readings = self._update(norms, lr, watch) if verdict.accept else None
            if readings is not None and experts:
                readings["experts"] = {name: routed(found) for name, found in experts.items()}
        counters.attempted += 1
        counters.applied += verdict.accept
        return Step(loss, result.rows, norm, lr, verdict, readings, result.suspects)

    def _update(self, norms: Mapping[str, float], lr: float, watch: bool) -> dict[str, Any] | None:
        """Apply the gradients that lie in the parameters."""
        reading = Reading(self.engine, norms) if watch else None
        self.clip(self.engine, norms)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.engine.updated()
        return reading.finish() if reading else None


@contextmanager
def _memory_explained(batch: Batch, step: int) -> Iterator[None]:
    """Turn every way in which torch and Python run out of memory into one message."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and "can't allocate memory" not in text and "out of memory" not in text:
            raise
        rows, src, tgt = batch.shape
        raise TrainError(
            f"step {step}: out of memory on a batch of {rows} rows, {src} source and {tgt} target "
            "tokens long; raise parallel.microbatches, or lower data.blocks.tokens. The last "
            "checkpoint stands"
        ) from error
