"""The report of a preparation as one page for people: offline, without scripts.

Not its job: counting (report.py).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1c20; --soft: #6b7280; --line: #d8dce2;
  --fill: #3b6ea5; --bad: #b4442c; --ground: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa3af;
  --line: #353a42; --fill: #7fb0e0; --bad: #e08a73; --ground: #16181c; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
thead th { position: sticky; top: 0; background: var(--ground); }
.none { color: var(--line); } .soft { color: var(--soft); } .bad { color: var(--bad); }
.figures { display: flex; flex-wrap: wrap; gap: 1.2rem; } figure { margin: 0; }
figcaption { font-size: 12px; color: var(--soft); } svg { display: block; }
.samples li { font-size: 13px; overflow-wrap: anywhere; unicode-bidi: plaintext; }
"""
_WIDTH, _HEIGHT = 220, 60


def to_html(made: Mapping[str, Any]) -> str:
    """The page of what `report.make` gave."""
    columns, pairs = made["columns"], made["pairs"]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>Cleaning report</title><style>{_STYLE}</style></head><body>",
        "<h1>Cleaning report</h1>",
        f"<p>{_summary(columns, 'lines')}<br>{_summary(pairs, 'pairs')}</p>",
        "<h2>Suspected misalignment</h2>",
        _regions(pairs),
        "<h2>Pairs by corpus and direction</h2>",
        "<p class='soft'>Rows in which both lines are good, kept, and dropped by the first filter "
        "that objected. A pair stands for both its directions.</p>",
        _table(pairs, "pair"),
        "<h2>Lines by corpus and language</h2>",
        _table(columns, "language"),
        "<h2>Lengths and scripts</h2>",
        _figures(columns, made["length_bins"]),
        "<h2>Samples of what was dropped</h2>",
        _samples(made["samples"], columns),
        "<h2>Files</h2>",
        _files(made["files"]),
        "</body></html>",
    ]
    return "\n".join(parts)


def _summary(items: Sequence[Mapping[str, Any]], what: str) -> str:
    total, kept = (sum(item[key] for item in items) for key in ("in", "kept"))
    share = f" ({kept / total:.1%})" if total else ""
    return f"{total:,} {what} came in, {kept:,} were kept{share}."


def _row(cells: Iterable[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def _wide(head: str, body: Sequence[str]) -> str:
    rows = "".join(body)
    return f"<div class='wide'><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"


def _table(items: Sequence[Mapping[str, Any]], key: str) -> str:
    """A row an item: what came in, what was kept, what each filter dropped."""
    names = sorted({name for item in items for name in item["dropped"]})
    head = _row(["corpus", key, "in", "kept", "", *names], "th")
    body = []
    for item in items:
        share = f"{item['kept'] / item['in']:.1%}" if item["in"] else ""
        dropped = (item["dropped"].get(name, 0) for name in names)
        counts = (f"{n:,}" if n else "<span class='none'>0</span>" for n in dropped)
        numbers = (f"{item['in']:,}", f"{item['kept']:,}", share, *counts)
        body.append(_row([escape(item["corpus"]), escape(item[key]), *numbers]))
    return _wide(head, body)


def _regions(pairs: Sequence[Mapping[str, Any]]) -> str:
    suspected = [item for item in pairs if item.get("regions")]
    if not any("alignment" in item.get("learned", {}) for item in pairs):
        return "<p class='soft'>Not looked for: no filter of the chain judges alignment.</p>"
    if not suspected:
        return "<p>No region of any file is suspected.</p>"
    parts = []
    for item in suspected:
        regions = "; ".join(
            f"rows {one['first']:,} to {one['last']:,} (mean chance {one['chance']:.2f})"
            for one in item["regions"]
        )
        parts.append(
            f"<figure>{_curve(item['curve'])}<figcaption>{escape(item['corpus'])} "
            f"{escape(item['pair'])}: <span class='bad'>{regions}</span></figcaption></figure>"
        )
    explained = "<p class='soft'>Chance of being a pair, from the first row to the last.</p>"
    return explained + "".join(parts)


def _curve(values: Sequence[float]) -> str:
    step = 640 / max(1, len(values) - 1)
    points = " ".join(f"{i * step:.1f},{62 - 60 * v:.1f}" for i, v in enumerate(values))
    return (
        "<svg width='640' height='64' role='img' aria-label='chance along the file'>"
        "<line x1='0' y1='32' x2='640' y2='32' stroke='var(--line)'/>"
        f"<polyline points='{points}' fill='none' stroke='var(--fill)'/></svg>"
    )


def _figures(columns: Sequence[Mapping[str, Any]], bins: Sequence[int]) -> str:
    parts = []
    for item in columns:
        total = sum(item["scripts"].values())
        most = sorted(item["scripts"].items(), key=lambda one: -one[1])[:4]
        scripts = ", ".join(f"{escape(name.title())} {n / total:.1%}" for name, n in most if n)
        parts.append(
            f"<figure>{_bars(item['lengths'], bins)}<figcaption>{escape(item['corpus'])} "
            f"{escape(item['language'])}<br>{scripts}</figcaption></figure>"
        )
    return (
        "<p class='soft'>Lines by characters (of all lines read; point at a bar), and letters by "
        f"script.</p><div class='figures'>{''.join(parts)}</div>"
    )


def _bars(counts: Sequence[int], bins: Sequence[int]) -> str:
    most, width = max(1, *counts), _WIDTH / len(counts)
    labels = [f"up to {edge:,}" for edge in bins] + [f"more than {bins[-1]:,}"]
    bars = "".join(
        f"<rect x='{i * width:.1f}' y='{_HEIGHT * (1 - n / most):.1f}' width='{width - 1:.1f}' "
        f"height='{_HEIGHT * n / most:.1f}' fill='var(--fill)'>"
        f"<title>{label} characters: {n:,}</title></rect>"
        for i, (n, label) in enumerate(zip(counts, labels, strict=True))
    )
    return f"<svg width='{_WIDTH}' height='{_HEIGHT}' role='img' aria-label='lengths'>{bars}</svg>"


def _samples(
    pairs: Mapping[str, Mapping[str, Sequence[str]]], columns: Sequence[Mapping[str, Any]]
) -> str:
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for item in columns:
        for name, texts in item["samples"].items():
            found[item["corpus"]][name] += [f"{item['language']} {text}" for text in texts]
    for corpus, by_name in pairs.items():
        for name, texts in by_name.items():
            found[corpus][name] += texts
    parts = []
    for corpus in sorted(found):
        parts.append(f"<details><summary>{escape(corpus)}</summary>")
        for name, texts in sorted(found[corpus].items()):
            items = "".join(f"<li dir='auto'>{escape(text)}</li>" for text in texts)
            parts.append(f"<h4>{escape(name)}</h4><ul class='samples'>{items}</ul>")
        parts.append("</details>")
    return "".join(parts) or "<p>Nothing was dropped.</p>"


def _files(files: Sequence[Mapping[str, Any]]) -> str:
    body = []
    for item in files:
        faults = ", ".join(f"{escape(kind)}: {count:,}" for kind, count in item["faults"].items())
        body.append(
            _row([escape(item["corpus"]), escape(item["file"]), f"{item['lines']:,}", faults])
        )
    head = _row(["corpus", "file", "lines", "could not be read"], "th")
    return _wide(head, body)
