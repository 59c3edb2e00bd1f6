"""The queue before an engine: two lanes, and which jobs make the next batch.

Interactive jobs go first; bulk jobs fill what room they leave, and are owed a share of every batch
they wait through, so that they never starve (deficit round robin: Shreedhar and Varghese 1995).
Not its job: who waits, what runs (batcher.py).
"""

import math
from collections.abc import Iterator
from typing import Generic, Literal, Protocol, TypeVar

Lane = Literal["interactive", "bulk"]
LANES: tuple[Lane, Lane] = ("interactive", "bulk")
BACKGROUND = 5  # urgency (RFC 9218) from which a request is bulk, whatever its size
_BULK_SHARE = 0.25  # of a batch, owed to bulk jobs while any waits


class Costs(Protocol):
    """Something in the queue; `cost` is in tokens."""

    @property
    def cost(self) -> int: ...


J = TypeVar("J", bound=Costs)


class Queue(Generic[J]):
    """First come, first served within a lane. Adding and removing take constant time."""

    def __init__(self, budget: int) -> None:
        self._budget = budget  # tokens of a batch
        self._lanes: dict[Lane, dict[J, None]] = {lane: {} for lane in LANES}
        self._tokens: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._owed = 0.0  # tokens, to the bulk lane

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def tokens(self, lane: Lane) -> int:
        """Tokens that wait in a lane."""
        return self._tokens[lane]

    def add(self, job: J, lane: Lane) -> None:
        """At the end of a lane."""
        self._lanes[lane][job] = None
        self._tokens[lane] += job.cost

    def remove(self, job: J) -> bool:
        """Take a job out, if it is there."""
        for lane in LANES:
            if job in self._lanes[lane]:
                self._drop(job, lane)
                return True
        return False

    def full(self) -> bool:
        """Whether a whole batch waits."""
        return sum(self._tokens.values()) >= self._budget

    def oldest(self) -> Iterator[J]:
        """The first job of each lane."""
        return (next(iter(jobs)) for jobs in self._lanes.values() if jobs)

    def take(self) -> list[tuple[J, Lane]]:
        """The next batch, within the budget; a job larger than that goes alone."""
        batch: list[tuple[J, Lane]] = []
        self._owed = self._owed + _BULK_SHARE * self._budget if self._lanes["bulk"] else 0.0
        self._owed -= self._fill(batch, "bulk", self._owed)
        self._fill(batch, "interactive")
        self._fill(batch, "bulk")
        return batch

    def _fill(self, batch: list[tuple[J, Lane]], lane: Lane, most: float = math.inf) -> int:
        """Move jobs of at most so many tokens from a lane to the batch; gives their tokens."""
        room, taken = self._budget - sum(job.cost for job, _ in batch), 0
        while jobs := self._lanes[lane]:
            job = next(iter(jobs))
            if taken + job.cost > most or (batch and taken + job.cost > room):
                break
            self._drop(job, lane)
            batch.append((job, lane))
            taken += job.cost
        return taken

    def _drop(self, job: J, lane: Lane) -> None:
        del self._lanes[lane][job]
        self._tokens[lane] -= job.cost
