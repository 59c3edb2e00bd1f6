"""One training step over an Engine: gradients, verdict, clip, learning rate, update.

Gradients that are not finite are computed once more (Megatron-LM's rerun): a step repeats itself to
the bit, so that a second answer which differs is the hardware's fault, and an equal one is not.
Not its job: where batches come from, devices (the engine), cadence, files and records (the run).

Shape letters: B rows.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from m4nmt.data.types import Batch
from m4nmt.parallel.engine import Engine, Rows, StepLoss
from m4nmt.train.clip import Clip, total
from m4nmt.train.guard import Guard, Verdict
from m4nmt.train.monitor import Reading, routed

# How far apart two runs of a step may be, relative to 1, where sums have no fixed order (GPUs).
SAME = 1e-2


class TrainError(RuntimeError):
    """Training cannot go on; says at which step, why, and how to mend it."""


class HardwareError(TrainError):
    """A processor or a memory is at fault: the same step or weights, and other numbers.

    Attributes:
        ranks: whose; all of them where it is not known.
    """

    def __init__(self, message: str, ranks: Sequence[int]) -> None:
        super().__init__(message)
        self.ranks = tuple(ranks)


class MemoryFullError(TrainError):
    """There was no memory for the gradients of a batch; weights and moments are what they were."""


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


class Gradients(NamedTuple):
    """What one forward and backward pass gave, the gradients themselves aside; equal on all ranks.

    Attributes:
        norms: of the gradient of each parameter.
    """

    told: StepLoss
    norms: dict[str, float]

    @property
    def finite(self) -> bool:
        """Whether everything is."""
        loss = bool(self.told.loss.isfinite())
        return self.told.finite and loss and math.isfinite(total(self.norms))

    def same(self, other: "Gradients", tolerance: float) -> bool:
        """Whether another pass gave the same; what is not finite must not be so alike."""
        told, others = self.told, other.told
        return (
            _close(told.loss, others.loss, tolerance)
            and _close(told.rows.nll_B, others.rows.nll_B, tolerance)
            and _close(_vector(told.shares), _vector(others.shares), tolerance)
            and self.norms.keys() == other.norms.keys()
            and _close(_vector(self.norms.values()), _vector(other.norms.values()), tolerance)
        )

    def differing(self, other: "Gradients", tolerance: float) -> tuple[int, ...]:
        """Ranks whose own share of the loss another pass did not repeat."""
        pairs = zip(self.told.shares, other.told.shares, strict=True)
        return tuple(
            rank
            for rank, (one, two) in enumerate(pairs)
            if not _close(_vector([one]), _vector([two]), tolerance)
        )


class Step(NamedTuple):
    """What a step gave.

    Attributes:
        loss: minimised, per target token of the global batch.
        rows: of the global batch.
        norm: of the gradient, before clipping; `norms`: of each parameter's.
        lr: learning rate of the step.
        readings: of the monitors, where asked for and the update was made.
        suspects: ranks whose own loss was not finite.
    """

    loss: float
    rows: Rows
    norm: float
    norms: Mapping[str, float]
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
            MemoryFullError: memory ran out before the update.
            HardwareError: a step that was not finite came out otherwise when it was repeated.
            TrainError: memory ran out in the update.
        """
        counters = self.counters
        lr = self.schedule(counters.attempted)
        with _memory_explained(batch, counters.attempted, MemoryFullError):
            with self.engine.watched() if watch else nullcontext({}) as experts:
                found = self._gradients(batch)
            if not found.finite:
                self._repeat(batch, found)
        told, norm = found.told, total(found.norms)
        verdict = self.guard.judge(float(told.loss), norm, told.finite)
        with _memory_explained(batch, counters.attempted, TrainError):
            readings = self._update(found.norms, lr, watch) if verdict.accept else None
        if readings is not None and experts:
            readings["experts"] = {name: routed(seen) for name, seen in experts.items()}
        counters.attempted += 1
        counters.applied += verdict.accept
        loss = float(told.loss)
        return Step(loss, told.rows, norm, found.norms, lr, verdict, readings, told.suspects)

    def forget(self) -> None:
        """Let go of the memory of gradients."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.engine.device.type == "cuda":
            torch.cuda.empty_cache()

    def _gradients(self, batch: Batch) -> Gradients:
        """Forward and backward; the same each time for the same step and weights."""
        self.engine.seed_step(self.counters.attempted)
        told = self.engine.step(batch)
        return Gradients(told, self.engine.grad_norms())

    def _repeat(self, batch: Batch, first: Gradients) -> None:
        """Compute a step that is not finite again.

        Raises:
            HardwareError: it differs.
        """
        second = self._gradients(batch)
        exact = self.engine.device.type == "cpu" or torch.are_deterministic_algorithms_enabled()
        tolerance = 0.0 if exact else SAME
        if first.same(second, tolerance):
            return
        ranks = first.differing(second, tolerance) or tuple(range(len(first.told.shares)))
        how = "was finite" if second.finite else "gave other numbers"
        raise HardwareError(
            f"step {self.counters.attempted} was not finite, and {how} when it was repeated with "
            "the same batch and random numbers; a processor or a memory is at fault",
            ranks,
        )

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
def _memory_explained(batch: Batch, step: int, kind: type[TrainError]) -> Iterator[None]:
    """Turn every way in which torch and Python run out of memory into one error."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and "can't allocate memory" not in text and "out of memory" not in text:
            raise
        rows, src, tgt = batch.shape
        raise kind(
            f"step {step}: out of memory on a batch of {rows} rows, {src} source and {tgt} target "
            "tokens long; raise parallel.microbatches, or lower data.blocks.tokens. The last "
            "checkpoint stands"
        ) from error


def _vector(values: Iterable[float]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float64)


def _close(one: Tensor, other: Tensor, tolerance: float) -> bool:
    return one.shape == other.shape and torch.allclose(
        one, other, rtol=tolerance, atol=tolerance, equal_nan=True
    )
