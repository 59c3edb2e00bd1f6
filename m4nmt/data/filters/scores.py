"""Scores of the rows of a pair of languages by their sentences' vectors, on disk.

A row has two: the cosine of its two lines, and that of its first line with another row's second
line, by which a reader sees what the first is worth. Two bytes each, in steps of 3e-5; 0 where a
side is empty, so that a file that was never written to says that nothing is known. Not its job:
making vectors (embedding.py), judging (pairs.py).

Letters: R rows, D components, 2 the two scores.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m4nmt.data.columns.column import read_arrow, write_arrow

FORMAT = 1
_STEPS = 32767
_ROW = 4  # bytes
Steps = NDArray[np.uint16]
Floats = NDArray[np.float32]


def pack(cosine_R: Floats) -> Steps:
    """Cosines as whole steps from 1 on."""
    steps_R = np.rint((np.clip(cosine_R, -1, 1) + 1) * _STEPS)
    return steps_R.astype(np.uint16) + np.uint16(1)


def unpack(steps_R: Steps) -> Floats:
    """Cosines; NaN where nothing is known."""
    found_R = (steps_R.astype(np.float32) - 1) / np.float32(_STEPS) - 1
    found_R[steps_R == 0] = np.nan
    return found_R


def compare(one_RD: Floats, other_RD: Floats, present_R: NDArray[np.bool_]) -> Steps:
    """Both scores of some consecutive rows, [R, 2].

    Thrown together with the first side is the second side half of these rows away.

    Args:
        one_RD, other_RD: vectors of length 1; of any content where a row is not present.
        present_R: rows with both sides.
    """
    found_R2 = np.zeros((len(present_R), 2), np.uint16)
    rows_P = np.flatnonzero(present_R)
    away_P = np.roll(rows_P, -(len(rows_P) // 2))
    found_R2[rows_P, 0] = pack(np.einsum("pd,pd->p", one_RD[rows_P], other_RD[rows_P]))
    if len(rows_P) > 1:
        found_R2[rows_P, 1] = pack(np.einsum("pd,pd->p", one_RD[rows_P], other_RD[away_P]))
    return found_R2


class Draft:
    """Scores in the making, in a raw file that a killed run leaves behind.

    Args:
        path: of the file; it goes on where there is one.
        rows: of the corpus.
    """

    def __init__(self, path: Path, rows: int) -> None:
        self._path, self._rows = path, rows
        with path.open("ab") as stream:
            stream.truncate(rows * _ROW)

    def has(self, start: int, present_R: NDArray[np.bool_]) -> bool:
        """Whether all present rows from `start` on are scored."""
        with self._path.open("rb") as stream:
            stream.seek(start * _ROW)
            raw = stream.read(len(present_R) * _ROW)
        found_P2 = np.frombuffer(raw, np.uint16).reshape(-1, 2)[present_R]
        return bool(found_P2[:, 0].all() and (len(found_P2) < 2 or found_P2[:, 1].all()))

    def put(self, start: int, found_R2: Steps) -> None:
        """Write rows from `start` on."""
        with self._path.open("r+b") as stream:
            stream.seek(start * _ROW)
            stream.write(np.ascontiguousarray(found_R2).tobytes())

    def finish(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Make the Arrow file, whole or absent."""
        shape = (self._rows, 2)
        raw_R2 = np.memmap(self._path, np.uint16, "r", shape=shape) if self._rows else np.empty(0)
        values = pa.array(np.asarray(raw_R2, np.uint16).reshape(-1))
        batch = pa.record_batch([pa.FixedSizeListArray.from_arrays(values, 2)], names=["scores"])
        write_arrow(path, batch, meta)

    def remove(self) -> None:
        """Remove the raw file."""
        self._path.unlink()


class Scores:
    """The scores of one pair of one corpus, mapped."""

    def __init__(self, path: Path) -> None:
        batch, _ = read_arrow(path)
        self._found_R2: Steps = batch.column("scores").values.to_numpy().reshape(-1, 2)

    def of(self, rows_R: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Of some rows: cosine of their lines, and of lines thrown together."""
        found_R2 = self._found_R2[rows_R]
        return unpack(found_R2[:, 0]), unpack(found_R2[:, 1])
