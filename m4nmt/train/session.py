"""The loop of a run: batches to steps, and what is due after each: records, validation, saves.

Not its job: building the parts or the final model (run), the step itself (trainer).
"""

import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from m4nmt.checkpoint.load import Found
from m4nmt.checkpoint.manifest import CheckpointError
from m4nmt.core import ranks
from m4nmt.core.progress import Ticker, console, progress
from m4nmt.core.ranks import LostRankError, RankError
from m4nmt.data.loader import Loader, fixed_batches
from m4nmt.data.settings import ByLoss, DataConfig
from m4nmt.data.store import Store
from m4nmt.data.types import Batch, Direction
from m4nmt.parallel.world import World
from m4nmt.train import rewind, steer
from m4nmt.train.clock import Clock
from m4nmt.train.guard import Trouble
from m4nmt.train.identity import Identity
from m4nmt.train.journal import Journal
from m4nmt.train.monitor import by_segment
from m4nmt.train.records import Sinks
from m4nmt.train.rewind import OUT_OF_MEMORY, History
from m4nmt.train.saves import Saves
from m4nmt.train.settings import NoRewind, TrainConfig
from m4nmt.train.signals import Wish
from m4nmt.train.state import State
from m4nmt.train.stream import stream
from m4nmt.train.trainer import HardwareError, MemoryFullError, Step, TrainError
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
        saves: writes the checkpoints.
        failure: why the guard gave up.
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
        self.world = world
        self.hosts = ranks.gathered(socket.gethostname())
        self.alive: Callable[[float], None] = lambda patience: None
        self.failure = ""
        self.saves = Saves(folder / "checkpoints", config.keep, state, journal, identity)
        self._clock = Clock()
        self._schedule = state.trainer.schedule

    def begin(self, history: History, found: Found | None) -> None:
        """From a checkpoint (see `State.restore`), or from the start.

        Args:
            history: what befell the run; every rank has the same.
        """
        state = self.state
        if found:
            state.restore(found.path)
        elif state.step:
            state.restart()
        else:
            state.snapshots.load([], 0)
        self.saves.newest = found.step if found else -1
        state.rewinds = len(history.rewinds)
        state.trainer.schedule = history.slowed(self._schedule)
        self._follow(history)

    def _follow(self, history: History) -> None:
        """Take batches from where the run stands, without those that are left out by now."""
        self.history = history
        state = self.state
        loader = steer.followed(self.data.loader, self.journal)
        self._batches = stream(loader, history.skips, state.step, state.position)

    def run(self, wish: Wish) -> Status:
        """Train until the last step, early stopping, a wish to stop, or a guard that gives up (then
        `failure` says why)."""
        steps, state = self.config.steps, self.state
        with progress("training", steps, min(state.step, steps)) as ticker:
            patience = FIRST
            stop = self.world.any(wish.wanted)
            while state.step < steps and not (state.stopping.exhausted or stop):
                self.alive(patience)
                patience = 1.0
                if self._step(ticker):
                    before = state.step
                    if not self._guarded():
                        return "failed"
                    ticker.advance(state.step - before)
                stop = self.world.any(wish.wanted)
        self.save()
        if stop and state.step < steps and not state.stopping.exhausted:
            self.journal.write("stopped", state.step, signal=wish.signal or "on another rank")
            return "stopped"
        return "finished"

    def _step(self, ticker: Ticker) -> bool:
        """One step and what was measured; False where its batch is left out instead."""
        state, started = self.state, time.monotonic()
        after, batch = next(self._batches)
        done = self._taken(batch)
        if isinstance(done, str):
            state.trainer.forget()
            self._leave_out(done)
            return False
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
        return True

    def _taken(self, batch: Batch) -> Step | str:
        """The step on a batch, or why there is no memory for it.

        Raises:
            HardwareError: the journal names ranks and hosts.
        """
        trainer = self.state.trainer
        try:
            return trainer.step(batch, watch=self._due(self.config.monitor_every))
        except MemoryFullError as error:
            return str(error)
        except HardwareError as error:
            named = [self._named_rank(rank) for rank in error.ranks]
            message = f"{error}: {', '.join(named)}"
            self.journal.write("hardware", self.state.step, message=message, ranks=named)
            raise HardwareError(message, error.ranks) from error

    def _leave_out(self, why: str) -> None:
        """Go on without a batch for which there was no memory.

        A process that is alone goes on at once. One of several cannot tell the others, who wait for
        it in the middle of the step: the journal says so, and all start again without the batch.

        Raises:
            TrainError: that happened too often.
            LostRankError: the run must be started again.
        """
        step, rank = self.state.step, ranks.rank()
        batch = self.history.skips.batch(step)
        if len(self.history.too_large) >= self.config.guard.memory_skips:
            raise TrainError(why)
        where, alone = self._named_rank(rank), not ranks.initialised()
        Journal(self.journal.path).record(OUT_OF_MEMORY, step, batch=batch, message=why, rank=where)
        if not alone:
            raise LostRankError(f"{where}: {why}. Start again: batch {batch} will be left out")
        log.warning("%s. Batch %d is left out", why, batch)
        self._follow(History.read(self.journal))

    def _guarded(self) -> bool:
        """What is due after a step, or going back; False: the guard gives up."""
        guard = self.state.trainer.guard
        trouble = guard.trouble
        if guard.overdrawn:
            self.failure = guard.overdrawn
        elif trouble is None:
            self._after_step()
        else:
            self.failure = self._go_back(trouble)
        return not self.failure

    def _go_back(self, trouble: Trouble) -> str:
        """Rewind (see rewind.py); why not, if not."""
        state, config = self.state, self.config.guard.rewind
        step, onset = state.step, state.step - trouble.age
        if isinstance(config, NoRewind):
            return trouble.reason
        if why := self.history.spent(onset, config):
            return f"{trouble.reason}, and {why}"
        self.alive(LONG)
        self.saves.settle()
        number = state.rewinds + 1
        try:
            rewound, remark = rewind.decide(self.saves.root, self.history, onset, config)
            rewind.tell(self.journal, step, rewound, number, reason=trouble.reason, remark=remark)
        except (OSError, CheckpointError, RankError) as error:
            return f"{trouble.reason}, and the run could not go back: {error}"
        first, end = rewound.batches
        log.warning(
            "step %d: %s since step %d; going back to step %d, without batches %d to %d%s",
            step,
            trouble.reason,
            onset,
            rewound.to,
            first,
            end - 1,
            f" ({remark})" * bool(remark),
        )
        history, found = rewind.where(self.folder, self.journal)
        self.begin(history, found)
        self.sinks.rewind(state.step, state.rewinds)
        return ""

    def _named_rank(self, rank: int) -> str:
        return f"rank {rank} ({self.hosts[rank]})"

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
            loss_z=repr(done.verdict.loss_z),
            norm_z=repr(done.verdict.norm_z),
            segment_norms={n: repr(x) for n, x in by_segment(done.norms).items()},
            batch=self.history.skips.batch(state.step - 1),
            position=[state.position.block, state.position.index],
            directions=languages[:20],
            in_a_row=state.trainer.guard.refused_in_a_row,
            not_finite_on=[self._named_rank(rank) for rank in done.suspects],
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
        if isinstance(self.data.config.mixture, ByLoss) and state.step < self.config.steps:
            block = state.position.block + bool(state.position.index)
            steer.decide(self.journal, self.data.loader, state.step, block, found["direction_loss"])
            self._follow(self.history)

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
            self.saves.alarm("snapshot_failed", step, f"no snapshot of step {step}: {error}")

    def save(self, background: bool = False) -> None:
        """See `Saves.save`."""
        self.alive(LONG)
        self.saves.save(background)
