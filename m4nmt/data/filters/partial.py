"""Rows that hold a good part of a dev or test line: n-grams of words, looked up by language.

Letters: W words, G n-grams, L lines.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from m4nmt.data import leakage
from m4nmt.data.filters.features import Features, Ragged
from m4nmt.data.leakage import Keys, Mask


def grams(given: Ragged, n: int) -> tuple[Keys, NDArray[np.int64]]:
    """Keys of the n-grams of lines, and the line each belongs to."""
    count = max(0, len(given.words_W) - n + 1)
    owner_W = np.repeat(np.arange(len(given.lengths_L)), given.lengths_L)
    mixed_G = np.zeros(count, np.uint64)
    for place in range(n):
        mixed_G = leakage.mix(mixed_G, given.words_W[place : place + count].astype(np.uint64))
    inside_G = owner_W[:count] == owner_W[n - 1 :][:count]
    return mixed_G[inside_G], owner_W[:count][inside_G]


def known_grams(test_sets: Iterator[Features], n: int) -> Keys:
    """Sorted keys of all n-grams of test lines of one language."""
    return leakage.distinct(
        grams(test.of(np.arange(len(test.ends) - 1)), n)[0] for test in test_sets
    )


def overlapping(given: Ragged, known: Keys, n: int, least: float) -> Mask:
    """Lines of whose n-grams at least this share is known; shorter lines are left to `Overlap`."""
    keys_G, owner_G = grams(given, n)
    count = len(given.lengths_L)
    all_L = np.bincount(owner_G, minlength=count)
    known_L = np.bincount(owner_G, leakage.contains(known, keys_G), minlength=count)
    found: Mask = (all_L > 0) & (known_L >= least * all_L)
    return found
