"""A pair of languages of one corpus, as pair filters see it: rows, in blocks, with what is known.

Not its job: judging (pairs.py, near.py).

Letters: R rows, of all of a corpus or of one block.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.columns.column import Column
from m4nmt.data.filters.alignment import Sides
from m4nmt.data.filters.features import Features
from m4nmt.data.filters.scores import Scores
from m4nmt.data.filters.settings import EmbeddingScore

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]
BLOCK = 1 << 16


@dataclass(frozen=True)
class View:
    """Two columns of a corpus and the rows in which both lines are good.

    Attributes:
        columns: of the two languages.
        features: of the two; empty where no filter asked for any.
        present_R: rows that pair filters are asked about.
        scores: of the rows, for each filter that asks for them.
    """

    columns: tuple[Column, Column]
    features: tuple[Features, ...]
    present_R: Mask
    scores: Mapping[EmbeddingScore, Scores] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of the corpus."""
        return len(self.present_R)

    def blocks(self, mask_R: Mask | None = None) -> Iterator[Ints]:
        """Present rows (or those of a mask), some at a time."""
        wanted_R = self.present_R if mask_R is None else mask_R
        for start in range(0, self.rows, BLOCK):
            rows_R = np.flatnonzero(wanted_R[start : start + BLOCK]) + start
            if len(rows_R):
                yield rows_R

    def chars(self, rows_R: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Characters of the two sides."""
        one, other = (column.chars[rows_R].astype(np.float64) for column in self.columns)
        return one, other

    def sides(self, rows_R: Ints) -> Sides:
        """Words and lengths of the two sides."""
        one, other = (features.of(rows_R) for features in self.features)
        return Sides(one, other, *self.chars(rows_R))

    def signatures(self, rows_R: Ints) -> NDArray[np.uint32]:
        """MinHash of each pair: of the union of its sides' n-grams."""
        one, other = (features.minhash_LK[rows_R] for features in self.features)
        return np.minimum(one, other)
