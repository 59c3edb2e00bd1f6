"""The report as files: report.json (everything), report.md (a summary), index.html (to look at).

Not its job: scores (score), the page itself (html).
"""

import json
from pathlib import Path

from m4nmt.core.config import from_dict, parse_json, to_dict
from m4nmt.core.files import write_atomic
from m4nmt.data.language import display_name
from m4nmt.evaluate.html import page
from m4nmt.evaluate.types import NAMES, DirectionScore, Report, decoding, mean

_MOST_ROWS = 500  # of the table in Markdown; report.json has all


def load(path: Path) -> Report:
    """Read a report.json.

    Raises:
        ConfigError: not a report, or one of another version.
        OSError: no such file.
    """
    return from_dict(Report, parse_json(path.read_text("utf-8"), str(path)), str(path))


def write(report: Report, folder: Path) -> None:
    """Write the three files into a folder."""
    data = json.dumps(to_dict(report), ensure_ascii=False, indent=1)
    write_atomic(folder / "report.json", data + "\n")
    write_atomic(folder / "report.md", markdown(report))
    write_atomic(folder / "index.html", page(report))


def markdown(report: Report) -> str:
    """A summary and the scores by direction."""
    card, metrics = report.card, report.metrics
    parts = [
        f"# Scores of {card.name}",
        f"{report.parameters:,} parameters, step {card.step:,}, weights "
        f"`{card.weights_sha256[:12]}`; {report.split} data, {report.date}; "
        f"{decoding(report)}.",
        _table(
            ["directions", "number", *(f"mean {NAMES[m]}" for m in metrics)],
            [
                [name, str(len(rows)), *(_number(mean(rows, m)) for m in metrics)]
                for name, rows in (
                    ("supervised", report.supervised),
                    ("zero-shot", report.zero_shot),
                )
                if rows
            ],
        ),
        _table(
            ["direction", "", "test set", "lines", *(NAMES[m] for m in metrics), "95 % of BLEU"],
            [_row(score, metrics) for score in report.scores[:_MOST_ROWS]],
        ),
    ]
    if len(report.scores) > _MOST_ROWS:
        parts.append(f"{len(report.scores) - _MOST_ROWS} more rows are in report.json.")
    parts += [
        "Signatures:\n\n" + "\n".join(f"- `{text}`" for text in report.signatures),
        "Zero-shot directions were never trained. Means give every direction the same weight.",
    ]
    return "\n\n".join(parts) + "\n"


def _row(score: DirectionScore, metrics: tuple[str, ...]) -> list[str]:
    interval = score.interval
    return [
        f"{display_name(score.src)} → {display_name(score.tgt)} (`{score.direction}`)",
        score.band if score.trained else "zero-shot",
        score.testset,
        str(score.sentences),
        *(_number(score.value(metric)) for metric in metrics),
        f"{interval[0]:.1f} to {interval[1]:.1f}" if interval else "",
    ]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
