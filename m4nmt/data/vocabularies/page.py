"""The sweep of vocabulary sizes as one page for people: offline, without scripts.

Not its job: counting (sweep.py).
"""

from collections.abc import Sequence
from html import escape

from m4nmt.data.language import display_name
from m4nmt.data.vocabularies.sweep import Size

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1c20; --soft: #6b7280; --line: #d8dce2;
  --fill: #3b6ea5; --bad: #b4442c; --ground: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa3af;
  --line: #353a42; --fill: #7fb0e0; --bad: #e08a73; --ground: #16181c; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
thead th { position: sticky; top: 0; background: var(--ground); }
.soft { color: var(--soft); } .bad { color: var(--bad); font-weight: 600; }
rect { fill: var(--fill); } svg { vertical-align: middle; }
"""
_DEAR = 1.5  # times the median: marked
_BAR = 90.0


def page(sizes: Sequence[Size], name: str) -> str:
    """One table of sizes, one of languages by size, dearest first."""
    return "\n".join(
        [
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            "<meta name='viewport' content='width=device-width, initial-scale=1'>",
            f"<title>Vocabulary of {escape(name)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>Vocabulary of {escape(name)}</h1>",
            "<p class='soft'>Tokens per character of lines that no tokenizer was trained on. Gini: "
            "0 where all languages pay the same. Scripts differ by nature: compare sizes for one "
            "language, and languages of one script.</p>",
            "<h2>Sizes</h2><div class='wide'>",
            _sizes(sizes),
            "</div><h2>Languages</h2>",
            f"<p class='soft'>Marked: more than {_DEAR} times the median of that size. Unknown: "
            "share of pieces that are unknown, or single bytes in their place.</p>",
            "<div class='wide'>",
            _languages(sizes),
            "</div></body></html>",
        ]
    )


def _sizes(sizes: Sequence[Size]) -> str:
    heads = ("size", "pieces", "Gini", "dearest language", "times the median", "unknown, mean")
    rows = []
    for size in sizes:
        code, times = size.worst
        missing = sum(c.unknown + c.bytes for c in size.costs) / len(size.costs)
        cells = (
            f"{size.asked:,}",
            f"{size.pieces:,}",
            f"{size.gini:.3f}",
            f"{escape(display_name(code))} ({code})",
            f"{times:.2f}",
            f"{missing:.2%}",
        )
        rows.append(_row(cells))
    return _table(heads, rows)


def _languages(sizes: Sequence[Size]) -> str:
    heads = ["language"]
    for size in sizes:
        heads += [f"{size.asked:,}: tokens/char", "", "unknown"]
    last = sizes[-1]
    order = sorted(last.costs, key=lambda cost: -cost.tokens_per_character)
    top = max(c.tokens_per_character for size in sizes for c in size.costs) or 1.0
    by_size = [{cost.language: cost for cost in size.costs} for size in sizes]
    middles = [size.worst[1] and _most(size) / size.worst[1] for size in sizes]
    rows = []
    for cost in order:
        cells = [f"{escape(display_name(cost.language))} <span class='soft'>{cost.language}</span>"]
        for costs, middle in zip(by_size, middles, strict=True):
            one = costs[cost.language]
            dear = one.tokens_per_character > _DEAR * middle
            number = f"{one.tokens_per_character:.3f}"
            cells.append(f"<span class='bad'>{number}</span>" if dear else number)
            cells.append(_bar(one.tokens_per_character / top))
            cells.append(f"{one.unknown + one.bytes:.2%}")
        rows.append(_row(cells))
    return _table(heads, rows)


def _most(size: Size) -> float:
    return max(cost.tokens_per_character for cost in size.costs)


def _bar(share: float) -> str:
    return (
        f"<svg width='{_BAR:.0f}' height='10' aria-hidden='true'>"
        f"<rect width='{_BAR * share:.1f}' height='10'/></svg>"
    )


def _row(cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
