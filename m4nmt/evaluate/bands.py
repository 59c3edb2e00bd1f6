"""Resource bands: the trained directions in thirds by their number of training pairs."""

from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean

from m4nmt.evaluate.types import Band

_BANDS: tuple[Band, ...] = ("high", "mid", "low")


def bands(pairs: Mapping[str, int]) -> dict[str, Band]:
    """The band of each direction. Equal sizes share the band of their middle rank."""
    ranks = defaultdict(list)
    for rank, direction in enumerate(sorted(pairs, key=lambda name: -pairs[name])):
        ranks[pairs[direction]].append(rank)
    by_size = {size: _BANDS[int(3 * (fmean(r) + 0.5) / len(pairs))] for size, r in ranks.items()}
    return {direction: by_size[size] for direction, size in pairs.items()}
