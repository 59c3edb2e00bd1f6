"""The row pass: from encoded columns to good rows, and what is written of rows and pairs.

Columns are looked at block by block: a row costs a byte of memory a language. Writes, per corpus,
the bitmaps of good rows and the table of pairs. Not its job: judging pairs (judging.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m4nmt.data import leakage
from m4nmt.data.columns import rows
from m4nmt.data.columns.column import Column, write_arrow
from m4nmt.data.directions import Pair
from m4nmt.data.filters import partial
from m4nmt.data.filters.features import Features
from m4nmt.data.filters.settings import EmbeddingScore, FilterChain, Overlap, RowFilter
from m4nmt.data.leakage import Keys, Mask
from m4nmt.data.preparing import clean

_BLOCK = 1 << 18
_SAMPLES = 5


@dataclass
class CorpusColumns:
    """The encoded columns of one corpus.

    Attributes:
        key: of the corpus.
        columns: by language.
        pairs: wanted of it, sorted.
        alone: languages whose lines are wanted without a partner, sorted.
        keep: good rows by language; filled by `keep_rows`.
        features: of the columns, by language; none where no filter asks for any.
        scores: files of scores, by pair and the filter that asks for them.
        dropped: good lines by language and row filter that it dropped.
        leaked: by row filter, the first few of those rows, each with a language in which it is
            known.
    """

    key: str
    columns: Mapping[str, Column]
    pairs: Sequence[Pair]
    alone: Sequence[str] = ()
    keep: dict[str, Mask] = field(default_factory=dict)
    features: Mapping[str, Features] = field(default_factory=dict)
    scores: Mapping[Pair, Mapping[EmbeddingScore, Path]] = field(default_factory=dict)
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)
    leaked: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Lines of every column."""
        return len(next(iter(self.columns.values())))


@dataclass(frozen=True)
class Known:
    """What the dev and test sets hold, by language: keys of lines, or of n-grams of words."""

    config: RowFilter
    keys: Mapping[str, Keys]

    def overlap(self, corpus: CorpusColumns, language: str, block: slice) -> Mask:
        """Rows of a block whose line of this language is known."""
        config, keys = self.config, self.keys[language]
        if isinstance(config, Overlap):
            return leakage.contains(keys, corpus.columns[language].keys[block])
        words = corpus.features[language].of(np.arange(block.start, block.stop))
        return partial.overlapping(words, keys, config.n, config.least)


def known(chain: FilterChain, test_sets: Sequence[CorpusColumns]) -> list[Known]:
    """What the row filters of a chain look for."""
    languages = sorted({language for corpus in test_sets for language in corpus.columns})
    having = {code: [c for c in test_sets if code in c.columns] for code in languages}
    found = []
    for config in chain.rows:
        keys: dict[str, Keys] = {}
        for code, corpora in having.items():
            if isinstance(config, Overlap):
                columns = (corpus.columns[code].keys for corpus in corpora)
                keys[code] = leakage.distinct(column[column != 0] for column in columns)
            else:
                features = (corpus.features[code] for corpus in corpora)
                keys[code] = partial.known_grams(features, config.n)
        found.append(Known(config, keys))
    return found


def keep_rows(corpus: CorpusColumns, looked_for: Sequence[Known]) -> None:
    """Find the good rows of every column; rows that overlap with a test set are good in none."""
    corpus.keep = {name: c.flags == clean.GOOD for name, c in corpus.columns.items()}
    for one in looked_for:
        name = clean.name(one.config)
        counts = corpus.dropped.setdefault(name, dict.fromkeys(corpus.columns, 0))
        samples = corpus.leaked.setdefault(name, [])
        for block in _blocks(corpus.rows):
            by_language = {
                code: one.overlap(corpus, code, block)
                for code in corpus.columns
                if code in one.keys
            }
            leaked = np.zeros(block.stop - block.start, bool)
            for mask in by_language.values():
                leaked |= mask
            new = np.zeros_like(leaked)
            for code, keep in corpus.keep.items():
                gone = keep[block] & leaked
                counts[code] += int(np.count_nonzero(gone))
                keep[block] &= ~leaked
                new |= gone
            for row in np.flatnonzero(new)[: _SAMPLES - len(samples)].tolist():
                code = next(code for code, mask in by_language.items() if mask[row])
                samples.append((code, block.start + row))


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


def count_alone(corpus: CorpusColumns) -> Iterator[tuple[Pair, int]]:
    """For each language that is wanted without a partner: it, twice, and its good rows."""
    for code in corpus.alone:
        yield (code, code), int(np.count_nonzero(corpus.keep[code]))


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

    def add(self, pair: Pair, kept: int, shift: NDArray[np.int64]) -> None:
        """One more pair."""
        self._rows.append((*pair, kept, shift))

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
