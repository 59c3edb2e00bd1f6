"""The examples of many directions, read together out of the columns of a store.

A block of thousands of directions has two or three examples of each, so nothing here is done
direction by direction: rows are found for all pairs of a corpus at once, ids are read column by
column. Not its job: which directions there are (store.py), which examples are drawn (plan.py).
Shape letters: D directions, J parts (the examples of a direction in one corpus), N examples.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m4nmt.data import origin
from m4nmt.data.columns.column import Column, read_arrow
from m4nmt.data.columns.ragged import groups, in_order, indices
from m4nmt.data.columns.rows import PairRows
from m4nmt.data.directions import Pair
from m4nmt.data.types import Direction, Ragged, Slices, Split

Ints = NDArray[np.int64]
Lengths = NDArray[np.int32]


def column_name(corpus: str, language: str) -> str:
    """File of a column in the store's folder."""
    return f"{corpus}.{language}.arrow"


def keep_name(corpus: str) -> str:
    """File of a corpus's bitmaps."""
    return f"{corpus}.keep.arrow"


def pairs_name(corpus: str) -> str:
    """File of a corpus's pairs."""
    return f"{corpus}.pairs.arrow"


def pair_of(direction: Direction) -> Pair:
    """The languages of a direction, in sorted order."""
    return min(direction.src, direction.tgt), max(direction.src, direction.tgt)


class StoredCorpus:
    """One corpus of a store, opened piece by piece as it is needed.

    Attributes:
        pair_number: place of each pair among those of the corpus.
        kept: examples of each pair.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.key: str = about["key"]
        self.name: str = about["name"]
        self.split: Split = about["split"]
        self._domain: str = about.get("domain", "")
        self._synthetic: tuple[str, ...] = tuple(about.get("synthetic", ()))
        self._folder = folder
        self._columns: dict[str, Column] = {}
        table, _ = read_arrow(folder / pairs_name(self.key))
        ones, others = (table.column(side).to_pylist() for side in ("one", "other"))
        self.pair_number: dict[Pair, int] = {
            pair: number for number, pair in enumerate(zip(ones, others, strict=True))
        }
        self.kept: Ints = table.column("kept").to_numpy()
        self._shift = table.column("shift")

    @cached_property
    def _keep(self) -> Any:
        return read_arrow(self._folder / keep_name(self.key))[0]

    @property
    def words(self) -> int:
        """Words of the bitmaps of all pairs together."""
        return len(self.pair_number) * self._bitmap_words

    @property
    def _bitmap_words(self) -> int:
        return int(np.diff(self._keep.column("words").offsets.to_numpy()[:2]).sum())

    def rows(self, group: int) -> PairRows:
        """The rows of its pairs."""
        words = self._keep.column("words")
        begins = words.offsets.to_numpy()
        begin = {name: begins[i] for i, name in enumerate(self._keep["language"].to_pylist())}
        sides = np.array([[begin[name] for name in pair] for pair in self.pair_number], np.int64)
        return PairRows(
            words.values.to_numpy(),
            sides.reshape(-1, 2),
            self._bitmap_words,
            self._shift.values.to_numpy(),
            self._shift.offsets.to_numpy(),
            group,
        )

    def column(self, language: str) -> Column:
        """The column of a language."""
        if language not in self._columns:
            self._columns[language] = Column(self._folder / column_name(self.key, language))
        return self._columns[language]

    def gives(self, direction: Direction) -> bool:
        """Whether it has examples of this direction, with just these tags. Test sets have no tags,
        and lines without a partner carry none."""
        if pair_of(direction) not in self.pair_number:
            return False
        if self.split != "train" or direction.task != "translate":
            return not direction.tags
        synthetic = self._synthetic
        tags = origin.tags(self._domain, synthetic, direction.src)
        return direction.tgt not in synthetic and direction.tags == tags

    def size(self, direction: Direction) -> int:
        """Examples of a direction that it gives."""
        return int(self.kept[self.pair_number[pair_of(direction)]])


class PairExamples:
    """The examples of some directions; those of one direction are numbered from 0, corpus after
    corpus.

    Args:
        directions: which; they are told apart by their places here.
        givers: for each direction, the corpora it is drawn from.
        rows: of each of these corpora.

    Attributes:
        sizes_D: examples of each direction.
    """

    def __init__(
        self,
        directions: Sequence[Direction],
        givers: Sequence[Sequence[StoredCorpus]],
        rows: Mapping[StoredCorpus, PairRows],
    ) -> None:
        self._corpora, self._rows = list(rows), list(rows.values())
        corpora = {corpus: number for number, corpus in enumerate(rows)}
        columns: dict[tuple[StoredCorpus, str], int] = {}
        parts = []
        for number, (direction, given) in enumerate(zip(directions, givers, strict=True)):
            for corpus in given:
                sides = [
                    columns.setdefault((corpus, language), len(columns))
                    for language in (direction.src, direction.tgt)
                ]
                pair = corpus.pair_number[pair_of(direction)]
                parts.append((number, corpora[corpus], pair, *sides, corpus.kept[pair]))
        self._columns = list(columns)
        table_6J = np.array(parts, np.int64).reshape(-1, 6).T
        direction_J, self._corpus_J, self._pair_J, *sides_J, size_J = table_6J
        self._sides_J = sides_J
        self._start_J = np.cumsum(size_J) - size_J  # numbered through all directions
        self.sizes_D = np.bincount(direction_J, size_J, len(directions)).astype(np.int64)
        self._start_D = np.cumsum(self.sizes_D) - self.sizes_D

    def _find(self, direction_N: Ints, example_N: Ints) -> tuple[Ints, Ints]:
        """Part and row of each example."""
        size_N = self.sizes_D[direction_N]
        wrong = np.flatnonzero((example_N < 0) | (example_N >= size_N))
        if len(wrong):
            at, size = example_N[wrong[0]], size_N[wrong[0]]
            raise IndexError(f"there is no example {at}: they are numbered from 0 to {size - 1}")
        through_N = self._start_D[direction_N] + example_N
        part_N = np.searchsorted(self._start_J, through_N, side="right") - 1
        number_N = through_N - self._start_J[part_N]
        row_N = np.empty_like(through_N)
        for corpus, here in groups(self._corpus_J[part_N]):
            row_N[here] = self._rows[corpus].select(self._pair_J[part_N[here]], number_N[here])
        return part_N, row_N

    def lengths(self, direction_N: Ints, example_N: Ints) -> tuple[Lengths, Lengths]:
        """(source, target) pieces of these examples.

        Raises:
            IndexError: there is no such example.
        """
        part_N, row_N = self._find(direction_N, example_N)
        src, tgt = (self._lengths(side_J[part_N], row_N) for side_J in self._sides_J)
        return src, tgt

    def tokens(self, direction_N: Ints, example_N: Ints) -> tuple[Slices, Slices]:
        """(source, target) ids of these examples.

        Raises:
            IndexError: there is no such example.
        """
        part_N, row_N = self._find(direction_N, example_N)
        src, tgt = (self._tokens(side_J[part_N], row_N) for side_J in self._sides_J)
        return src, tgt

    def _column(self, number: int) -> Column:
        corpus, language = self._columns[number]
        return corpus.column(language)

    def _lengths(self, column_N: Ints, row_N: Ints) -> Lengths:
        length_N = np.empty(len(row_N), np.int32)
        for column, here in groups(column_N):
            offsets, rows = self._column(column).offsets, row_N[here]
            length_N[here] = offsets[rows + 1] - offsets[rows]
        return length_N

    def _tokens(self, column_N: Ints, row_N: Ints) -> Slices:
        start_N, length_N = np.empty_like(row_N), np.empty(len(row_N), np.int32)
        values: list[NDArray[Any]] = [np.empty(0, np.uint16)]
        total = 0
        for number, here in groups(column_N):
            column, rows = self._column(number), row_N[here]
            begins = column.offsets[rows]
            lengths = column.offsets[rows + 1] - begins
            ends = np.cumsum(lengths)
            length_N[here], start_N[here] = lengths, total + ends - lengths
            values.append(column.values[indices(begins, lengths)])
            total += int(ends[-1])
        return Slices(np.concatenate(values), start_N, length_N)


class DirectionExamples:
    """The examples of one direction."""

    def __init__(self, examples: PairExamples) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return int(self._examples.sizes_D[0])

    def lengths(self, rows: Ints) -> tuple[Lengths, Lengths]:
        """(source, target) pieces of these examples."""
        return self._examples.lengths(np.zeros_like(rows), rows)

    def tokens(self, rows: Ints) -> tuple[Ragged, Ragged]:
        """(source, target) ids of these examples."""
        src, tgt = self._examples.tokens(np.zeros_like(rows), rows)
        return in_order(src), in_order(tgt)
