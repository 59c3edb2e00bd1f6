"""What preparation did with the text: report.json, and a summary for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m4nmt.core.progress import console
from m4nmt.data import clean, tally
from m4nmt.data.column import read_meta
from m4nmt.data.inputs import Facts, Input
from m4nmt.data.tokenizer import Tokenizer

_SAMPLES = 5


class Counts:
    """Collects the counts of the row pass.

    Attributes:
        overlap: by corpus and language, good lines that were dropped for overlap with test sets.
        pairs: of every corpus and pair.
        samples: by corpus and filter, a few dropped pairs.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.overlap: dict[str, dict[str, int]] = {}
        self.pairs: list[tally.PairCount] = []
        self.samples: dict[str, dict[str, list[str]]] = {}

    def open(self, corpus: tally.CorpusColumns) -> None:
        """A corpus whose good rows are known."""
        self.overlap[corpus.key] = corpus.overlap
        if corpus.leaked:
            texts = [f"{n} {row + 1}: {self._text(corpus, n, row)}" for n, row in corpus.leaked]
            self.samples[corpus.key] = {clean.LINE_FILTERS[clean.OVERLAP]: texts}

    def add(self, corpus: tally.CorpusColumns, count: tally.PairCount) -> None:
        """One more pair; keeps the text of its first dropped rows while there are few."""
        self.pairs.append(count)
        for name, rank in count.first.items():
            samples = self.samples.setdefault(corpus.key, {}).setdefault(name, [])
            if len(samples) < _SAMPLES:
                row = tally.row_at(corpus, count.pair, rank)
                sides = (self._text(corpus, language, row) for language in count.pair)
                samples.append(f"{'-'.join(count.pair)} {row + 1}: {' ||| '.join(sides)}")

    def _text(self, corpus: tally.CorpusColumns, language: str, row: int) -> str:
        column = corpus.columns[language]
        ids = column.values[column.offsets[row] : column.offsets[row + 1]]
        return self._tokenizer.decode([np.asarray(ids).tolist()])[0]


def make(
    found: Sequence[tuple[Input, Facts]], columns: Mapping[tuple[str, str], Path], counts: Counts
) -> dict[str, Any]:
    """The report as plain data: files, columns (lines by filter), pairs (rows by filter)."""
    return {
        "files": [
            {
                "corpus": item.corpus.key,
                "file": item.file,
                "lines": facts.rows,
                "sha256": facts.sha256,
                "faults": dict(facts.faults),
                "samples": list(facts.samples),
            }
            for item, facts in found
        ],
        "columns": [
            _column(corpus, language, path, counts.overlap[corpus].get(language, 0))
            for (corpus, language), path in sorted(columns.items())
        ],
        "pairs": [
            {
                "corpus": count.corpus,
                "pair": "-".join(count.pair),
                "in": count.present,
                "kept": count.kept,
                "dropped": count.dropped,
            }
            for count in counts.pairs
        ],
        "samples": counts.samples,
    }


def _column(corpus: str, language: str, path: Path, overlap: int) -> dict[str, Any]:
    meta = read_meta(path)
    dropped = dict(meta["dropped"])
    if overlap:
        dropped["overlap"] = overlap
    return {
        "corpus": corpus,
        "language": language,
        "in": meta["rows"],
        "kept": meta["rows"] - sum(dropped.values()),
        "dropped": dropped,
        "samples": meta["samples"],
    }


def show(made: Mapping[str, Any]) -> None:
    """Print two lines a corpus: lines and pairs, with what was dropped of them."""
    for corpus in sorted({item["corpus"] for item in made["columns"]}):
        columns = [item for item in made["columns"] if item["corpus"] == corpus]
        pairs = [item for item in made["pairs"] if item["corpus"] == corpus]
        console.print(f"{corpus}: {len(columns)} languages, lines: {_sum(columns)}", soft_wrap=True)
        console.print(f"  {len(pairs)} pairs of languages, rows: {_sum(pairs)}", soft_wrap=True)


def _sum(items: Sequence[Mapping[str, Any]]) -> str:
    dropped: Counter[str] = Counter()
    for item in items:
        dropped.update(item["dropped"])
    what = "".join(f", {name} -{count:,}" for name, count in sorted(dropped.items()))
    total, kept = (sum(item[key] for item in items) for key in ("in", "kept"))
    return f"{total:,} in{what}, {kept:,} kept"
