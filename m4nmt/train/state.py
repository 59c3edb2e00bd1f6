"""The training state as tensors and blobs, and back: all that a resumed run must know.

Weights and moments go as tensors; counters, position in the data, the windows of the guard, sums
of the unfinished interval, memory of early stopping and the list of snapshots as one JSON blob, in
which Python's floats are exact. Every random number of a step follows from (seed, step), so none
need be saved; the generator's state for the coming step is, and must be derived equal.
Not its job: files (checkpoint.store), the run's identity (identity).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from m4nmt.checkpoint.load import restore as read
from m4nmt.core.config import parse_json
from m4nmt.data.loader import LoaderState
from m4nmt.optim.state import tensors as optimizer_tensors
from m4nmt.train.interval import Interval
from m4nmt.train.snapshots import Snapshots
from m4nmt.train.trainer import Counters, Trainer, TrainError
from m4nmt.train.validate import Stopping

STATE, RANDOM = "state.json", "random.bin"
FORMAT = 2


@dataclass
class State:
    """The parts of a run that change as it trains.

    Attributes:
        rewinds: times that the run had gone back; told by the journal, not by checkpoints, which
            only say it of themselves.
    """

    trainer: Trainer
    interval: Interval
    stopping: Stopping
    snapshots: Snapshots
    position: LoaderState
    rewinds: int = 0

    @property
    def step(self) -> int:
        """Steps attempted."""
        return self.trainer.counters.attempted

    def tensors(self) -> dict[str, Tensor]:
        """Weights and moments: the tensors themselves."""
        trainer = self.trainer
        model = {f"model.{n}": p.detach() for n, p in trainer.engine.named_parameters()}
        moments = {f"optim.{n}": t for n, t in optimizer_tensors(trainer.optimizer).items()}
        return model | moments

    def blobs(self) -> dict[str, bytes]:
        """Everything else."""
        data = {
            "format": FORMAT,
            "rewinds": self.rewinds,
            "counters": asdict(self.trainer.counters),
            "position": asdict(self.position),
            "guard": self.trainer.guard.state(),
            "interval": self.interval.state(),
            "stopping": self.stopping.state(),
            "snapshots": self.snapshots.state(),
        }
        return {STATE: json.dumps(data).encode(), RANDOM: self._random()}

    def restart(self) -> None:
        """Be as a run that begins."""
        engine, trainer = self.trainer.engine, self.trainer
        engine.first_weights()
        engine.updated()
        for moment in optimizer_tensors(trainer.optimizer).values():
            moment.zero_()  # as `optim.build` made it
        trainer.counters = Counters()
        trainer.guard.clear()
        self.position = LoaderState()
        self.interval.clear()
        self.stopping = Stopping(self.stopping.patience)
        self.snapshots.load([], 0)

    def restore(self, checkpoint: Path) -> None:
        """Take over a verified checkpoint.

        Raises:
            CheckpointError: it belongs to another model or optimiser.
            TrainError: it is of a newer format, or its random numbers are not ours.
        """
        blobs = read(checkpoint, self.tensors())
        self.trainer.engine.updated()
        data: dict[str, Any] = parse_json(blobs[STATE].decode(), str(checkpoint / STATE))
        if data["format"] != FORMAT:
            raise TrainError(
                f"{checkpoint}: state of format {data['format']}, this m4nmt reads {FORMAT}"
            )
        self.trainer.counters = Counters(**data["counters"])
        self.position = LoaderState(**data["position"])
        self.trainer.guard.load(data["guard"])
        self.interval.load(data["interval"])
        self.stopping.load(data["stopping"])
        self.snapshots.load(data["snapshots"], self.step)
        if blobs[RANDOM] != self._random():
            raise TrainError(
                f"{checkpoint}: the random numbers of step {self.step} are not those of the run "
                "that saved it; go on with the seed, device and torch that it was begun with"
            )

    def _random(self) -> bytes:
        """The generators' states with which the coming step will begin."""
        engine = self.trainer.engine
        engine.seed_step(self.step)
        states = [torch.get_rng_state()]
        if engine.device.type == "cuda":
            states.append(torch.cuda.get_rng_state(engine.device))
        return b"".join(state.numpy().tobytes() for state in states)
