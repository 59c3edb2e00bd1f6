"""What preparation did with the text: report.json, and a summary for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from m4nmt.core.progress import console
from m4nmt.data.column import read_meta
from m4nmt.data.inputs import Facts, Input
from m4nmt.data.tally import PairCount


@dataclass
class Counts:
    """Of the row pass: rows dropped for overlap by corpus and language, and every pair."""

    overlap: dict[str, dict[str, int]] = field(default_factory=dict)
    pairs: list[PairCount] = field(default_factory=list)


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
    }


def _column(corpus: str, language: str, path: Path, overlap: int) -> dict[str, Any]:
    meta = read_meta(path) or {}
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
    """Print a line a corpus."""
    table = Table(title="prepared", title_justify="left")
    for name in ("corpus", "languages", "lines", "good lines", "pairs of languages", "pairs kept"):
        table.add_column(name, justify="left" if name == "corpus" else "right")
    table.add_column("dropped")
    corpora = sorted({item["corpus"] for item in made["columns"]})
    for corpus in corpora:
        columns = [item for item in made["columns"] if item["corpus"] == corpus]
        pairs = [item for item in made["pairs"] if item["corpus"] == corpus]
        dropped: Counter[str] = Counter()
        for item in (*columns, *pairs):
            dropped.update(item["dropped"])
        table.add_row(
            corpus,
            str(len(columns)),
            f"{sum(item['in'] for item in columns):,}",
            f"{sum(item['kept'] for item in columns):,}",
            f"{len(pairs):,}",
            f"{sum(item['kept'] for item in pairs):,}",
            ", ".join(f"{name} {count:,}" for name, count in sorted(dropped.items())),
        )
    console.print(table)
