"""Directions in three bands by the size of their training data: high, mid, low resource.

The bands of Arivazhagan et al. 2019 (arXiv:1907.05019, section 4), as thirds of the directions.
"""

from collections.abc import Mapping

from m4nmt.data.types import Direction

BANDS = ("high", "mid", "low")
UNSEEN = "zero-shot"


def bands(sizes: Mapping[Direction, int]) -> dict[Direction, str]:
    """The band of each trained direction: the largest third of them is "high".

    Args:
        sizes: training examples; a direction with none is "zero-shot".

    Equal sizes are told apart by name, so that the bands are the same everywhere.
    """
    ranked = sorted((d for d, n in sizes.items() if n > 0), key=lambda d: (-sizes[d], d))
    found = {d: BANDS[i * len(BANDS) // len(ranked)] for i, d in enumerate(ranked)}
    return {d: found.get(d, UNSEEN) for d in sizes}
