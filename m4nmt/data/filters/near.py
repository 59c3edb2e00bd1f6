"""Near duplicates of pairs: candidates by banded MinHash, checked by the whole signature.

A pair's signature is cut into bands; pairs that agree in a whole band are compared (Leskovec et
al., "Mining of massive datasets", section 3.4). With 8 bands of 4, a resemblance of 0.8 is found
with a chance of 98 %, one of 0.5 looked at with 40 %. One range of band keys is held at a time:
memory beyond a byte a row is bounded.

Letters: R rows, P pairs, K hash functions.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from m4nmt.data import leakage
from m4nmt.data.filters.features import HASHES
from m4nmt.data.filters.view import BLOCK, Ints, Mask, View

_BANDS = 8
_ROWS = HASHES // _BANDS


def near_duplicates(views: Sequence[View], alive: Sequence[Mask], least: float) -> list[Mask]:
    """Rows of each view that resemble an earlier row, in this or an earlier view.

    Args:
        views: of one pair of languages, in order.
        alive: of each, the rows to look at.
        least: resemblance from which on they count.
    """
    starts = np.cumsum([0, *(view.rows for view in views)])
    found = np.zeros(int(starts[-1]), bool)
    for band in range(_BANDS):

        def chunks(band: int = band) -> Iterator[leakage.Keys]:
            for view, mask_R in zip(views, alive, strict=True):
                yield from _keys(view, mask_R, band)

        for first_P, later_P in leakage.groups(chunks, len(found)):
            new_P = ~found[later_P]
            first_P, later_P = first_P[new_P], later_P[new_P]
            same_PK = _signatures(views, starts, first_P) == _signatures(views, starts, later_P)
            found[later_P[same_PK.mean(axis=1) >= least]] = True
    return [found[a:b] for a, b in pairwise(starts.tolist())]


def _keys(view: View, alive_R: Mask, band: int) -> Iterator[leakage.Keys]:
    """Keys of one band of all rows, 0 for rows that are not looked at."""
    for start in range(0, view.rows, BLOCK):
        part_R = alive_R[start : start + BLOCK]
        keys_R = np.zeros(len(part_R), np.uint64)
        rows_R = np.flatnonzero(part_R)
        if len(rows_R):
            signs_PK = view.signatures(rows_R + start)[:, band * _ROWS : (band + 1) * _ROWS]
            mixed_P = np.zeros(len(rows_R), np.uint64)
            for sign_P in signs_PK.T:
                mixed_P = leakage.mix(mixed_P, sign_P.astype(np.uint64))
            keys_R[rows_R] = np.maximum(mixed_P, 1)
        yield keys_R


def _signatures(views: Sequence[View], starts: Ints, places_P: Ints) -> NDArray[np.uint32]:
    """Signatures of rows given by their place in all views, one after another."""
    found_PK = np.empty((len(places_P), HASHES), np.uint32)
    owner_P = np.searchsorted(starts, places_P, side="right") - 1
    for number, view in enumerate(views):
        mine = np.flatnonzero(owner_P == number)
        if len(mine):
            found_PK[mine] = view.signatures(places_P[mine] - starts[number])
    return found_PK
