"""Which rows of two aligned columns are pairs, found without listing them.

A column's good rows are a bitmap; the rows of a pair are the AND of two bitmaps, less the few that
pair filters drop. The k-th pair is found by rank and select, so n languages give n (n - 1)
directions with n bitmaps and short lists, whatever the size of the corpus. Rows of many pairs are
found together: with thousands of directions a block holds two or three examples of each.
Shape letters: P pairs of a corpus, G groups of words, N rows looked up, W words of a group.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
_BITS = 64
_LEAST_GROUP = 8  # words counted together: 64 bytes, a line of a processor's cache
_BUDGET = 16 << 20  # counts of all groups of all pairs of a store
_AT_ONCE = 1 << 19  # words looked at together
_COUNTED = 1 << 20  # words counted at a time


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


def group_words(words: int) -> int:
    """Words to count together, where the bitmaps of all pairs of a store have so many in all: as
    few as leave the counts in a budget."""
    group = _LEAST_GROUP
    while words // group > _BUDGET:
        group *= 2
    return group


def bisect(values: NDArray[Any], first_N: Ints, end_N: Ints, wanted_N: Ints) -> Ints:
    """First place in [first, end) whose value is above the wanted one, or `end` [N].

    Args:
        values: rise, as far as they lie between a first and its end.
    """
    low_N, high_N = first_N, end_N
    for _ in range(int((end_N - first_N).max(initial=0)).bit_length()):
        middle_N = (low_N + high_N) >> 1
        found_N = low_N == high_N  # the middle may lie beyond all values
        above_N = values[np.minimum(middle_N, len(values) - 1)] > wanted_N
        low_N = np.where(above_N | found_N, low_N, middle_N + 1)
        high_N = np.where(above_N, middle_N, high_N)
    return low_N


class PairRows:
    """The rows of the pairs of a corpus, of each pair numbered from 0.

    Args:
        words: bitmaps of the good rows of all columns, one after another.
        sides_P2: where the bitmaps of a pair's two columns begin.
        length: words of one bitmap.
        shift: of the dropped rows, see `shifts`; those of a pair begin at
        shift_P: which also has the end of the last pair's [P + 1].
        group: words that are counted together, see `group_words`.
    """

    def __init__(
        self,
        words: Words,
        sides_P2: Ints,
        length: int,
        shift: NDArray[Any],
        shift_P: Ints,
        group: int,
    ) -> None:
        self._words, self._sides_P2, self._length = words, sides_P2, length
        self._shift, self._shift_P, self._group = shift, shift_P, group
        # Pairs before each group, and in all. Pages that no pair has come to take no memory.
        width = -(-length // group) + 1
        counted = np.min_scalar_type(length * _BITS)
        self._counts_PG = np.zeros((len(sides_P2), width), counted)
        self._known_P = np.zeros(len(sides_P2), bool)

    def _count(self, pair: int) -> None:
        one, other = (self._words[at : at + self._length] for at in self._sides_P2[pair].tolist())
        step = max(1, _COUNTED // self._group) * self._group
        parts = [np.empty(0, np.int64)]
        for first in range(0, self._length, step):
            bits = np.bitwise_count(one[first : first + step] & other[first : first + step])
            starts = np.arange(0, len(bits), self._group)
            parts.append(np.add.reduceat(bits, starts, dtype=np.int64))
        # Another thread may do the same just now, and one that knows may read: nothing but the
        # final numbers is ever written.
        self._counts_PG[pair, 1:] = np.cumsum(np.concatenate(parts))
        self._known_P[pair] = True

    def select(self, pair_N: Ints, number_N: Ints) -> Ints:
        """Rows of the pairs with these numbers, each below the count of its pair [N]."""
        for pair in np.unique(pair_N[~self._known_P[pair_N]]).tolist():
            self._count(pair)
        step = max(1, _AT_ONCE // self._group)
        parts = [
            self._select(pair_N[i : i + step], number_N[i : i + step])
            for i in range(0, len(pair_N), step)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _select(self, pair_N: Ints, number_N: Ints) -> Ints:
        first_N = self._shift_P[pair_N]
        rank_N = number_N - first_N
        rank_N += bisect(self._shift, first_N, self._shift_P[pair_N + 1], number_N)
        counts, width = self._counts_PG.reshape(-1), self._counts_PG.shape[1]
        first_N = pair_N * width
        at_N = bisect(counts, first_N, first_N + width, rank_N) - 1
        rank_N -= counts[at_N]
        word_N = (at_N - first_N) * self._group
        # Beyond the end the last word is looked at again; no rank reaches it a second time.
        inside_NW = np.minimum(word_N[:, None] + np.arange(self._group), self._length - 1)
        one_N2 = self._sides_P2[pair_N]
        both_NW = self._words[one_N2[:, :1] + inside_NW] & self._words[one_N2[:, 1:] + inside_NW]
        word, rank_N = _nth(np.bitwise_count(both_NW), rank_N)
        bits_N = both_NW[np.arange(len(rank_N)), word]
        bytes_N8 = bits_N.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)
        byte, rank_N = _nth(np.bitwise_count(bytes_N8), rank_N)
        bit = _PLACE[bytes_N8[np.arange(len(rank_N)), byte], rank_N]
        found: Ints = (word_N + word) * _BITS + byte * 8 + bit
        return found


def _nth(counts_NX: NDArray[np.uint8], rank_N: Ints) -> tuple[Ints, Ints]:
    """Which of the things counted in a row holds the one of this rank, and its rank there [N]."""
    ends_NX = np.cumsum(counts_NX, axis=1, dtype=np.int32)
    which_N = (ends_NX <= rank_N[:, None]).sum(axis=1)
    row = np.arange(len(rank_N))
    return which_N, rank_N - (ends_NX[row, which_N] - counts_NX[row, which_N])


def _places() -> NDArray[np.int64]:
    """Where the r-th set bit of each byte is [256, 8]; 0 where it has fewer."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    places = np.zeros((256, 8), np.int64)
    byte, bit = np.nonzero(bits)
    places[byte, (np.cumsum(bits, axis=1) - 1)[byte, bit]] = bit
    return places


_PLACE = _places()
