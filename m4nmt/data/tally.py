"""The row pass: from encoded columns to good rows, pairs, sizes and drop counts.

Columns are looked at block by block, pairs one after another, so memory does not grow with the
corpus. Writes, per corpus, the bitmaps of good rows and the table of pairs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m4nmt.data import clean, leakage, rows
from m4nmt.data.column import Column, write_arrow
from m4nmt.data.directions import Pair
from m4nmt.data.leakage import Keys, Mask
from m4nmt.data.settings import FilterConfig

_BLOCK = 1 << 18
_SAMPLES = 5


@dataclass
class CorpusColumns:
    """The encoded columns of one corpus.

    Attributes:
        key: of the corpus.
        columns: by language.
        pairs: wanted of it, sorted.
        keep: good rows by language; filled by `keep_rows`.
        overlap: rows by language that only the overlap with test sets dropped.
        leaked: the first few of those rows, each with a language in which it is known.
    """

    key: str
    columns: Mapping[str, Column]
    pairs: Sequence[Pair]
    keep: dict[str, Mask] = field(default_factory=dict)
    overlap: dict[str, int] = field(default_factory=dict)
    leaked: list[tuple[str, int]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Lines of every column."""
        return len(next(iter(self.columns.values())))


class PairCount(NamedTuple):
    """What became of the rows of one pair: both sides present, kept, dropped by filter.

    `first` is, by filter, the first dropped one among the present rows.
    """

    corpus: str
    pair: Pair
    present: int
    kept: int
    dropped: dict[str, int]
    first: dict[str, int]


def known_keys(test_sets: Sequence[CorpusColumns]) -> dict[str, Keys]:
    """Keys of all dev and test lines, by language."""
    languages = {language for corpus in test_sets for language in corpus.columns}
    return {
        language: leakage.distinct(
            column.keys[column.keys != 0]
            for corpus in test_sets
            for name, column in corpus.columns.items()
            if name == language
        )
        for language in sorted(languages)
    }


def keep_rows(corpus: CorpusColumns, known: Mapping[str, Keys]) -> None:
    """Find the good rows of every column; rows that overlap with a test set are good in none."""
    corpus.keep = {name: c.flags == clean.GOOD for name, c in corpus.columns.items()}
    corpus.overlap = dict.fromkeys(corpus.columns, 0)
    if not known:
        return
    for block in _blocks(corpus.rows):
        keys = {name: column.keys[block] for name, column in corpus.columns.items()}
        leaked = leakage.overlap(keys, known)
        for name, keep in corpus.keep.items():
            corpus.overlap[name] += int(np.count_nonzero(keep[block] & leaked))
            keep[block] &= ~leaked
        for row in np.flatnonzero(leaked)[: _SAMPLES - len(corpus.leaked)].tolist():
            one = {name: column[row : row + 1] for name, column in keys.items()}
            name = next(n for n in one if leakage.overlap({n: one[n]}, known)[0])
            corpus.leaked.append((name, block.start + row))


def _blocks(total: int) -> Iterator[slice]:
    for first in range(0, total, _BLOCK):
        yield slice(first, min(total, first + _BLOCK))


def repeated_lines(corpora: Sequence[CorpusColumns]) -> dict[tuple[str, str], Mask]:
    """By corpus and language: lines that occur more than once in that language's corpora."""
    found: dict[tuple[str, str], Mask] = {}
    for language in sorted({name for corpus in corpora for name in corpus.columns}):
        having = [corpus for corpus in corpora if language in corpus.columns]

        def chunks(having: list[CorpusColumns] = having, name: str = language) -> Iterator[Keys]:
            for corpus in having:
                for block in _blocks(corpus.rows):
                    yield np.where(corpus.keep[name][block], corpus.columns[name].keys[block], 0)

        repeated, _ = leakage.repeats(chunks, sum(corpus.rows for corpus in having))
        start = 0
        for corpus in having:
            found[corpus.key, language] = repeated[start : start + corpus.rows]
            start += corpus.rows
    return found


def count_pairs(
    corpora: Sequence[CorpusColumns], filters: FilterConfig | None
) -> Iterator[tuple[CorpusColumns, PairCount, NDArray[np.int64]]]:
    """For each pair of each corpus: what is kept of it, and the shifts of the dropped rows.

    Args:
        corpora: of one split, in the order of their examples.
        filters: the pair filters; None keeps every pair of good lines.
    """
    wanted = sorted({pair for corpus in corpora for pair in corpus.pairs})
    repeated: dict[tuple[str, str], Mask] = {}
    if filters is not None and filters.duplicates:
        repeated = repeated_lines(corpora)
    offered = {corpus.key: set(corpus.pairs) for corpus in corpora}
    for pair in wanted:
        having = [corpus for corpus in corpora if pair in offered[corpus.key]]
        judged = [_judge(corpus, pair, filters, repeated) for corpus in having]
        _drop_duplicates(judged)
        for corpus, item in zip(having, judged, strict=True):
            yield corpus, _count(corpus.key, pair, item), rows.shifts(item.ranks)


@dataclass
class _Judged:
    """Reasons of the dropped among the present rows; candidates for duplicates with their keys."""

    present: int
    ranks: NDArray[np.int64]
    reasons: NDArray[np.uint8]
    candidates: NDArray[np.int64]
    keys: Keys


def _judge(
    corpus: CorpusColumns,
    pair: Pair,
    filters: FilterConfig | None,
    repeated: Mapping[tuple[str, str], Mask],
) -> _Judged:
    one, other = (corpus.columns[name] for name in pair)
    keep = [corpus.keep[name] for name in pair]
    present = 0
    ranks, reasons, candidates, keys = [], [], [], []
    typical = _typical(corpus, pair) if filters is not None else 1.0
    for block in _blocks(corpus.rows):
        here = np.flatnonzero(keep[0][block] & keep[1][block]) + block.start
        if filters is not None:
            sides = one.keys[here], other.keys[here]
            reason = clean.judge_pairs(
                sides, (one.chars[here], other.chars[here]), typical, filters
            )
            dropped = np.flatnonzero(reason)
            ranks.append(dropped + present)
            reasons.append(reason[dropped])
            if repeated:
                both = repeated[corpus.key, pair[0]][here] & repeated[corpus.key, pair[1]][here]
                again = np.flatnonzero(both & (reason == 0))
                candidates.append(again + present)
                keys.append(leakage.mix(sides[0][again], sides[1][again]))
        present += len(here)
    return _Judged(
        present,
        _join(ranks, np.int64),
        _join(reasons, np.uint8),
        _join(candidates, np.int64),
        _join(keys, np.uint64),
    )


def _join(parts: list[Any], dtype: Any) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _typical(corpus: CorpusColumns, pair: Pair) -> float:
    """Characters of the first language per character of the second, over all good pairs."""
    sums = [0, 0]
    for block in _blocks(corpus.rows):
        both = corpus.keep[pair[0]][block] & corpus.keep[pair[1]][block]
        for side, name in enumerate(pair):
            sums[side] += int(corpus.columns[name].chars[block].sum(where=both, dtype=np.int64))
    return sums[0] / sums[1] if sums[0] and sums[1] else 1.0


def _drop_duplicates(judged: Sequence[_Judged]) -> None:
    """Mark pairs that occurred before, in this corpus or an earlier one."""
    total = sum(len(item.keys) for item in judged)
    if total < 2:
        return
    _, later = leakage.repeats(lambda: (item.keys for item in judged), total)
    start = 0
    for item in judged:
        mask = later[start : start + len(item.keys)]
        start += len(item.keys)
        ranks = np.concatenate([item.ranks, item.candidates[mask]])
        reasons = np.full(len(ranks), clean.DUPLICATES, np.uint8)
        reasons[: len(item.reasons)] = item.reasons
        order = np.argsort(ranks, kind="stable")
        item.ranks, item.reasons = ranks[order], reasons[order]


def _count(corpus: str, pair: Pair, judged: _Judged) -> PairCount:
    dropped, first = {}, {}
    for reason, name in enumerate(clean.PAIR_FILTERS):
        found = judged.ranks[judged.reasons == reason]
        if len(found):
            dropped[name], first[name] = len(found), int(found[0])
    return PairCount(
        corpus, pair, judged.present, judged.present - len(judged.ranks), dropped, first
    )


def row_at(corpus: CorpusColumns, pair: Pair, rank: int) -> int:
    """Row of the rank-th pair of good lines."""
    for block in _blocks(corpus.rows):
        both = np.flatnonzero(corpus.keep[pair[0]][block] & corpus.keep[pair[1]][block])
        if rank < len(both):
            return int(both[rank]) + int(block.start)
        rank -= len(both)
    raise IndexError(f"{corpus.key} has no such pair")


def write_keep(path: Path, corpus: CorpusColumns) -> None:
    """The bitmaps of good rows, one row a language."""
    names = sorted(corpus.keep)
    words = pa.array([rows.pack(corpus.keep[name]) for name in names], pa.large_list(pa.uint64()))
    batch = pa.record_batch([pa.array(names), words], names=["language", "words"])
    write_arrow(path, batch, {"rows": corpus.rows})


class PairTable:
    """Collects the pairs of one corpus and writes them as one file."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, int, NDArray[np.int64]]] = []

    def add(self, count: PairCount, shift: NDArray[np.int64]) -> None:
        """One more pair."""
        self._rows.append((*count.pair, count.kept, shift))

    def write(self, path: Path) -> None:
        """One row a pair: languages, kept pairs, shifts of the dropped ones."""
        columns: list[Any] = [list(column) for column in zip(*self._rows, strict=True)]
        one, other, kept, shift = columns or ([], [], [], [])
        arrays = [
            pa.array(one, pa.string()),
            pa.array(other, pa.string()),
            pa.array(kept, pa.int64()),
            pa.array(shift, pa.large_list(pa.int64())),
        ]
        write_arrow(path, pa.record_batch(arrays, names=["one", "other", "kept", "shift"]), {})
