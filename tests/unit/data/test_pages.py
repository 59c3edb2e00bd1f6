"""The pages of this room: one look, nothing loaded, readable wide and narrow, light and dark."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from fake_store import FakeStore, data_config
from langcodes import Language

from m4nmt.data import overview, picture
from m4nmt.data.preparing import report_page
from m4nmt.data.preparing.report import LENGTHS
from m4nmt.data.settings import Temperature
from m4nmt.data.vocabularies import page as vocabulary_page
from m4nmt.data.vocabularies.sweep import Cost, Size
from tests.browser import Browser, chromium

CODES = [f"{a}{b}{c}_Latn" for a in "abcdefgh" for b in "abcdefgh" for c in "abcdef"]


def cleaning(count: int) -> str:
    made: dict[str, Any] = {"length_bins": LENGTHS, "samples": {}, "files": [], "columns": []}
    made["pairs"] = [
        {
            "corpus": "a<b>.train",
            "pair": f"{code}-eng_Latn",
            "in": 1000,
            "kept": 1000 - n,
            "dropped": {"near_duplicates": n, "unusual_ratio": 0},
            "learned": {"alignment": {"bad": 0.1}},
            "regions": [{"first": 5, "last": 60 + n, "chance": 0.2}],
            "curve": [1.0, 0.1, 0.9],
        }
        for n, code in enumerate(CODES[:count])
    ]
    for code in CODES[:count]:
        column = {"corpus": "a<b>.train", "language": code, "in": 9, "kept": 8}
        more = {"dropped": {"wrong_script": 1}, "samples": {"wrong_script": ["7: <i>ж</i>"]}}
        scripts = {"LATIN": 99_999, "CYRILLIC": 1}
        made["columns"].append(column | more | {"lengths": [7] * 19, "scripts": scripts})
    made["files"] = [
        {"corpus": "a<b>.train", "file": "x.tmx", "lines": 9, "faults": {"left out: not <y>": 3}}
    ]
    return report_page.to_html(made)


def vocabulary(count: int) -> str:
    known = [code for code in CODES if Language.get(code[:3]).is_valid()][:count]
    costs = tuple(Cost(code, 9, 9, 0.2 + n / 99, 0, 0) for n, code in enumerate(known))
    return vocabulary_page.page([Size(size, size, costs) for size in (8000, 16_000)], "a <b>")


def mixture(count: int) -> str:
    rows = overview.table(FakeStore([10 + n for n in range(count)]), data_config(Temperature()), 9)
    return picture.page(picture.Picture.of("a <b>", rows))


PAGES = {"cleaning": cleaning, "vocabulary": vocabulary, "mixture": mixture}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_each_is_whole_and_has_the_same_look(page: Callable[[int], str]) -> None:
    html = page(2)
    style, other = (re.findall("<style>.*</style>", h, re.DOTALL) for h in (html, vocabulary(3)))
    assert style == other
    assert len(style) == 1
    ElementTree.fromstring(html[html.index("<body>") : html.index("</html>")])
    assert not re.search(r"https?:|<script|url\(|@import|\{\{|<[bi]>", html)
    assert "default-src 'none'" in html


def test_a_report_of_very_much_shows_what_matters_most() -> None:
    html = cleaning(384)
    assert "The 300 of 384 that lost the largest share; report.json has all." in html
    pairs = html[html.index("Pairs by corpus") : html.index("Lines by corpus")]
    assert pairs.count("<tr>") == 301
    assert CODES[383] in pairs
    assert CODES[0] + "-" not in pairs
    regions = html[html.index("Suspected") : html.index("Pairs by corpus")]
    assert "The 40 of 384 pairs with the longest suspected regions" in regions
    assert regions.count("<figure") == 40
    assert f"{CODES[383]}-eng_Latn in x.tmx" in regions
    assert "and 359 more in report.json" in html
    assert "Cyrillic" not in html  # one letter in 100,000
    assert "3 left out: not &lt;y&gt;" in html
    assert len(html) < 2_000_000


@pytest.mark.browser
@pytest.mark.skipif(chromium() is None, reason="no Chromium")
@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
def test_nothing_is_cut_off_or_hard_to_read(
    page: Callable[[int], str], width: int, dark: bool, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(125), encoding="utf-8")
    with Browser(width, 800, dark) as browser:
        browser.open(path.as_uri())
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.contrast() >= 4.5
        assert not browser.problems
        assert browser.evaluate(_STICKS)


# The head of a long table stays in sight while the table is scrolled.
_STICKS = """
[...document.querySelectorAll(".scroll")].every((box) => {
  box.scrollTop = 200;
  box.scrollLeft = 50;
  const [head, frame] = [box.querySelector("thead th"), box].map((e) => e.getBoundingClientRect());
  return Math.abs(head.top - frame.top) < 1 && Math.abs(head.left - frame.left) < 1;
})
"""
