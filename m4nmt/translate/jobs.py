"""Which sentences CTranslate2 searches together, and how its search is told to stop.

Not its job: calling it (ctranslate2.py).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.batching import pack
from m4nmt.translate.decoder import Cancelled
from m4nmt.translate.engine import Rows


class Job(NamedTuple):
    """Sentences that are searched together.

    Attributes:
        group: their numbers.
        limit: of the batch.
        options: of `translate_batch`, beyond those that all have.
    """

    group: list[int]
    limit: int
    options: dict[str, Any]


class Run(NamedTuple):
    """One call of `decode`."""

    rows: Rows
    limits: Sequence[int]
    config: SearchConfig
    cancelled: Cancelled | None

    def by_steps(
        self, members: Iterable[int], steps: Mapping[int, int]
    ) -> Iterator[tuple[list[int], int]]:
        """Groups of sentences that take about as many steps, and the most of a group."""
        ordered = sorted(members, key=lambda i: -steps[i])
        lengths = [max(steps[i], len(self.rows[i])) for i in ordered]
        for group in pack(lengths, self.config.beam, self.config.batch_tokens):
            yield [ordered[g] for g in group], max(steps[ordered[g]] for g in group)

    def by_limit(
        self, members: Iterable[int], steps: Mapping[int, int]
    ) -> Iterator[tuple[list[int], int]]:
        """Groups of sentences that take the same number of steps, and that number."""
        for limit, some in groupby(sorted(members, key=steps.__getitem__), steps.__getitem__):
            same = list(some)
            lengths = [len(self.rows[i]) for i in same]
            for group in pack(lengths, self.config.beam, self.config.batch_tokens):
                yield [same[g] for g in group], limit


def stopping(beam: int, most: int) -> dict[str, Any]:
    """Options of a search that stops at `most` hypotheses and gives back as many."""
    if beam == 1:
        return {"beam_size": 1}
    return {"beam_size": beam, "patience": most / beam, "num_hypotheses": most}
