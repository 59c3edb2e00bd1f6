"""The languages of the web page itself: all texts in each, a community's own, right to left."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from serve_helpers import FakeTranslator, running
from test_web_static import ELEMENTS, PARTS
from web_tab import MARKS, Tab, tabs

from m4nmt.core.config import ConfigError
from m4nmt_serve import page, page_texts
from m4nmt_serve.settings import ServeConfig

TEXTS = page_texts.read()
SAME = {"m4nmt", "curl", "Python", "openapi.json", "Ctrl + Enter"}  # in every language
OWN = {"name": "Kreyòl", "rtl": False, "texts": {"Translate": "Tradwi <b>&{"}}


def english() -> set[str]:
    """All that the page says, from its sources."""
    scripts = "\n".join(PARTS[name] for name in page.SCRIPTS)
    said = set(re.findall(r'\b(?:t|around)\("((?:[^"\\]|\\.)*)"', scripts))
    for tag, attributes, text in ELEMENTS:
        said |= {attributes.get(name, "") for name in ("aria-label", "title", "placeholder")}
        if tag in ("a", "button", "h1", "h2", "label", "p", "span", "summary"):
            said.add("".join(text).strip())
    return {text for text in said - SAME if text and not text.startswith("This page needs Java")}


def names(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}", text))


@pytest.mark.parametrize("code", TEXTS)
def test_each_language_says_everything(code: str) -> None:
    texts = TEXTS[code]["texts"]
    assert set(texts) == english()
    for text, said in texts.items():
        assert said.strip() == said != ""
        assert names(said) == names(text)


def test_what_scripts_say_is_said_through_the_table() -> None:
    scripts = re.sub(r"\$\{[^}]*\}", "", "\n".join(PARTS[name] for name in page.SCRIPTS))
    calls = r'\b(?:say|warn|announce)\((?:["`][^"`]*[a-z]{2})'
    assert re.findall(calls, scripts) == []


def test_a_community_adds_a_language_with_one_file(tmp_path: Path) -> None:
    (tmp_path / "ht.json").write_text(json.dumps(OWN), "utf-8")
    with running(FakeTranslator(), ServeConfig(page_texts=str(tmp_path))) as up:
        html = up.client.get("/").text
        assert '"ht":{"name":"Kreyòl"' in html
        assert "Tradwi \\u003cb>&{" in html  # it cannot end the script


@pytest.mark.parametrize(
    "wrong",
    [
        "[1]",
        "{",
        {**OWN, "rtl": "no"},
        {**OWN, "texts": {"Translate": 1}},
        {"name": "x", "texts": {}},
        {**OWN, "dir": "rtl"},
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, wrong: Any) -> None:
    text = wrong if isinstance(wrong, str) else json.dumps(wrong)
    (tmp_path / "ht.json").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"ht\.json"):
        page_texts.read(tmp_path)
    with pytest.raises(ConfigError, match="not a folder"):
        page_texts.read(tmp_path / "nowhere")


@pytest.fixture(scope="module", name="tab")
def _tab() -> Iterator[Tab]:
    yield from tabs()


class TestInABrowser:
    pytestmark = MARKS

    def test_the_page_speaks_what_is_chosen_and_keeps_it(self, tab: Tab) -> None:
        tab.open(text="This is odd. Is it?").wait("shown")
        choose = "$('ui').value = 'ar', $('ui').dispatchEvent(new Event('change'))"
        tab(choose)
        arabic = TEXTS["ar"]["texts"]
        assert tab("[document.documentElement.lang, document.documentElement.dir]") == ["ar", "rtl"]
        assert tab.text("go") == arabic["Translate"]
        assert tab("$('q').placeholder") == arabic["Type or paste text, or drop a file"]
        assert tab("$('out').getAttribute('aria-label')") == arabic["Translation"]
        assert tab.text("target").startswith("الألمانية")
        assert arabic["It says the same thing again and again."] in tab.text("notes")
        assert tab("document.documentElement.scrollWidth <= innerWidth")
        assert tab("$('clear').getBoundingClientRect().x < $('q').getBoundingClientRect().x + 60")
        tab.open(keep=True)
        assert tab.text("go") == arabic["Translate"]
        tab("$('ui').value = 'en', $('ui').dispatchEvent(new Event('change'))")
        assert tab.text("go") == "Translate"
        assert tab("document.documentElement.dir") == "ltr"

    def test_a_refusal_is_told_in_the_language_of_the_page(self, tab: Tab) -> None:
        tab.open().type("x")
        tab("speak('de')")
        tab.type("poison")
        tab.wait("$('alert').textContent")
        told = tab("$('alert').firstChild.textContent")
        assert told == "Der Server lehnt ab: the translation failed."

    def test_it_begins_in_the_language_of_the_browser(self, tab: Tab) -> None:
        with Browser() as browser:
            theirs = "Object.defineProperty(navigator, 'languages', { get: () => ['sw-KE', 'en'] })"
            browser.before_the_page(theirs)
            browser.open(tab.server.url)
            browser.wait("target")
            assert browser.evaluate("[ui, $('ui').value, target.code]") == ["sw", "sw", "sw"]
            assert browser.evaluate("$('go').textContent") == "Tafsiri"
            assert browser.problems == []

    def test_what_is_wrong_is_seen_however_long_the_text_is(self, tab: Tab) -> None:
        tab.open()
        tab("fillSource('x '.repeat(4000)), translate(true)")
        tab.wait("$('alert').textContent")
        assert tab("$('board').getBoundingClientRect().bottom > innerHeight")
        assert tab("$('alert').getBoundingClientRect().bottom <= innerHeight")
