"""Arrays of id sequences: taken out, put in order, joined, without a Python loop over sequences.

Shape letters: N sequences, or keys.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.types import Ragged, Slices

Ints = NDArray[np.int64]


def groups(key_N: Ints) -> Iterator[tuple[int, Ints]]:
    """(key, its places, rising) for each key from 0 on that there is, in rising order."""
    order_N = np.argsort(key_N, kind="stable")
    sorted_N = key_N[order_N]
    starts = np.flatnonzero(np.diff(sorted_N, prepend=-1))
    edges = [*starts.tolist(), len(key_N)]
    for key, start, end in zip(sorted_N[starts].tolist(), edges, edges[1:], strict=False):
        yield key, order_N[start:end]


def indices(starts_N: Ints, lengths_N: NDArray[Any]) -> Ints:
    """Indices of all elements of these spans, one span after another."""
    ends_N = np.cumsum(lengths_N, dtype=np.int64)
    total = int(ends_N[-1]) if len(ends_N) else 0
    found: Ints = np.arange(total) + np.repeat(starts_N - (ends_N - lengths_N), lengths_N)
    return found


def in_order(given: Slices) -> Ragged:
    """The sequences one after another."""
    offsets = np.zeros(len(given.lengths_N) + 1, np.int64)
    np.cumsum(given.lengths_N, out=offsets[1:])
    values = given.values[indices(given.starts_N, given.lengths_N)]
    return Ragged(values.astype(np.int32, copy=False), offsets)


def sliced(given: Ragged) -> Slices:
    """The same sequences."""
    return Slices(given.values, given.offsets[:-1], np.diff(given.offsets).astype(np.int32))


def joined(parts: Sequence[Slices], where: Sequence[Ints]) -> Slices:
    """As one; the sequences of part i stand at the places where[i]."""
    total = sum(map(len, where))
    start_N, length_N = np.zeros(total, np.int64), np.zeros(total, np.int32)
    begin = 0
    for part, here_N in zip(parts, where, strict=True):
        start_N[here_N], length_N[here_N] = begin + part.starts_N, part.lengths_N
        begin += len(part.values)
    return Slices(np.concatenate([part.values for part in parts]), start_N, length_N)
