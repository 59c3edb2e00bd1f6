"""The examples of denoising directions: lines in, (noisy line, what is to be said) out.

An example's number is epoch * size + line, so that the same line has other noise in each epoch.
Not its job: which pieces are masked (noise.py).
Shape letters: D directions, R rows, P pieces of all rows.
"""

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.columns.ragged import in_order
from m4nmt.data.settings import Mass, Noise
from m4nmt.data.stream.order import GOLDEN, U64, mix
from m4nmt.data.tasks import noise as noises
from m4nmt.data.types import ManyExamples, Ragged

Ints = NDArray[np.int64]
Lengths = NDArray[np.int32]


class Noisy:
    """Noise of one kind on the lines of many languages, read together.

    Args:
        lines: of all directions, those of other tasks included; both sides of these alike.
        sizes_D: lines of each direction.
        seeds_D: another one is other noise.
        noise: what kind.
        mask: id that stands for what was taken out.
    """

    def __init__(
        self, lines: ManyExamples, sizes_D: Ints, seeds_D: U64, noise: Noise, mask: int
    ) -> None:
        self._lines, self._noise, self._mask = lines, noise, mask
        self._sizes_D, self._seeds_D = sizes_D, seeds_D

    def _keys(self, direction_R: Ints, number_R: Ints) -> U64:
        return mix(number_R.astype(np.uint64) * GOLDEN + self._seeds_D[direction_R])

    def lengths(self, direction_R: Ints, number_R: Ints) -> tuple[Lengths, Lengths]:
        """(source, target) pieces of these examples."""
        line_R = number_R % self._sizes_D[direction_R]
        length_R = self._lines.lengths(direction_R, line_R)[1].astype(np.int64)
        keys_R = self._keys(direction_R, number_R)
        src_R, tgt_R = noises.lengths(self._noise, length_R, keys_R)
        return src_R.astype(np.int32), tgt_R.astype(np.int32)

    def tokens(self, direction_R: Ints, number_R: Ints) -> tuple[Ragged, Ragged]:
        """(source, target) ids of these examples."""
        line_R = number_R % self._sizes_D[direction_R]
        line = in_order(self._lines.tokens(direction_R, line_R)[1])
        length_R = np.diff(line.offsets)
        spans = noises.spans(self._noise, length_R, self._keys(direction_R, number_R))
        begin_J = line.offsets[spans.row_J] + spans.first_J
        edges_P = np.zeros(len(line.values) + 1, np.int64)
        edges_P[begin_J] += 1  # spans do not touch within a row, but may where two rows meet
        edges_P -= np.bincount(begin_J + spans.length_J, minlength=len(edges_P))
        masked_P = np.cumsum(edges_P[:-1]) > 0
        if isinstance(self._noise, Mass):
            src = Ragged(np.where(masked_P, np.int32(self._mask), line.values), line.offsets)
            return src, _cut(line, masked_P)
        values = line.values.copy()
        values[begin_J] = self._mask
        masked_P[begin_J] = False
        return _cut(Ragged(values, line.offsets), ~masked_P), line


def _cut(line: Ragged, kept_P: NDArray[np.bool_]) -> Ragged:
    """Some pieces of each row."""
    counts = np.concatenate([[0], np.cumsum(kept_P)])
    return Ragged(line.values[kept_P], counts[line.offsets])
