"""Misaligned regions of a file: stretches of rows with a low mean chance of being pairs.

One bad pair is noise; dozens in a row are a shift, an inserted line, a file put together wrongly.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Region(NamedTuple):
    """Rows first to last (counted from 0, last included) and their mean chance of being pairs."""

    first: int
    last: int
    chance: float


def regions(
    rows_R: NDArray[np.int64], chance_R: NDArray[np.float32], window: int, below: float
) -> list[Region]:
    """Suspected regions, in order.

    Every run of windows whose mean is below the bound is a region; its ends are then moved to where
    good rows turn into bad ones (the cut with the most bad rows inside and good rows outside).

    Args:
        rows_R: row of each chance, rising.
        chance_R: that the row is a pair, 0 to 1.
        window: rows looked at together.
        below: bound of the mean.
    """
    count = len(chance_R)
    if window < 2 or count < window or below <= 0:
        return []
    total = np.concatenate([[0.0], np.cumsum(chance_R, dtype=np.float64)])
    low = (total[window:] - total[:-window]) / window < below
    edges = np.flatnonzero(np.diff(np.concatenate([[False], low, [False]]).astype(np.int8)))
    badness = np.concatenate([[0.0], np.cumsum(below - chance_R.astype(np.float64))])
    found: list[Region] = []
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        stop = end - 1 + window  # one past the last row of the last window
        middle = (begin + stop) // 2
        left = max(0, begin - window)
        first = left + int(np.argmin(badness[left : middle + 1]))
        right = min(count, stop + window)
        last = middle + int(np.argmax(badness[middle : right + 1]))
        if found and rows_R[first] <= found[-1].last:
            previous = found.pop()
            first = int(np.searchsorted(rows_R, previous.first))
            last = max(last, int(np.searchsorted(rows_R, previous.last)) + 1)
        mean = float((total[last] - total[first]) / max(1, last - first))
        found.append(Region(int(rows_R[first]), int(rows_R[last - 1]), mean))
    return found
