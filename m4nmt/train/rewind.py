"""How far a run goes back where refusing single steps does not help, and what it leaves out.

    journal.jsonl   a `rewound` line for each time, `out_of_memory` for each batch that did not fit

The line in the journal is the decision: once it is durable, going back is what any start of the run
does anyway: read the history, set aside the checkpoints of what was given up, go on from the newest
one left. So a kill at any moment leads to the same end. What the journal tells is never part of the
training state, or else going back would undo it. Not its job: noticing trouble (guard), restoring
a checkpoint (state), the order of things (session).
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from m4nmt.checkpoint import store as checkpoints
from m4nmt.checkpoint.load import Found, first_good, newest_good
from m4nmt.checkpoint.manifest import LostRanksError, folder_name
from m4nmt.core import ranks
from m4nmt.core.ranks import LostRankError
from m4nmt.train import settings
from m4nmt.train.journal import Journal
from m4nmt.train.state import STATE
from m4nmt.train.stream import Skips

log = logging.getLogger(__name__)
REWOUND, OUT_OF_MEMORY = "rewound", "out_of_memory"


@dataclass(frozen=True)
class Rewound:
    """One time that the run went back, as the journal tells it.

    Attributes:
        to: step of the checkpoint, 0 for the start.
        onset: step at which the trouble began.
        batches: (first, one past the last) left out.
        region: number of the region of trouble.
        rate: factor on the learning rate of the steps of `slowed` (first, one past the last).
    """

    to: int
    onset: int
    batches: tuple[int, int]
    region: int
    rate: float
    slowed: tuple[int, int]


@dataclass(frozen=True)
class History:
    """What befell a run and still counts.

    Attributes:
        rewinds: in their order.
        too_large: numbers of the batches for which memory ran out.
    """

    rewinds: tuple[Rewound, ...] = ()
    too_large: frozenset[int] = field(default_factory=frozenset)

    @classmethod
    def read(cls, journal: Journal) -> "History":
        """From the journal, by the leader for all ranks."""
        return ranks.led(lambda: cls.of(journal.events()))

    @classmethod
    def of(cls, events: Sequence[Mapping[str, Any]]) -> "History":
        """From the lines of a journal."""
        rewinds = tuple(
            Rewound(
                to=event["to"],
                onset=event["onset"],
                batches=tuple(event["batches"]),
                region=event["region"],
                rate=event["rate"],
                slowed=tuple(event["slowed"]),
            )
            for event in events
            if event["event"] == REWOUND
        )
        return cls(rewinds, frozenset(e["batch"] for e in events if e["event"] == OUT_OF_MEMORY))

    @cached_property
    def skips(self) -> Skips:
        """All that is left out."""
        single = [(number, number + 1) for number in self.too_large]
        return Skips([*(rewound.batches for rewound in self.rewinds), *single])

    def slowed(self, schedule: Callable[[int], float]) -> Callable[[int], float]:
        """A learning-rate schedule with what rewinds make of it."""
        return lambda step: schedule(step) * self._rate(step)

    def _rate(self, step: int) -> float:
        for rewound in reversed(self.rewinds):
            first, end = rewound.slowed
            if first <= step < end:
                return rewound.rate
        return 1.0

    def abandoned(self, step: int, rewinds: int) -> bool:
        """Whether a checkpoint lies on a way that was given up.

        Args:
            step: of the checkpoint.
            rewinds: how many there were before it was written.
        """
        return any(step > rewound.to for rewound in self.rewinds[rewinds:])

    def spent(self, onset: int, config: settings.Rewind) -> str:
        """Why no further rewind is allowed; empty: one is."""
        region = self.region(onset, config)
        in_region = sum(rewound.region == region for rewound in self.rewinds)
        if in_region >= config.per_region:
            return f"{in_region} rewinds in this region did not help"
        if len(self.rewinds) >= config.per_run:
            return f"{len(self.rewinds)} rewinds were made in this run"
        return ""

    def region(self, onset: int, config: settings.Rewind) -> int:
        """Of trouble that begins at a step: that of the newest rewind nearby, or a new one."""
        number = self.skips.batch(onset)
        for rewound in reversed(self.rewinds):
            first, end = rewound.batches
            if first - config.region <= number < end + config.region:
                return rewound.region
        return 1 + max((rewound.region for rewound in self.rewinds), default=0)

    def next(self, onset: int, to: int, config: settings.Rewind) -> Rewound:
        """The rewind for trouble that began at step `onset`, back to the checkpoint of `to`."""
        number, region = self.skips.batch(onset), self.region(onset, config)
        before = sum(rewound.region == region for rewound in self.rewinds)
        count = min(config.skip << before, config.most_skip)
        first = max(self.skips.batch(max(0, onset - config.margin)), self.skips.batch(to))
        begins = max(to, onset - config.margin)
        return Rewound(
            to=to,
            onset=onset,
            batches=(first, max(number, first) + count),
            region=region,
            rate=config.rate if before else 1.0,
            slowed=(begins, begins + config.rate_steps if before else begins),
        )


def where(folder: Path, journal: Journal) -> tuple[History, Found | None]:
    """What befell a run, and the checkpoint from which it goes on; None: from the start.

    Every rank must call this.

    Raises:
        CheckpointError: see `newest_good`.
        LostRankError: a rank is gone or hangs.
    """
    history = History.read(journal)
    root = folder / "checkpoints"
    ranks.led(lambda: _set_aside(root, history))
    try:
        return history, newest_good(root)
    except LostRanksError as error:
        raise LostRankError(str(error)) from error


def decide(
    root: Path, history: History, onset: int, config: settings.Rewind
) -> tuple[Rewound, str]:
    """How to go back for trouble that began at step `onset`, and a remark for people.

    To the newest checkpoint that is old enough and good; where there is none, to the oldest good
    one; where there is none, to the start. Every rank must call this.

    Raises:
        CheckpointError: there are checkpoints and none is good.
        LostRankError: a rank is gone or hangs.
    """
    steps = ranks.led(lambda: checkpoints.steps(root))
    wanted = max(0, onset - config.margin)
    old = [step for step in steps if step <= wanted]
    others = [step for step in steps if step > wanted]
    try:
        found = first_good(root, [*reversed(old), *others])
    except LostRanksError as error:
        raise LostRankError(str(error)) from error
    to = found.step if found else 0
    remark = ""
    if found is None:
        remark = "there is no checkpoint, so the run begins again"
    elif to > wanted:
        remark = (
            f"no checkpoint is {config.margin} steps older than the trouble; this is the oldest"
        )
    return history.next(onset, to, config), remark


def tell(journal: Journal, step: int, rewound: Rewound, number: int, **facts: Any) -> None:
    """Make a decision durable; the leader writes, every rank calls.

    Raises:
        OSError, RankError: it could not be written.
    """
    ranks.led(lambda: journal.record(REWOUND, step, number=number, **asdict(rewound), **facts))


def _set_aside(root: Path, history: History) -> None:
    """Delete the checkpoints of ways that were given up."""
    for step in checkpoints.steps(root) if history.rewinds else ():
        if history.abandoned(step, _rewinds_before(root / folder_name(step))):
            log.info("checkpoint of step %d: given up, deleted", step)
            checkpoints.remove(root, step)


def _rewinds_before(checkpoint: Path) -> int:
    """As its state says; what cannot be read is damaged, and nobody will miss it."""
    try:
        return int(json.loads((checkpoint / STATE).read_text("utf-8"))["rewinds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
