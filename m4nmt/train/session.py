"""The loop of a run: batches to steps, and what is due after each: records, validation, saves.

Not its job: building the parts or the final model (run), the step itself (trainer).
"""

import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from m4nmt.checkpoint import store as checkpoints
from m4nmt.checkpoint.load import Found
from m4nmt.checkpoint.manifest import CheckpointError, LostRanksError
from m4nmt.core import ranks
from m4nmt.core.progress import Ticker, console, progress
from m4nmt.core.ranks import LostRankError, RankError
from m4nmt.data.loader import Loader, LoaderState, fixed_batches
from m4nmt.data.settings import DataConfig
from m4nmt.data.store import Store
from m4nmt.data.types import Batch, Direction
from m4nmt.parallel.world import World
from m4nmt.train.identity import NAME, Identity
from m4nmt.train.journal import Journal
from m4nmt.train.records import Sinks, timing
from m4nmt.train.settings import TrainConfig
from m4nmt.train.signals import Wish
from m4nmt.train.state import State
from m4nmt.train.trainer import Step, TrainError
from m4nmt.train.validate import summary, validate

log = logging.getLogger(__name__)
# Times the timeout of a step: the first step compiles, validation and saving have many steps' work.
FIRST, LONG = 10.0, 30.0
Status = Literal["finished", "stopped", "failed"]


class Data(NamedTuple):
    """What is trained on and validated on."""

    store: Store
    config: DataConfig
    loader: Loader
    bands: dict[Direction, str]


class Session:
    """A run in progress.

    Args:
        folder: of the run.
        identity: saved in every checkpoint.
        world: every rank has a session; files are the leader's.

    Attributes:
        alive: told before whatever takes time how many times a usual step it may take.
        saved: step of the newest checkpoint; -1: none.
    """

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        data: Data,
        state: State,
        journal: Journal,
        sinks: Sinks,
        identity: Identity,
        world: World,
    ) -> None:
        self.folder = folder
        self.config = config
        self.data = data
        self.state = state
        self.journal = journal
        self.sinks = sinks
        self.identity = identity
        self.world = world
        self.hosts = ranks.gathered(socket.gethostname())
        self.alive: Callable[[float], None] = lambda patience: None
        self.saved = -1
        self._saving: tuple[int, checkpoints.Saving, tuple[int, ...]] | None = None
        self._clock = _Clock()

    def begin(self, found: Found | None) -> None:
        """From a checkpoint (see `State.restore`), or anew."""
        if found:
            self.state.restore(found.path)
            self.saved = found.step
        else:
            self.state.snapshots.load([], 0)

    def run(self, wish: Wish) -> Status:
        """Train until the last step, early stopping, a wish to stop, or a guard that gives up."""
        steps, state = self.config.steps, self.state
        batches = self.data.loader.batches(state.position)
        with progress("training", steps, min(state.step, steps)) as ticker:
            patience = FIRST
            stop = self.world.any(wish.wanted)
            while state.step < steps and not (state.stopping.exhausted or stop):
                self.alive(patience)
                patience = 1.0
                if not self._step(batches, ticker):
                    return "failed"
                self._after_step()
                stop = self.world.any(wish.wanted)
        self.save()
        if stop and state.step < steps and not state.stopping.exhausted:
            self.journal.write("stopped", state.step, signal=wish.signal or "on another rank")
            return "stopped"
        return "finished"

    def _step(self, batches: Iterator[tuple[LoaderState, Batch]], ticker: Ticker) -> bool:
        """One step and what was measured; False where the guard gives up."""
        state, started = self.state, time.monotonic()
        after, batch = next(batches)
        done = state.trainer.step(batch, watch=self._due(self.config.monitor_every))
        state.position = after
        source, target = state.interval.add(
            done.rows,
            batch.shape.src + batch.shape.tgt,
            done.loss,
            done.norm,
            done.verdict.accept,
        )
        state.trainer.counters.target_tokens += target
        state.trainer.counters.source_tokens += source
        self._clock.add(time.monotonic() - started, source, target)
        ticker.advance(1, self._clock.note(done.loss, self.config.steps - state.step))
        if done.readings is not None:
            readings = self._named(done.readings)
            self.sinks.write({"kind": "monitor", "step": state.step, **readings})
        if not done.verdict.accept:
            self._refused(done)
        return not state.trainer.guard.exhausted

    def _named(self, readings: dict[str, Any]) -> dict[str, Any]:
        """Readings with languages by name instead of by the id of their tag."""
        pieces = self.data.store.tokenizer.pieces
        for expert in readings.get("experts", {}).values():
            tags = expert["languages"]
            expert["languages"] = {pieces([int(tag)])[0]: found for tag, found in tags.items()}
        return readings

    def _due(self, every: int, ahead: int = 1) -> bool:
        return bool(every) and (self.state.step + ahead) % every == 0

    def _after_step(self) -> None:
        config, step = self.config, self.state.step
        last = step == config.steps
        if self._due(config.compare_every, 0):
            self._compare()
        if self._due(config.log_every, 0) or (last and config.log_every):
            self._log()
        if self._due(config.validate_every, 0) or (last and config.validate_every):
            self._validate()
        if config.average > 1 and (self._due(config.average_every or config.save_every, 0) or last):
            self._snapshot(for_average=True)
        if self._due(config.save_every, 0):
            self.save(config.save_in_background and not last)

    def _compare(self) -> None:
        """Stop where ranks that should hold the same weights do not.

        Raises:
            TrainError: names them, and the last checkpoint that was compared to be good.
        """
        found = self.state.trainer.engine.drifts()
        if not found:
            return
        step, every = self.state.step, self.config.compare_every
        strays = sorted({rank for drift in found for rank in drift.ranks})
        message = (
            f"step {step}: {', '.join(strays)} hold other weights than their replicas "
            f"({found[0].name} and {len(found) - 1} more), since step {step - every} at the "
            "earliest; a memory or a processor is at fault. Go on without that machine, from a "
            f"checkpoint of step {step - every} or before: delete later ones"
        )
        self.journal.write("drift", step, message=message, parameters=[d.name for d in found][:20])
        raise TrainError(message)

    def _refused(self, done: Step) -> None:
        directions = self.data.store.directions
        languages = sorted({str(directions[i]) for i in done.rows.direction_B.tolist() if i >= 0})
        state = self.state
        self.journal.write(
            "refused",
            state.step,
            reason=done.verdict.reason,
            loss=repr(done.loss),
            norm=repr(done.norm),
            position=[state.position.block, state.position.index],
            directions=languages[:20],
            in_a_row=state.trainer.guard.refused_in_a_row,
            not_finite_on=[f"rank {rank} ({self.hosts[rank]})" for rank in done.suspects],
        )
        log.warning("step %d refused: %s", state.step, done.verdict.reason)

    def _log(self) -> None:
        state = self.state
        line = state.interval.line()
        counters = state.trainer.counters
        self.sinks.write(
            {
                "kind": "train",
                "step": state.step,
                **line,
                "lr": state.trainer.schedule(state.step - 1),
                "applied": counters.applied,
                "total_target_tokens": counters.target_tokens,
                "timing": self._clock.timing(),
            }
        )
        state.interval.clear()

    def _validate(self) -> None:
        state, started = self.state, time.monotonic()
        found = self.validation()
        if found is None:
            return
        best = state.stopping.see(found["loss"], state.step)
        self.sinks.write(
            {
                "kind": "validation",
                "step": state.step,
                **found,
                "best": best,
                "timing": {"seconds": time.monotonic() - started},
            }
        )
        shown = ", ".join(f"{name} {loss:.3f}" for name, loss in found["band_loss"].items())
        mark = " (best)" if best else ""
        console.print(f"step {state.step}: validation loss {found['loss']:.3f}{mark}; {shown}")
        if best:
            self._snapshot(for_average=False)

    def validation(self) -> dict[str, Any] | None:
        """Losses of the present weights on the dev split; None where there is none."""
        store = self.data.store
        directions = store.split_directions("dev")
        if not directions:
            return None
        self.alive(LONG)
        rows = self.config.validate_rows
        engine = self.state.trainer.engine
        batches = fixed_batches(
            store,
            self.data.config,
            "dev",
            rows,
            rank=engine.data_rank,
            world=engine.data_world,
        )
        sums = validate(engine, batches, len(directions))
        return summary(sums, directions, self.data.bands)

    def _snapshot(self, for_average: bool) -> None:
        self.alive(LONG)
        step, snapshots = self.state.step, self.state.snapshots
        try:
            if for_average:
                snapshots.add(step)
            else:
                snapshots.take(step)
        except (OSError, RankError) as error:
            self._alarm("snapshot_failed", step, f"no snapshot of step {step}: {error}")

    def save(self, background: bool = False) -> bool:
        """Write a checkpoint unless this step has one; a fault of the disk ends nothing.

        Args:
            background: go on while it is written; its outcome is told at the next save.
        """
        self.alive(LONG)
        self._settle()
        state = self.state
        if state.step == self.saved:
            return True
        blobs = {**state.blobs(), NAME: self.identity.encode()}
        write = checkpoints.save_async if background else checkpoints.save
        try:
            done = write(
                self.folder / "checkpoints", state.step, state.tensors(), blobs, self.config.keep
            )
        except CheckpointError as error:
            self._save_failed(state.step, error)
            return False
        if isinstance(done, checkpoints.Saving):
            named = (*state.snapshots.state(), state.stopping.best_step)
            self._saving = (state.step, done, named)
        else:
            self._saved(state.step)
        return True

    def _settle(self) -> None:
        """Wait for the save in the background, if any."""
        if self._saving is None:
            return
        (step, saving, named), self._saving = self._saving, None
        try:
            saving.result()
        except CheckpointError as error:
            self._save_failed(step, error)
        else:
            self._saved(step, named)

    def _save_failed(self, step: int, error: CheckpointError) -> None:
        """A fault of the disk is told; a lost rank ends the run.

        Raises:
            LostRankError: see there.
        """
        if isinstance(error, LostRanksError):
            raise LostRankError(str(error)) from error
        self._alarm("save_failed", step, str(error))

    def _saved(self, step: int, named: Sequence[int] = ()) -> None:
        """A checkpoint of `step` is there, which names these snapshots."""
        self.saved = step
        self.journal.write("saved", step)
        self.state.snapshots.prune(self.state.stopping.best_step, *named)

    def _alarm(self, event: str, step: int, message: str) -> None:
        self.journal.write(event, step, message=message)
        log.error("step %d: %s; training goes on", step, message)


class _Clock:
    """Time spent in steps of this process since the last line, and a slower mean for people."""

    def __init__(self) -> None:
        self._seconds, self._source, self._target = 0.0, 0, 0
        self._pace = self._speed = 0.0

    def add(self, seconds: float, source: int, target: int) -> None:
        self._seconds += seconds
        self._source += source
        self._target += target
        share = 0.05 if self._pace else 1.0
        self._pace += share * (seconds - self._pace)
        self._speed += share * (target / max(seconds, 1e-9) - self._speed)

    def note(self, loss: float, steps_left: int) -> str:
        """Loss, speed and time left."""
        minutes, seconds = divmod(round(self._pace * steps_left), 60)
        return f"loss {loss:.3f} · {self._speed:,.0f} tokens/s · {minutes}:{seconds:02d} left"

    def timing(self) -> dict[str, float]:
        found = timing(self._seconds, self._source, self._target)
        self._seconds, self._source, self._target = 0.0, 0, 0
        return found
