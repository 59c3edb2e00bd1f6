"""Model folders kept during training: the newest ones to average, and the best so far.

Each lies under its step. Which are wanted is part of the training state; what a killed run wrote
beyond its last checkpoint is removed and written again. Not its job: when to take one.
"""

import logging
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from m4nmt.core import ranks

log = logging.getLogger(__name__)


class Snapshots:
    """Folders `step-%010d` under a root.

    Args:
        write: writes the present model, at this step, to a folder; every rank calls it.
        most: newest ones to keep for the average.
    """

    def __init__(self, root: Path, write: Callable[[Path, int], None], most: int) -> None:
        self.root = root
        self._write = write
        self._most = max(1, most)
        self._steps: list[int] = []

    def folder(self, step: int) -> Path:
        """Where the snapshot of a step lies."""
        return self.root / f"step-{step:010d}"

    def newest(self) -> list[Path]:
        """Those to average, oldest first."""
        return [self.folder(step) for step in self._steps]

    def add(self, step: int) -> None:
        """Take one for the average."""
        if step not in self._steps:
            self.take(step)
            self._steps = [*self._steps, step][-self._most :]

    def take(self, step: int) -> None:
        """Take one, whatever for, unless it is there."""
        if not ranks.told(self.folder(step).exists()):
            self._write(self.folder(step), step)

    def prune(self, *others: int) -> None:
        """Delete what is not to be averaged, but for some others (the best). Only after the state
        was saved: a resumed run finds all that its checkpoint names."""
        self._delete(step for step in self._found() if step not in {*self._steps, *others})

    def state(self) -> list[int]:
        """Plain data that `load` takes back."""
        return list(self._steps)

    def load(self, steps: Iterable[int], now: int) -> None:
        """Take over what `state` gave at step `now`; later snapshots are deleted."""
        wanted = list(steps)
        self._delete(step for step in self._found() if step > now)
        there = ranks.told([step for step in wanted if self.folder(step).exists()])
        self._steps = there[-self._most :]
        if len(self._steps) < min(len(wanted), self._most):
            log.warning("%s: some snapshots are gone; the average is made without", self.root)

    def _found(self) -> list[int]:
        return [int(path.name[5:]) for path in self.root.glob("step-*")]

    def _delete(self, steps: Iterable[int]) -> None:
        for step in list(steps) if ranks.rank() == 0 else ():
            shutil.rmtree(self.folder(step), ignore_errors=True)
