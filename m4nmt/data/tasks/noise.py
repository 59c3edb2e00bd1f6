"""Noise on lines of ids: what of a row is masked, as a function of its key and length alone.

A row's key is made of (seed, direction, epoch, example), so noise depends on no worker, rank or
order, and the length of a noisy row is known before its ids are read. All rows at once, no loop.
Not its job: where the lines come from (noisy.py).
Shape letters: R rows, J spans of all rows, one row after another, P pieces of all rows.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.settings import Infill, Mass, Noise
from m4nmt.data.stream.order import GOLDEN, U64, mix

Ints = NDArray[np.int64]
_SPAN, _GAP = np.uint64(0x5350414E), np.uint64(0x474150)  # kinds of draws
_LONGEST = 512  # a span's length is above it with a chance below rounding


class Spans(NamedTuple):
    """Stretches of rows that are masked; none touches another one of its row.

    Attributes:
        row_J: in rising order.
        first_J: piece of the row at which it begins, rising in a row.
        length_J: pieces.
    """

    row_J: Ints
    first_J: Ints
    length_J: Ints


def uniform(key_N: U64, number_N: Ints, kind: np.uint64) -> NDArray[np.float64]:
    """A number from [0, 1) for each key, number and kind of draw [N]."""
    bits = mix(mix(key_N ^ kind) + number_N.astype(np.uint64) * GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def spans(noise: Noise, length_R: Ints, key_R: U64) -> Spans:
    """What is masked of rows of these lengths."""
    return (
        _one(noise, length_R, key_R) if isinstance(noise, Mass) else _many(noise, length_R, key_R)
    )


def lengths(noise: Noise, length_R: Ints, key_R: U64) -> tuple[Ints, Ints]:
    """(source, target) pieces of noisy rows; no source is longer than its line."""
    if isinstance(noise, Mass):
        return length_R, _masked(noise, length_R)
    row_J, length_J = _drawn(noise, length_R, key_R)
    shorter_R = np.bincount(row_J, length_J - 1, len(length_R)).astype(np.int64)
    return length_R - shorter_R, length_R


def _masked(noise: Noise, length_R: Ints) -> Ints:
    """Pieces that are masked: of MASS one at least, of infilling not all."""
    wanted_R: Ints = np.rint(length_R * noise.ratio).astype(np.int64)
    least, most_R = (1, length_R) if isinstance(noise, Mass) else (0, length_R - 1)
    return wanted_R.clip(least, most_R)


def _one(noise: Mass, length_R: Ints, key_R: U64) -> Spans:
    masked_R = _masked(noise, length_R)
    draw_R = uniform(key_R, np.zeros_like(length_R), _GAP)
    first_R = (draw_R * (length_R - masked_R + 1)).astype(np.int64)
    return Spans(np.arange(len(length_R)), first_R, masked_R)


def _many(noise: Infill, length_R: Ints, key_R: U64) -> Spans:
    """Spans of drawn lengths in gaps, drawn without repetition, between the pieces that stay."""
    row_J, length_J = _drawn(noise, length_R, key_R)
    count_R = np.bincount(row_J, minlength=len(length_R))
    gaps_R = length_R - _masked(noise, length_R) + 1
    row_G, gap_G = _numbered(gaps_R)
    order_G = np.lexsort((uniform(key_R[row_G], gap_G, _GAP), row_G))
    gap_J = gap_G[np.sort(order_G[gap_G < count_R[row_G]])]
    return Spans(row_J, gap_J + _before(row_J, length_J), length_J)


def _drawn(noise: Infill, length_R: Ints, key_R: U64) -> tuple[Ints, Ints]:
    """Row and length of each span: draws until all that is to be masked is in one, the last span
    cut, or stretched where no gap is left for a further one [J]."""
    masked_R = _masked(noise, length_R)
    row_N, number_N = _numbered(masked_R)  # no row needs more draws: a span holds a piece at least
    draws = uniform(key_R[row_N], number_N, _SPAN)
    length_N = 1 + np.searchsorted(_poisson(noise.mean - 1), draws, side="right").astype(np.int64)
    before_N = _before(row_N, length_N)
    gaps_R = length_R - masked_R + 1
    kept = (before_N < masked_R[row_N]) & (number_N < gaps_R[row_N])
    row_J, length_J, before_J = row_N[kept], length_N[kept], before_N[kept]
    last_J = np.diff(row_J, append=-1) != 0
    return row_J, np.where(last_J, masked_R[row_J] - before_J, length_J)


def _numbered(count_R: Ints) -> tuple[Ints, Ints]:
    """Row, and number within it, of so many things of each row."""
    row_N = np.repeat(np.arange(len(count_R)), count_R)
    return row_N, np.arange(len(row_N)) - (np.cumsum(count_R) - count_R)[row_N]


def _before(row_N: Ints, value_N: Ints) -> Ints:
    """Sum of the values before each one of its own row; rows rise."""
    sums_N = np.cumsum(value_N) - value_N
    first_N = np.diff(row_N, prepend=-1) != 0
    return sums_N - np.maximum.accumulate(np.where(first_N, sums_N, 0))


def _poisson(mean: float) -> NDArray[np.float64]:
    """P(X <= x) for x from 0 on."""
    number = np.arange(1, _LONGEST)
    logs = np.concatenate([[0.0], np.cumsum(np.log(max(mean, 1e-300)) - np.log(number))])
    return np.asarray(np.minimum(np.cumsum(np.exp(logs - mean)), 1.0), np.float64)
