"""A lexical translation model: IBM model 1 with NULL, both directions, over hashed words.

Brown et al. 1993, "The mathematics of statistical machine translation", section 4.1, trained by EM
on a bounded sample. Not its job: what is done with its scores (alignment.py).

Letters: P pairs, E and F words of their first and second sides, C cells (a word of one side with
one of the other, within a pair), K kinds of cells.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.filters.features import Ragged

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NULL = 1 << 16  # a word id that no hash is
_ROUNDS = 5
_LEAST = 1e-3  # a translation less likely than this is forgotten
_TRUST = 0.9  # share of the model against word frequency
_VOCABULARY = 1 << 17


class Cells(NamedTuple):
    """All word pairs of some sentence pairs, NULL with every word too.

    Attributes:
        one_C, other_C: words.
        other_token_C: which word of the second sides the cell belongs to.
        pair_C: which pair.
    """

    one_C: Ints
    other_C: Ints
    other_token_C: Ints
    pair_C: Ints


def cells(one: Ragged, other: Ragged) -> Cells:
    """The cells of pairs, second sides' words in order, NULL the first of each.

    Args:
        one, other: words of the two sides of the same pairs.
    """
    # Every word of the other side meets the words of its pair and NULL.
    pair_F = np.repeat(np.arange(len(other.lengths_L)), other.lengths_L)
    width_F = one.lengths_L[pair_F] + 1
    token_C = np.repeat(np.arange(len(pair_F)), width_F)
    place_C = np.arange(len(token_C)) - np.repeat(np.cumsum(width_F) - width_F, width_F)
    starts_P = np.cumsum(one.lengths_L) - one.lengths_L
    at_C = starts_P[pair_F][token_C] + place_C - 1
    words_E = np.concatenate([one.words_W, np.zeros(1, np.uint16)]).astype(np.int64)
    one_C = np.where(place_C == 0, NULL, words_E[at_C])
    other_C = other.words_W.astype(np.int64)[token_C]
    return Cells(one_C, other_C, token_C, pair_F[token_C])


def expected(kind_C: Ints, token_C: Ints, weight_C: Floats, chance_K: Floats) -> Floats:
    """Expected counts of each kind of cell: one E-step of EM."""
    chance_C = chance_K[kind_C]
    total_T = np.bincount(token_C, chance_C)
    share_C = weight_C * chance_C / np.maximum(total_T[token_C], 1e-300)
    counts: Floats = np.bincount(kind_C, share_C, minlength=len(chance_K)).astype(np.float64)
    return counts


class Direction:
    """t(f | e) of likely translations, and the frequency of f, for one direction.

    Args:
        found: cells of the training sample.
        kinds: distinct (e, f) as e * _VOCABULARY + f, sorted, and the kind of each cell.
        weight_P: how much is learned from each pair.
    """

    def __init__(self, found: Cells, kinds: tuple[Ints, Ints], weight_P: Floats) -> None:
        key_K, kind_C = kinds
        weight_C = weight_P[found.pair_C]
        one_K = key_K // _VOCABULARY
        chance_K = np.ones(len(key_K))
        for _ in range(_ROUNDS):
            count_K = expected(kind_C, found.other_token_C, weight_C, chance_K)
            total_E = np.bincount(one_K, count_K, minlength=NULL + 1)
            chance_K = count_K / np.maximum(total_E[one_K], 1e-300)
        first_C = found.one_C == NULL  # one a token
        often_F = np.bincount(found.other_C[first_C], weight_C[first_C], minlength=NULL)
        self.frequency_F = (often_F + 0.5) / (often_F.sum() + 0.5 * NULL)
        kept_K = chance_K >= _LEAST
        self._fill(key_K[kept_K], chance_K[kept_K])

    def _fill(self, key_K: Ints, chance_K: Floats) -> None:
        """A hash table without chains: of two keys in one place the likelier stays."""
        self._bits = max(12, int(8 * len(key_K)).bit_length())
        self._key_H = np.full(1 << self._bits, -1, np.int64)
        self._chance_H = np.zeros(1 << self._bits, np.float32)
        order_K = np.lexsort((key_K, chance_K))
        place_K = self._place(key_K)[order_K]
        self._key_H[place_K] = key_K[order_K]
        self._chance_H[place_K] = chance_K[order_K]

    def _place(self, key: Ints) -> Ints:
        with np.errstate(over="ignore"):
            mixed = key.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return (mixed >> np.uint64(64 - self._bits)).astype(np.int64)

    def score(self, found: Cells, one: Ragged, other: Ragged) -> Floats:
        """Mean over f of log p(f | e's) / p(f) of each pair, in nats; 0 where a side is empty."""
        key_C = found.one_C * _VOCABULARY + found.other_C
        place_C = self._place(key_C)
        chance_C = np.where(self._key_H[place_C] == key_C, self._chance_H[place_C], 0)
        total_F = np.bincount(found.other_token_C, chance_C, minlength=len(other.words_W))
        pair_F = np.repeat(np.arange(len(other.lengths_L)), other.lengths_L)
        mean_F = total_F / (one.lengths_L[pair_F] + 1)
        usual_F = self.frequency_F[other.words_W]
        gain_F = np.log(_TRUST * mean_F / usual_F + 1 - _TRUST)
        sum_P = np.bincount(pair_F, gain_F, minlength=len(other.lengths_L))
        return sum_P / np.maximum(other.lengths_L, 1)


def kinds(found: Cells) -> tuple[Ints, Ints]:
    """Distinct cells of a sample and which of them each cell is."""
    key_K, kind_C = np.unique(found.one_C * _VOCABULARY + found.other_C, return_inverse=True)
    return key_K, kind_C


class Model:
    """Both directions, trained several times, each time without one fold of the sample.

    Pairs of the sample are scored by the model that has not seen them; a model knows the rare words
    of what it was trained on all too well.

    Args:
        one, other: words of the sample.
        weight_P: how much is learned from each pair, 0 to 1.
        folds: how many.
    """

    def __init__(self, one: Ragged, other: Ragged, weight_P: Floats, folds: int = 3) -> None:
        self.folds = folds
        fold_P = np.arange(len(one.lengths_L)) % folds
        self._ways: list[list[Direction]] = []
        for sides in ((one, other), (other, one)):
            found = cells(*sides)
            kinds_ = kinds(found)
            self._ways.append(
                [Direction(found, kinds_, (fold_P != fold) * weight_P) for fold in range(folds)]
            )

    def score(self, one: Ragged, other: Ragged, fold: int) -> tuple[Floats, Floats, Floats]:
        """Scores of pairs in both directions, and the share of words that both sides have.

        Args:
            one, other: words of the sides.
            fold: of the sample, that the pairs belong to (any, where they belong to none).
        """
        found = cells(one, other)
        there = self._ways[0][fold].score(found, one, other)
        same_F = np.zeros(len(other.words_W), bool)
        same_F[found.other_token_C[found.one_C == found.other_C]] = True
        pair_F = np.repeat(np.arange(len(other.lengths_L)), other.lengths_L)
        shared = np.bincount(pair_F, same_F, minlength=len(other.lengths_L))
        back = self._ways[1][fold].score(cells(other, one), other, one)
        return there, back, shared / np.maximum(other.lengths_L, 1)
