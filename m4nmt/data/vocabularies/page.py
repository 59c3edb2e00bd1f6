"""The sweep of vocabulary sizes as one page for people.

Not its job: counting (sweep.py), the look (pages/).
"""

from collections.abc import Sequence
from html import escape

from m4nmt.data.language import display_name
from m4nmt.data.pages import sheet
from m4nmt.data.vocabularies.sweep import Size

_DEAR = 1.5  # times the median: marked
_LEAD = (
    "<p>Tokens per character of dev and test lines, where a language has any; else of training "
    "lines, some of which the tokenizer may have seen. Gini: 0 where all languages pay the same. "
    "Scripts differ by nature: compare sizes for one language, and languages of one script.</p>"
)
_MARKED = (
    f"<p>Dearest first. <span class='bad'>Marked</span>: more than {_DEAR} times the median of "
    "that size. Unknown: share of pieces that are unknown, or single bytes in their place.</p>"
)


def page(sizes: Sequence[Size], name: str) -> str:
    """One table of sizes, one of languages by size, dearest first."""
    body = [
        _LEAD,
        sheet.section("Sizes", _sizes(sizes)),
        sheet.section("Languages", _MARKED, _languages(sizes)),
    ]
    return sheet.page(f"{name}: the vocabulary", body)


def _sizes(sizes: Sequence[Size]) -> str:
    names = ("size", "pieces", "Gini", "dearest language", "times the median", "unknown, mean")
    rows = []
    for size in sizes:
        code, times = size.worst
        missing = sum(c.unknown + c.bytes for c in size.costs) / len(size.costs)
        cells = (
            f"{size.asked:,}",
            f"{size.pieces:,}",
            f"{size.gini:.3f}",
            _named(code),
            f"{times:.2f}",
            _share(missing),
        )
        rows.append(sheet.row(cells))
    return sheet.table("sizes", sheet.heads(names), rows)


def _languages(sizes: Sequence[Size]) -> str:
    group = "<th scope='colgroup' colspan='3' class='span'>{:,} pieces</th>"
    top = f"<tr><th></th>{''.join(group.format(size.asked) for size in sizes)}</tr>"
    top += sheet.heads(["language", *["tokens per character", "", "unknown"] * len(sizes)])
    order = sorted(sizes[-1].costs, key=lambda cost: -cost.tokens_per_character)
    most = max(c.tokens_per_character for size in sizes for c in size.costs) or 1.0
    by_size = [{cost.language: cost for cost in size.costs} for size in sizes]
    rows = []
    for language in (cost.language for cost in order):
        cells = [_named(language)]
        for size, costs in zip(sizes, by_size, strict=True):
            one = costs[language]
            number = f"{one.tokens_per_character:.3f}"
            dear = one.tokens_per_character > _DEAR * size.median
            cells.append(f"<span class='bad'>{number}</span>" if dear else number)
            cells.append(sheet.bar(one.tokens_per_character / most))
            cells.append(_share(one.unknown + one.bytes))
        rows.append(sheet.row(cells))
    return sheet.table("languages", top, rows)


def _named(code: str) -> str:
    return f"{escape(display_name(code))} <span class='soft'>{code}</span>"


def _share(share: float) -> str:
    return f"{share:.2%}" if share else sheet.NOTHING
