"""Pairs of languages judged through a third one, the pivot, where there are very many pairs.

Where line i is the same sentence in every language, a line that is no translation of the pivot's is
none of the others' either: n - 1 lexical models then tell of n (n - 1) / 2 pairs. A pair is judged
through the pivot where both its languages were judged with it and nearly all its rows hold a line
of the pivot; every other pair has a model of its own. A row that most languages disagree with is
the pivot's own fault, and no other pair loses it. Not its job: lexical models (alignment.py), or
the order in which pairs are judged (judging.py).

Letters: R rows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.directions import Pair
from m4nmt.data.filters.pairs import Verdict
from m4nmt.data.filters.view import Mask, View

_NEARLY_ALL = 0.9  # of a pair's rows
_LEAST_LANGUAGES = 3  # that can outvote the pivot


class Wrong(NamedTuple):
    """Rows of a corpus whose line in a language is no translation of the pivot's.

    Attributes:
        corpus, language: which.
        rows: of the corpus.
        bits: their mask, packed.
        present: of the rows that were judged, packed alike.
    """

    corpus: str
    language: str
    rows: int
    bits: NDArray[np.uint8]
    present: NDArray[np.uint8]

    def mask(self) -> Mask:
        """The rows."""
        return np.unpackbits(self.bits, count=self.rows).astype(bool)


def pivot(pairs: Sequence[Pair], lines: Mapping[str, int], most: int) -> str:
    """The language that stands in most pairs, of several the one with most good lines.

    Args:
        pairs: of languages.
        lines: good ones of each language.
        most: "" where no more pairs than this lack it.
    """
    counts = Counter(code for pair in pairs for code in pair)
    if not counts:
        return ""
    chosen = min(counts, key=lambda code: (-counts[code], -lines[code], code))
    return chosen if len(pairs) - counts[chosen] > most else ""


class Through:
    """What is known of the lines of each language from its pair with the pivot."""

    def __init__(self, pivot: str) -> None:
        self.pivot = pivot
        self._wrong: dict[tuple[str, str], Wrong] = {}
        self._faults: dict[str, Mask] = {}

    def found(
        self, pair: Pair, keys: Sequence[str], views: Sequence[View], by: Verdict
    ) -> list[Wrong]:
        """What a model of a pair with the pivot says; nothing where it had no evidence."""
        if self.pivot not in pair or "power" not in by.facts:
            return []
        language = pair[0] if pair[1] == self.pivot else pair[1]
        return [
            Wrong(key, language, view.rows, np.packbits(drop_R), np.packbits(view.present_R))
            for key, view, drop_R in zip(keys, views, by.drop, strict=True)
        ]

    def learn(self, wrong: Sequence[Wrong]) -> None:
        """Take in what was found."""
        for one in wrong:
            self._wrong[one.corpus, one.language] = one

    def settle(self) -> None:
        """All pairs with the pivot were judged: find the rows in which the pivot is outvoted."""
        by_corpus: dict[str, list[Wrong]] = {}
        for one in self._wrong.values():
            by_corpus.setdefault(one.corpus, []).append(one)
        for key, found in by_corpus.items():
            against_R = np.zeros(found[0].rows, np.uint16)
            asked_R = np.zeros_like(against_R)
            for one in found:
                against_R += one.mask()
                asked_R += np.unpackbits(one.present, count=one.rows)
            self._faults[key] = (asked_R >= _LEAST_LANGUAGES) & (2 * against_R > asked_R)

    def verdict(
        self, pair: Pair, views: Mapping[str, View], lines: Mapping[str, Mask]
    ) -> Verdict | None:
        """What follows for a pair without the pivot; None where it needs a model of its own.

        Args:
            pair: of languages.
            views: of the corpora that have it.
            lines: of these, the rows that hold a good line of the pivot, where there is one.
        """
        if self.pivot in pair:
            return None
        drop = []
        total = through = 0
        for key, view in views.items():
            sides = [self._wrong.get((key, code)) for code in pair]
            if key not in lines or None in sides:
                return None
            wrong_R = np.logical_or(*(side.mask() for side in sides if side))
            drop.append(view.present_R & wrong_R & ~self._faults[key])
            total += int(np.count_nonzero(view.present_R))
            through += int(np.count_nonzero(view.present_R & lines[key]))
        return Verdict(drop) if through >= _NEARLY_ALL * total else None
