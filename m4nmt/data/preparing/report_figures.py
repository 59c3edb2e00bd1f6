"""The drawings of a cleaning report: lengths and scripts of each column, the chance along a file.

Not its job: the page (report_page.py).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 220, 60
_LONG, _LEFT = 480, 28
_OPEN = 24  # more figures than these are folded up
_LEAST = 0.001  # share of letters in a script that is told


def all_of(columns: Sequence[Mapping[str, Any]], bins: Sequence[int]) -> str:
    """A drawing for each column, corpus by corpus."""
    by_corpus: dict[str, list[str]] = defaultdict(list)
    for item in columns:
        told = f"<figcaption>{escape(item['language'])}<br/>{_scripts(item['scripts'])}"
        drawn = f"<figure>{_bars(item['lengths'], bins)}{told}</figcaption></figure>"
        by_corpus[item["corpus"]].append(drawn)
    state = " open='open'" if len(columns) <= _OPEN else ""
    parts = [
        "<p>Lines by characters (of all lines that hold text; point at a bar), and letters by "
        "script.</p>"
    ]
    for corpus, figures in by_corpus.items():
        head = f"<summary>{escape(corpus)}: {len(figures)} languages</summary>"
        inside = f"<div class='figures'>{''.join(figures)}</div>"
        parts.append(f"<details{state}>{head}{inside}</details>")
    return "".join(parts)


def _scripts(scripts: Mapping[str, int]) -> str:
    """The scripts that letters are in, most first."""
    total = sum(scripts.values())
    most = sorted(scripts.items(), key=lambda one: -one[1])[:4]
    told = [(name, n / total) for name, n in most if n >= max(1, _LEAST * total)]
    return ", ".join(f"{escape(_name(name))} {share:.1%}" for name, share in told)


def _name(script: str) -> str:
    """ "LATIN" is "Latin", "CJK" stays."""
    return script if script == "CJK" else script.title()


def _bars(counts: Sequence[int], bins: Sequence[int]) -> str:
    """Lines of each range of lengths; the first one, of no characters, is left out."""
    shown = counts[1:] if not bins[0] else counts
    labels = [f"up to {edge:,}" for edge in bins] + [f"more than {bins[-1]:,}"]
    labels = labels[len(counts) - len(shown) :]
    most, width = max(1, *shown), _WIDTH / len(shown)
    bars = "".join(
        f"<rect x='{i * width:.1f}' y='{_HEIGHT * (1 - n / most):.1f}' width='{width - 1:.1f}' "
        f"height='{_HEIGHT * n / most:.1f}'><title>{label} characters: {n:,}</title></rect>"
        for i, (n, label) in enumerate(zip(shown, labels, strict=True))
    )
    floor = f"<path class='grid' d='M0 {_HEIGHT}h{_WIDTH}'/>"
    size = f"viewBox='0 0 {_WIDTH} {_HEIGHT + 1}'"
    return f"<svg {size} role='img' aria-label='lengths'>{bars}{floor}</svg>"


def curve(values: Sequence[float]) -> str:
    """The chance of being a pair along a file, 0 to 1."""
    step = (_LONG - _LEFT) / max(1, len(values) - 1)
    points = " ".join(f"{_LEFT + i * step:.1f},{70 - 60 * v:.1f}" for i, v in enumerate(values))
    grid = "".join(
        f"<path class='grid' d='M{_LEFT} {70 - 60 * at:.0f}H{_LONG}'/>"
        f"<text class='tick' x='{_LEFT - 6}' y='{74 - 60 * at:.0f}'>{at:g}</text>"
        for at in (0, 0.5, 1)
    )
    return (
        f"<svg viewBox='0 0 {_LONG} 80' role='img' aria-label='chance along the file'>{grid}"
        f"<polyline class='share' points='{points}'/></svg>"
    )
