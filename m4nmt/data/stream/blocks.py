"""Exact quotas: how many examples of each direction stand in block b of the endless stream.

Shares are turned into whole numbers over a cycle of 65,536 blocks (largest remainder), and a
cycle's numbers are spread evenly over its blocks: each block gets the integer part, and the
remaining R places of a block are found on a circle. Directions own arcs, as long as their
remainders; block r looks at R points, one cycle apart, shifted by the bit-reversal of r (van der
Corput), and each point is one more example of the arc it falls into. Every block then sums to
exactly N, every cycle to exactly the counts, and in between no direction strays by more than a few
examples. All is arithmetic on (shares, block): constant memory, no state.
Not its job: which examples they are (order.py), where they go (packing.py).
Shape letters: D directions, Q blocks of a cycle.
"""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from m4nmt.core.config import ConfigError

CYCLE = 1 << 16
Counts = NDArray[np.int64]


class Quotas:
    """Examples per direction and block for fixed shares.

    Args:
        shares_D: sum to 1.
        examples: N, examples of a block.
    """

    def __init__(self, shares_D: NDArray[np.float64], examples: int) -> None:
        if examples < 1:
            raise ConfigError(f"data.blocks.examples: {examples} must be at least 1")
        self.cycle_D = _largest_remainder(shares_D, examples * CYCLE)
        self._base_D = self.cycle_D // CYCLE
        self._ends_D = np.cumsum(self.cycle_D % CYCLE)
        self._points = np.arange(0, int(self._ends_D[-1]), CYCLE)

    def counts(self, block: int) -> Counts:
        """Examples of each direction in one block [D]."""
        points = self._points + int(_REVERSED_Q[block % CYCLE])
        extra = np.searchsorted(self._ends_D, points, side="right")
        counts_D = self._base_D.copy()
        counts_D[extra] += 1  # an arc is shorter than a cycle, so no two points share one
        return counts_D

    def before(self, block: int) -> Counts:
        """Examples of each direction in all blocks before this one [D]."""
        cycles, rest = divmod(block, CYCLE)
        below_Q = np.zeros(CYCLE + 1, np.int64)
        np.cumsum(np.bincount(_REVERSED_Q[:rest], minlength=CYCLE), out=below_Q[1:])
        # offsets below x on the endless line: whole turns, then a part of one
        hits = self._ends_D // CYCLE * rest + below_Q[self._ends_D % CYCLE]
        extra_D = np.diff(hits, prepend=0)
        return cycles * self.cycle_D + rest * self._base_D + extra_D


class PhasedQuotas:
    """Quotas that change at given blocks.

    Args:
        starts: first block of each phase, increasing, the first one 0.
        phases: quotas of each.
    """

    def __init__(self, starts: Sequence[int], phases: Sequence[Quotas]) -> None:
        self.starts, self.phases = list(starts), list(phases)
        if self.starts[0] != 0 or sorted(set(self.starts)) != self.starts:
            raise ConfigError(
                f"data.mixture.phases: they start at blocks {self.starts}; the first must start "
                "at 0, and each later than the one before (by a block at least)"
            )
        self._done = [np.zeros_like(phases[0].cycle_D)]
        for phase, start, end in zip(phases, starts, starts[1:], strict=False):
            self._done.append(self._done[-1] + phase.before(end - start))

    def counts(self, block: int) -> Counts:
        """Examples of each direction in one block [D]."""
        phase = bisect_right(self.starts, block) - 1
        return self.phases[phase].counts(block - self.starts[phase])

    def before(self, block: int) -> Counts:
        """Examples of each direction in all blocks before this one [D]."""
        phase = bisect_right(self.starts, block) - 1
        return self._done[phase] + self.phases[phase].before(block - self.starts[phase])


def _largest_remainder(shares_D: NDArray[np.float64], total: int) -> Counts:
    """Whole numbers that sum to `total`, each within 1 of its share of it."""
    wanted_D = shares_D * total
    counts_D = np.floor(wanted_D).astype(np.int64)
    missing = total - int(counts_D.sum())
    # ties go to the earlier direction; a direction without a share never gets one
    order = np.lexsort((np.arange(len(shares_D)), counts_D - wanted_D))
    counts_D[order[shares_D[order] > 0][:missing]] += 1
    return counts_D


def _bit_reversal() -> NDArray[np.int64]:
    numbers = np.arange(CYCLE, dtype=np.uint16)
    bits = np.unpackbits(numbers.view(np.uint8).reshape(CYCLE, 2), axis=1, bitorder="little")
    return bits.astype(np.int64) @ (CYCLE >> np.arange(1, 17, dtype=np.int64))


_REVERSED_Q = _bit_reversal()
