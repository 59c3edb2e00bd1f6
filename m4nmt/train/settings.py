"""The train section of a recipe, and the recipe itself: RunConfig."""

from dataclasses import dataclass, field
from typing import Literal

from m4nmt.core.stages import EvaluateConfig, SearchConfig
from m4nmt.data.settings import DataConfig
from m4nmt.model.settings import ModelConfig
from m4nmt.optim.settings import AdamW, InverseSqrt, Optim, Schedule
from m4nmt.parallel.settings import Disk, ParallelConfig


@dataclass(frozen=True, kw_only=True)
class NoClip:
    """Gradients as they come."""


@dataclass(frozen=True, kw_only=True)
class GlobalClip:
    """Scale all gradients when their global L2 norm is above `norm`."""

    norm: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ParameterClip:
    """Scale each parameter's gradient when its own L2 norm is above `norm` (lingvo)."""

    norm: float = 1.0


Clip = NoClip | GlobalClip | ParameterClip


@dataclass(frozen=True, kw_only=True)
class NoRewind:
    """Where refusing single steps does not help, the run stops."""


@dataclass(frozen=True, kw_only=True)
class Rewind:
    """Where refusing single steps does not help, go back and leave the batches there out (PaLM,
    arXiv:2204.02311, section 5.1: back about 100 steps, 200 to 500 batches left out).

    Attributes:
        margin: steps before the onset of the trouble; to a checkpoint at least as old as that the
            run goes back, and from there batches are left out.
        skip: batches left out behind the onset; doubled at each rewind in the same region, up to
            `most_skip`.
        region: trouble that begins within so many batches of those left out is the same trouble.
        per_region, per_run: rewinds before the run stops.
        rate: factor on the learning rate from the second rewind in a region on, for `rate_steps`
            steps; 1 is off.
    """

    margin: int = 100
    skip: int = 200
    most_skip: int = 500
    region: int = 1000
    per_region: int = 3
    per_run: int = 10
    rate: float = 1.0
    rate_steps: int = 1000

    def __post_init__(self) -> None:
        if min(self.margin, self.region, self.rate_steps) < 0 or self.skip < 1:
            raise ValueError("need margin, region and rate_steps >= 0, and skip >= 1")
        if self.most_skip < self.skip or not 1 <= self.per_region <= self.per_run:
            raise ValueError("need most_skip >= skip and 1 <= per_region <= per_run")
        if not 0 < self.rate <= 1:
            raise ValueError("need 0 < rate <= 1")


@dataclass(frozen=True, kw_only=True)
class GuardConfig:
    """When a step is refused (median and MAD, one-sided), and when that is not enough.

    Attributes:
        sigma: refuse a loss or log-norm this many robust deviations above the median; 0 is off, and
            `rise` with it (a non-finite loss or gradient is always refused).
        window: accepted values remembered; `armed`: needed before anything is refused.
        patience: refused steps in a row before the run goes back.
        rise: nats by which the mean loss of about `fast` steps may lie above that of about `slow`
            steps, and still rise, before the run goes back; 0 is off.
        refusals: refused steps in any 10,000; beyond, the run stops.
        memory_skips: batches for which memory ran out that a run leaves out before it stops.
        rewind: how to go back.
    """

    sigma: float = 8.0
    window: int = 128
    armed: int = 64
    patience: int = 3
    rise: float = 0.5
    fast: int = 20
    slow: int = 200
    refusals: int = 50
    memory_skips: int = 1
    rewind: Rewind | NoRewind = field(default_factory=Rewind)

    def __post_init__(self) -> None:
        if self.sigma < 0 or self.patience < 1 or not 2 <= self.armed <= self.window:
            raise ValueError("need sigma >= 0, patience >= 1 and 2 <= armed <= window")
        if self.rise < 0 or not 1 <= self.fast < self.slow:
            raise ValueError("need rise >= 0 and 1 <= fast < slow")
        if self.refusals < 0 or self.memory_skips < 0:
            raise ValueError("need refusals >= 0 and memory_skips >= 0")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The training loop.

    Attributes:
        steps: optimiser steps of the whole run.
        label_smoothing, z_loss: of the objective.
        log_every, validate_every, save_every: in steps; 0 is off (the last step always saves).
        validate_rows: at most this many dev examples per direction.
        early_stopping: validations without improvement before the run ends; 0 is off.
        save_in_background: go on training while a checkpoint is written.
        keep: newest training checkpoints kept. `average`: newest model snapshots averaged into the
            final model (0 or 1: none); `average_every`: steps between snapshots, 0 = save_every.
        choose: what becomes the model: the average, the weights of the lowest validation loss, the
            last ones, or whichever of these three has the lowest loss on the dev split.
        sinks: where records go; others through accelerate's trackers by name.
        workers: processes that read batches ahead; 0 reads ahead in a thread. The batches are the
            same for any number.
        monitor_every: steps between readings of the monitors; 0 is off.
        compare_every: steps between comparisons of the weights that several ranks hold; 0 is off.
        seed: of initialisation and dropout.
    """

    steps: int = 10_000
    label_smoothing: float = 0.1
    z_loss: float = 0.0
    clip: Clip = field(default_factory=GlobalClip)
    guard: GuardConfig = field(default_factory=GuardConfig)
    log_every: int = 50
    validate_every: int = 1000
    validate_rows: int = 200
    early_stopping: int = 0
    save_every: int = 1000
    save_in_background: bool = False
    keep: int = 3
    average: int = 5
    average_every: int = 0
    workers: int = 0
    monitor_every: int = 0
    compare_every: int = 100
    sinks: tuple[str, ...] = ("jsonl", "tensorboard")
    choose: Literal["lowest", "average", "best", "last"] = "lowest"
    seed: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1 or self.keep < 1 or self.workers < 0:
            raise ValueError("need steps >= 1, keep >= 1 and workers >= 0")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A recipe: everything about a run, from text to scores."""

    name: str
    data: DataConfig
    model: ModelConfig
    optim: Optim = field(default_factory=AdamW)
    schedule: Schedule = field(default_factory=InverseSqrt)
    train: TrainConfig = field(default_factory=TrainConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    def __post_init__(self) -> None:
        if not self.name or any(c in self.name for c in "/\\ "):
            raise ValueError(f"name: {self.name!r} must be a folder name without spaces")
        rows = self.data.blocks.rows_multiple
        if rows % self.parallel.microbatches:
            raise ValueError(
                f"parallel.microbatches {self.parallel.microbatches} must divide "
                f"data.blocks.rows_multiple {rows}"
            )
        if self.train.save_in_background and isinstance(self.parallel.offload, Disk):
            raise ValueError(
                "train.save_in_background copies weights and moments into memory, out of which "
                "parallel.offload=Disk keeps them; take one of them"
            )
        if self.model.vocab and self.model.vocab != self.data.tokenizer.vocab:
            raise ValueError(
                f"model.vocab {self.model.vocab} differs from data.tokenizer.vocab "
                f"{self.data.tokenizer.vocab}; set model.vocab to 0 to take the tokenizer's"
            )
