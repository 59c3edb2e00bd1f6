"""Resource bands: the trained directions in thirds by their number of training pairs."""

from collections.abc import Mapping

from m4nmt.evaluate.types import Band

_BANDS: tuple[Band, ...] = ("high", "mid", "low")


def bands(pairs: Mapping[str, int]) -> dict[str, Band]:
    """The band of each direction. Equal sizes share a band; one size alone is "mid"."""
    if len(set(pairs.values())) == 1:
        return dict.fromkeys(pairs, "mid")
    ranked = sorted(pairs, key=lambda direction: -pairs[direction])
    by_size: dict[int, Band] = {}
    for rank, direction in enumerate(ranked):
        by_size.setdefault(pairs[direction], _BANDS[3 * rank // len(ranked)])
    return {direction: by_size[pairs[direction]] for direction in ranked}
