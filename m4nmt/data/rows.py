"""Which rows of two aligned columns are pairs, found without listing them.

A column's good rows are a bitmap; the rows of a pair are the AND of two bitmaps, less the few that
pair filters drop. The k-th pair is found by rank and select, so n languages give n (n - 1)
directions with n bitmaps and short lists, whatever the size of the corpus.
"""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
_BITS = 64
_GROUP = 64  # words counted together
_AT_ONCE = 8192  # rows looked up together: 4 MiB of words


def pack(mask: NDArray[np.bool_]) -> Words:
    """Bitmap of a mask; bit i of word w is row 64 w + i."""
    padded = np.zeros(-(-len(mask) // _BITS) * _BITS, bool)
    padded[: len(mask)] = mask
    words: Words = np.packbits(padded, bitorder="little").view("<u8").astype(np.uint64, copy=False)
    return words


def unpack(words: Words, rows: int) -> NDArray[np.bool_]:
    """Mask of a bitmap."""
    little = np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(little, bitorder="little")[:rows].astype(bool)


def shifts(dropped_ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """How `PairRows` stores dropped rows: of the j-th dropped row, the kept rows before it."""
    return dropped_ranks - np.arange(len(dropped_ranks), dtype=np.int64)


class Directory:
    """Counts of pairs before each group of words, per pair of columns, in bounded memory."""

    def __init__(self, budget: int = 64 << 20) -> None:
        self._budget, self._held = budget, 0
        self._lock = Lock()
        self._counts: OrderedDict[tuple[str, str, str], NDArray[np.int64]] = OrderedDict()

    def get(
        self, name: tuple[str, str, str], make: Callable[[], NDArray[np.int64]]
    ) -> NDArray[np.int64]:
        """The counts of this pair, made when they are not held."""
        with self._lock:  # the reader thread and validation share a store
            if name not in self._counts:
                self._counts[name] = make()
                self._held += self._counts[name].nbytes
            self._counts.move_to_end(name)
            counts = self._counts[name]
            while self._held > self._budget and len(self._counts) > 1:
                self._held -= self._counts.popitem(last=False)[1].nbytes
            return counts


class PairRows:
    """The rows of a pair of columns, numbered from 0.

    Args:
        one, other: bitmaps of the good rows.
        shift: of the dropped rows, see `shifts`.
        count: pairs in all.
        name: corpus and languages, in the directory.
        directory: shared by all pairs of a store.
    """

    def __init__(
        self,
        one: Words,
        other: Words,
        shift: NDArray[np.generic],
        count: int,
        name: tuple[str, str, str],
        directory: Directory,
    ) -> None:
        self._one, self._other, self._shift = one, other, shift
        self._name, self._directory = name, directory
        self.count = count

    def __len__(self) -> int:
        return self.count

    def _count_groups(self) -> NDArray[np.int64]:
        groups = -(-len(self._one) // _GROUP)
        ends = np.zeros(groups + 1, np.int64)
        step = 1 << 14
        for first in range(0, groups, step):
            words = slice(first * _GROUP, (first + step) * _GROUP)
            bits = np.bitwise_count(self._one[words] & self._other[words])
            starts = np.arange(0, len(bits), _GROUP)
            ends[first + 1 : first + 1 + len(starts)] = np.add.reduceat(
                bits, starts, dtype=np.int64
            )
        return np.cumsum(ends)

    def select(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the pairs with these numbers (each in [0, count))."""
        parts = [self._select(numbers[i : i + _AT_ONCE]) for i in range(0, len(numbers), _AT_ONCE)]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _select(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        rank = numbers + np.searchsorted(self._shift, numbers, side="right")
        counts = self._directory.get(self._name, self._count_groups)
        group = np.searchsorted(counts, rank, side="right") - 1
        words_NG = group[:, None] * _GROUP + np.arange(_GROUP)
        # Beyond the end the last word is looked at again; no rank reaches it a second time.
        inside_NG = np.minimum(words_NG, len(self._one) - 1)
        both_NG = self._one[inside_NG] & self._other[inside_NG]
        rank = rank - counts[group]
        ends_NG = np.cumsum(np.bitwise_count(both_NG), axis=1, dtype=np.int64)
        word = (ends_NG <= rank[:, None]).sum(axis=1)
        row = np.arange(len(rank))
        bits = both_NG[row, word]
        rank = rank - (ends_NG[row, word] - np.bitwise_count(bits))
        bytes_N8 = np.ascontiguousarray(bits).astype("<u8", copy=False).view(np.uint8)
        bits_NB = np.unpackbits(bytes_N8.reshape(-1, 8), axis=1, bitorder="little")
        place = (np.cumsum(bits_NB, axis=1, dtype=np.int64) <= rank[:, None]).sum(axis=1)
        found: NDArray[np.int64] = (group * _GROUP + word) * _BITS + place
        return found
