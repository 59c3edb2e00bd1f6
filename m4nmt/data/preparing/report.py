"""What preparation did with the text: report.json as plain data, and a summary for people.

Not its job: the page (report_page.py).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m4nmt.core.progress import console
from m4nmt.data.columns.column import Column
from m4nmt.data.preparing import clean, tally
from m4nmt.data.preparing.inputs import Facts, Input
from m4nmt.data.preparing.judging import PairCount
from m4nmt.data.read.table import is_left_out
from m4nmt.data.tokenizer import Tokenizer

_SAMPLES = 5
_UNREADABLE, _LEFT_OUT = clean.LINE_FILTERS[clean.UNREADABLE], "left_out"
_BLOCK = 1 << 20
LENGTHS = (0, 5, 10, 20, 30, 40, 60, 80, 100, 130, 160, 200, 250, 320, 400, 600, 1000, 2000)


class Counts:
    """Collects the counts of the row pass.

    Attributes:
        rows: by corpus, row filter and language, good lines that it dropped.
        pairs: of every corpus and pair.
        samples: by corpus and filter, a few dropped rows or pairs.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.rows: dict[str, dict[str, dict[str, int]]] = {}
        self.pairs: list[PairCount] = []
        self.samples: dict[str, dict[str, list[str]]] = {}

    def open(self, corpus: tally.CorpusColumns) -> None:
        """A corpus whose good rows are known."""
        self.rows[corpus.key] = corpus.dropped
        for name, leaked in corpus.leaked.items():
            if leaked:
                texts = [f"{n} {row + 1}: {self._text(corpus, n, row)}" for n, row in leaked]
                self.samples.setdefault(corpus.key, {})[name] = texts

    def add(self, corpus: tally.CorpusColumns, count: PairCount) -> None:
        """One more pair; keeps the text of a few dropped rows while there are few."""
        self.pairs.append(count)
        for name, found in count.samples.items():
            samples = self.samples.setdefault(corpus.key, {}).setdefault(name, [])
            for row in found[: _SAMPLES - len(samples)]:
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
    left_out = {
        (item.corpus.key, code): sum(n for kind, n in facts.faults.items() if is_left_out(kind))
        for item, facts in found
        for code in item.languages
    }
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
            _column(corpus, language, path, counts.rows.get(corpus, {}), left_out)
            for (corpus, language), path in sorted(columns.items())
        ],
        "pairs": [_pair(count) for count in counts.pairs],
        "samples": counts.samples,
        "length_bins": LENGTHS,
    }


def _pair(count: PairCount) -> dict[str, Any]:
    found: dict[str, Any] = {
        "corpus": count.corpus,
        "pair": "-".join(count.pair),
        "in": count.present,
        "kept": count.kept,
        "dropped": count.dropped,
    }
    if count.facts:
        found["learned"] = {
            name: {key: round(value, 4) for key, value in facts.items()}
            for name, facts in count.facts.items()
        }
    if count.regions:
        # Rows as people count them, from 1.
        found["regions"] = [
            {"first": one.first + 1, "last": one.last + 1, "chance": round(one.chance, 3)}
            for one in count.regions
        ]
        found["curve"] = count.curve
    return found


def _column(
    corpus: str,
    language: str,
    path: Path,
    rows: Mapping[str, Mapping[str, int]],
    left_out: Mapping[tuple[str, str], int],
) -> dict[str, Any]:
    column = Column(path)
    dropped = dict(column.meta["dropped"])
    if meant := left_out.get((corpus, language), 0):
        # A row that the manifest does not want comes as one that cannot be read.
        unreadable = dropped.pop(_UNREADABLE) - meant
        dropped |= {_LEFT_OUT: meant} | ({_UNREADABLE: unreadable} if unreadable else {})
    dropped |= {name: found[language] for name, found in rows.items() if found.get(language)}
    return {
        "corpus": corpus,
        "language": language,
        "in": column.meta["rows"],
        "kept": column.meta["rows"] - sum(dropped.values()),
        "dropped": dropped,
        "samples": column.meta["samples"],
        "lengths": _lengths(column.chars),
        "scripts": column.meta.get("scripts", {}),
    }


def _lengths(chars: NDArray[np.int32]) -> list[int]:
    """Lines of up to LENGTHS[i] characters, and of more than the one before."""
    found = np.zeros(len(LENGTHS) + 1, np.int64)
    for start in range(0, len(chars), _BLOCK):
        bins = np.searchsorted(LENGTHS, chars[start : start + _BLOCK])
        found += np.bincount(bins, minlength=len(found))
    return found.tolist()


def show(made: Mapping[str, Any]) -> None:
    """Print two lines a corpus: lines and pairs, with what was dropped of them."""
    for corpus in sorted({item["corpus"] for item in made["columns"]}):
        columns = [item for item in made["columns"] if item["corpus"] == corpus]
        pairs = [item for item in made["pairs"] if item["corpus"] == corpus]
        told = f"{corpus}: {_many(columns, 'language')}, lines: {_sum(columns)}"
        console.print(told, soft_wrap=True)
        told = f"  {_many(pairs, 'pair')} of languages, rows: {_sum(pairs)}"
        console.print(told, soft_wrap=True)


def _many(items: Sequence[Any], what: str) -> str:
    return f"{len(items):,} {what}{'' if len(items) == 1 else 's'}"


def _sum(items: Sequence[Mapping[str, Any]]) -> str:
    dropped: Counter[str] = Counter()
    for item in items:
        dropped.update(item["dropped"])
    what = "".join(f", {name} -{count:,}" for name, count in sorted(dropped.items()))
    total, kept = (sum(item[key] for item in items) for key in ("in", "kept"))
    return f"{total:,} in{what}, {kept:,} kept"
