"""The report of a preparation as one page for people.

Where there is too much for a page it says so and shows what matters most; report.json has all. Not
its job: counting (report.py), the drawings (report_figures.py), the look (pages/).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from m4nmt.data.pages import sheet
from m4nmt.data.preparing import report_figures

Item = Mapping[str, Any]
_MOST_ROWS = 300  # of a table
_MOST_REGIONS = 40
_MOST_SAMPLES = 25  # of one filter in one corpus
_ALL = "report.json has all."


def to_html(made: Item) -> str:
    """The page of what `report.make` gave."""
    columns, pairs = made["columns"], made["pairs"]
    kept = sheet.section(
        "Pairs by corpus and direction",
        "<p>Rows in which both lines are good, kept, and dropped by the first filter that "
        "objected. A pair stands for both its directions.</p>",
        _table(pairs, "pair"),
    )
    body = [
        f"<p>{_summary(columns, 'lines')} {_summary(pairs, 'pairs')}</p>",
        sheet.section("What was dropped", _filters(columns, pairs)),
        sheet.section("Suspected misalignment", _regions(pairs, made["files"])),
        kept,
        sheet.section("Lines by corpus and language", _table(columns, "language")),
        sheet.section("Lengths and scripts", report_figures.all_of(columns, made["length_bins"])),
        sheet.section("Samples of what was dropped", _samples(made["samples"], columns)),
        sheet.section("Files", _files(made["files"])),
    ]
    return sheet.page("Cleaning report", body)


def _summary(items: Sequence[Item], what: str) -> str:
    total, kept = (sum(item[key] for item in items) for key in ("in", "kept"))
    share = f" ({kept / total:.1%})" if total else ""
    return f"{total:,} {what} came in, {kept:,} were kept{share}."


def _plain(name: str) -> str:
    """A filter's name, so that it can be broken into lines."""
    return escape(name.replace("_", " "))


def _filters(columns: Sequence[Item], pairs: Sequence[Item]) -> str:
    """What each filter took, lines before pairs, most first."""
    rows = []
    for what, items in (("lines", columns), ("pairs", pairs)):
        dropped: Counter[str] = Counter()
        for item in items:
            dropped.update(item["dropped"])
        total = max(1, sum(item["in"] for item in items))
        most = max(1, *dropped.values(), 0)
        for name, number in dropped.most_common():
            share = f"{number / total:.2%} of {what}"
            rows.append(sheet.row([_plain(name), f"{number:,}", share, sheet.bar(number / most)]))
    if not rows:
        return "<p>Nothing was dropped.</p>"
    return sheet.table("filters", sheet.heads(["filter", "dropped", "", ""]), rows)


def _table(items: Sequence[Item], key: str) -> str:
    """A row an item: what came in, what was kept, what each filter dropped."""
    names = sorted({name for item in items for name in item["dropped"]})
    top = sheet.heads([key, "in", "kept", "", *map(_plain, names)])
    note, shown = "", list(items)
    if len(items) > _MOST_ROWS:
        note = f"<p>The {_MOST_ROWS} of {len(items):,} that lost the largest share; {_ALL}</p>"
        shown = sorted(items, key=_share)[:_MOST_ROWS]
    body = []
    for item in shown:
        share = f"{_share(item):.1%}" if item["in"] else ""
        dropped = (sheet.count(item["dropped"].get(name, 0)) for name in names)
        named = f"<span class='soft'>{escape(item['corpus'])}</span> {escape(item[key])}"
        body.append(sheet.row([named, f"{item['in']:,}", f"{item['kept']:,}", share, *dropped]))
    return note + sheet.table(f"by {key}", top, body)


def _share(item: Item) -> float:
    return item["kept"] / item["in"] if item["in"] else 1.0


def _regions(pairs: Sequence[Item], files: Sequence[Item]) -> str:
    suspected = [item for item in pairs if item.get("regions")]
    if not any("alignment" in item.get("learned", {}) for item in pairs):
        return "<p>Not looked for: no filter of the chain judges alignment.</p>"
    if not suspected:
        return "<p>No region of any file is suspected.</p>"
    named: dict[str, list[str]] = defaultdict(list)
    for file in files:
        named[file["corpus"]].append(file["file"])
    parts = ["<p>Chance of being a pair, from the first row to the last.</p>"]
    if len(suspected) > _MOST_REGIONS:
        suspected = sorted(suspected, key=lambda item: -sum(map(_length, item["regions"])))
        number = f"{_MOST_REGIONS} of {len(suspected):,}"
        parts = [f"<p>The {number} pairs with the longest suspected regions; {_ALL}</p>"]
    for item in suspected[:_MOST_REGIONS]:
        of_corpus = named[item["corpus"]]
        where = f" in {escape(of_corpus[0])}" if len(of_corpus) == 1 else ""
        regions = "; ".join(
            f"rows {one['first']:,} to {one['last']:,} (mean chance {one['chance']:.2f})"
            for one in item["regions"]
        )
        parts.append(
            f"<figure class='curve'>{report_figures.curve(item['curve'])}<figcaption>"
            f"{escape(item['corpus'])} {escape(item['pair'])}{where}: "
            f"<span class='bad'>{regions}</span></figcaption></figure>"
        )
    return "".join(parts)


def _length(region: Item) -> int:
    return int(region["last"]) - int(region["first"]) + 1


def _samples(pairs: Mapping[str, Mapping[str, Sequence[str]]], columns: Sequence[Item]) -> str:
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
            items = "".join(f"<li dir='auto'>{escape(text)}</li>" for text in texts[:_MOST_SAMPLES])
            left = len(texts) - _MOST_SAMPLES
            more = f"<p class='small'>and {left:,} more in report.json</p>" if left > 0 else ""
            parts.append(f"<h3>{_plain(name)}</h3><ul>{items}</ul>{more}")
        parts.append("</details>")
    return "".join(parts) or "<p>Nothing was dropped.</p>"


def _files(files: Sequence[Item]) -> str:
    body = []
    for item in files:
        faults = ", ".join(f"{count:,} {escape(kind)}" for kind, count in item["faults"].items())
        named = f"<span class='soft'>{escape(item['corpus'])}</span> {escape(item['file'])}"
        body.append(sheet.row([named, f"{item['lines']:,}", faults or sheet.NOTHING]))
    return sheet.table("files", sheet.heads(["file", "rows", "not taken as it is"]), body)
