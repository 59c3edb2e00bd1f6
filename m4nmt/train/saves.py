"""Checkpoints of a run as it trains: one at a time, maybe in the background.

A fault of the disk is told and ends nothing. Not its job: when to save (the session), what is in a
checkpoint (state), how it is written (checkpoint.store).
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from m4nmt.checkpoint import store as checkpoints
from m4nmt.checkpoint.manifest import CheckpointError, LostRanksError
from m4nmt.core.ranks import LostRankError
from m4nmt.train.identity import NAME, Identity
from m4nmt.train.journal import Journal
from m4nmt.train.state import State

log = logging.getLogger(__name__)


class Saves:
    """Writes checkpoints of a state; every rank calls.

    Args:
        root: folder of the run's checkpoints.
        keep: newest ones to keep.
        identity: saved in every checkpoint.

    Attributes:
        newest: step of the newest checkpoint; -1: none.
    """

    def __init__(
        self, root: Path, keep: int, state: State, journal: Journal, identity: Identity
    ) -> None:
        self.root = root
        self.keep = keep
        self.state = state
        self.journal = journal
        self.identity = identity
        self.newest = -1
        self._saving: tuple[int, checkpoints.Saving, tuple[int, ...]] | None = None

    def save(self, background: bool) -> None:
        """Write a checkpoint unless this step has one.

        Args:
            background: go on while it is written; its outcome is told at the next save.

        Raises:
            LostRankError: a rank is gone or hangs.
        """
        self.settle()
        state = self.state
        if state.step == self.newest:
            return
        blobs = {**state.blobs(), NAME: self.identity.encode()}
        write = checkpoints.save_async if background else checkpoints.save
        try:
            done = write(self.root, state.step, state.tensors(), blobs, self.keep)
        except CheckpointError as error:
            self._failed(state.step, error)
            return
        if isinstance(done, checkpoints.Saving):
            named = (*state.snapshots.state(), state.stopping.best_step)
            self._saving = (state.step, done, named)
        else:
            self._saved(state.step)

    def settle(self) -> None:
        """Wait for the save in the background, if any. Raises as `save`."""
        if self._saving is None:
            return
        (step, saving, named), self._saving = self._saving, None
        try:
            saving.result()
        except CheckpointError as error:
            self._failed(step, error)
        else:
            self._saved(step, named)

    def _failed(self, step: int, error: CheckpointError) -> None:
        """A fault of the disk is told; a lost rank ends the run."""
        if isinstance(error, LostRanksError):
            raise LostRankError(str(error)) from error
        self.alarm("save_failed", step, str(error))

    def _saved(self, step: int, named: Sequence[int] = ()) -> None:
        """A checkpoint of `step` is there, which names these snapshots."""
        self.newest = step
        self.journal.write("saved", step)
        self.state.snapshots.prune(self.state.stopping.best_step, *named)

    def alarm(self, event: str, step: int, message: str) -> None:
        """Tell of a fault that ends nothing."""
        self.journal.write(event, step, message=message)
        log.error("step %d: %s; training goes on", step, message)
