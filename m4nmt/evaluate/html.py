"""The report as one page that needs nothing else: no request, no library.

Numbers go in as JSON, which the page's own script draws as table, heat map and samples; tiles,
bars and the rest are drawn here. The look and the script are in page.html.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib import resources
from typing import Any

from m4nmt.data.language import display_name, is_rtl
from m4nmt.evaluate.types import NAMES, DirectionScore, Report, decoding, mean

_SAMPLE_BYTES = 1_500_000  # of sample translations in a page; report.json has all
_GROUPS = {
    "high": "high resource",
    "mid": "mid resource",
    "low": "low resource",
    "": "band unknown",
    "zero": "zero-shot",
}


def page(report: Report) -> str:
    """The whole page."""
    fields = {
        "name": escape(report.card.name),
        "facts": _facts(report),
        "tiles": _tiles(report),
        "bars": _bars(report),
        "signatures": "\n".join(f"<li><code>{escape(s)}</code></li>" for s in report.signatures),
        "licences": _licences(report),
        "data": _json(_data(report)),
    }
    blank = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: fields[found[1]], blank)


def _facts(report: Report) -> str:
    """What was scored, and how."""
    card = report.card
    facts = {
        "Parameters": f"{report.parameters:,}",
        "Step": f"{card.step:,}",
        "Directions": f"{len(report.scores):,}",
        "Lines": f"{sum(score.sentences for score in report.scores):,}",
        "Decoding": decoding(report),
        "Translated in": f"{report.seconds:,.0f} s",
        "Evaluated": report.date[:16].replace("T", " ") + " UTC",
        "Weights": card.weights_sha256[:12] or "unknown",
        "Config": card.config_sha256[:12],
    }
    return "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())


def _tiles(report: Report) -> str:
    """Mean scores of supervised and zero-shot directions, side by side."""
    tiles = []
    for name, rows in (("supervised", report.supervised), ("zero-shot", report.zero_shot)):
        for metric in report.metrics:
            value = mean(rows, metric)
            if value is not None:
                tiles.append(
                    f'<div class="tile {name}"><b>{value:.1f}</b><span>mean {NAMES[metric]}</span>'
                    f"<small>{len(rows):,} {name} direction{'s' * (len(rows) != 1)}</small></div>"
                )
    return "".join(tiles)


def _bars(report: Report) -> str:
    """Mean scores by resource band and for zero-shot, as one SVG a metric."""
    grouped: dict[str, list[DirectionScore]] = defaultdict(list)
    for score in report.scores:
        grouped[score.band if score.trained else "zero"].append(score)
    order = [group for group in _GROUPS if group in grouped]
    return "".join(_chart(metric, [(g, grouped[g]) for g in order]) for metric in report.metrics)


def _chart(metric: str, groups: Sequence[tuple[str, list[DirectionScore]]]) -> str:
    """Horizontal bars; the thin line spans the directions from worst to best."""
    row, left, width = 46, 0, 320
    drawn = []
    for i, (group, scores) in enumerate(groups):
        values = [value for score in scores if (value := score.value(metric)) is not None]
        if not values:
            continue
        average, low, high = sum(values) / len(values), min(values), max(values)
        y, scale = i * row, width / 100
        label = f"{_GROUPS[group]}: mean {average:.1f}, {low:.1f} to {high:.1f}"
        drawn.append(
            f'<g class="{group or "unknown"}"><title>{label}, {len(values)} directions</title>'
            f'<text x="{left}" y="{y + 14}">{_GROUPS[group]} <tspan class="dim">'
            f"{len(values):,}</tspan></text>"
            f'<rect class="rail" x="{left}" y="{y + 21}" width="{width}" height="12" rx="3"/>'
            f'<rect x="{left}" y="{y + 21}" width="{average * scale:.1f}" height="12" rx="3"/>'
            f'<path d="M{low * scale:.1f} {y + 37}H{high * scale:.1f}"/>'
            f'<text class="value" x="{width + 52}" y="{y + 32}">{average:.1f}</text></g>'
        )
    height = row * len(groups)
    return (
        f'<figure><figcaption>{NAMES[metric]}</figcaption><svg viewBox="0 0 {width + 56} {height}" '
        f'role="img" aria-label="Mean {NAMES[metric]} by resource band">{"".join(drawn)}</svg>'
        "</figure>"
    )


def _licences(report: Report) -> str:
    """Corpora by licence, shortest first."""
    by_licence: dict[str, list[str]] = defaultdict(list)
    for corpus, licence in sorted(report.licences.items()):
        by_licence[licence or "not stated"].append(corpus)
    items = []
    for licence, corpora in sorted(by_licence.items(), key=lambda item: len(item[1])):
        shown = ", ".join(corpora[:6]) + (f" and {len(corpora) - 6} more" * (len(corpora) > 6))
        items.append(f"<li>{escape(licence)}: {escape(shown)}</li>")
    return "\n".join(items) or "<li>The model's card names no licences.</li>"


def _data(report: Report) -> dict[str, Any]:
    """What the page's script draws: languages once, and one short row a direction."""
    codes = _languages(report.scores)
    index = {code: i for i, code in enumerate(codes)}
    testsets = report.testsets
    samples = _affordable(report.scores)
    return {
        "languages": [[code, display_name(code), int(is_rtl(code))] for code in codes],
        "testsets": testsets,
        "metrics": [[metric, NAMES[metric]] for metric in report.metrics],
        "rows": [
            {
                "s": index[score.src],
                "t": index[score.tgt],
                "set": testsets.index(score.testset),
                "n": score.sentences,
                "v": [_short(score.value(metric)) for metric in report.metrics],
                "ci": [_short(x) for x in score.interval] if score.interval else None,
                "zero": int(not score.trained),
                "band": score.band,
                "pairs": score.pairs,
                "cut": score.cut,
                "empty": score.empty,
                "x": [[x.line, x.source, x.reference, x.output] for x in score.samples[:samples]],
            }
            for score in report.scores
        ],
    }


def _languages(scores: Iterable[DirectionScore]) -> list[str]:
    """Languages, those with most training pairs first, so that the heat map shows resources."""
    size: dict[str, int] = defaultdict(int)
    for score in scores:
        size[score.src] += max(score.pairs, 0)
        size[score.tgt] += max(score.pairs, 0)
    return sorted(size, key=lambda code: (-size[code], code))


def _affordable(scores: Sequence[DirectionScore]) -> int:
    """Samples of each direction that fit into a page that still opens quickly."""
    deepest = max((len(score.samples) for score in scores), default=0)
    for count in range(deepest, 0, -1):
        texts = (
            text for score in scores for x in score.samples[:count]
            for text in (x.source, x.reference, x.output)
        )  # fmt: skip
        if sum(len(text.encode()) for text in texts) <= _SAMPLE_BYTES:
            return count
    return 0


@cache
def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _json(data: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
