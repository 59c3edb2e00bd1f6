"""The web page in a real headless browser: texts, languages, streams, refusals, links."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from browser import Browser
from serve_helpers import FakeTranslator, running
from web_tab import MARKS, Tab, tabs

pytestmark = MARKS
HOSTILE = "<script>hacked=1</script> <img src=x onerror=hacked=1> \" onfocus='hacked=1"


@pytest.fixture(scope="module", name="tab")
def _tab() -> Iterator[Tab]:
    yield from tabs()


def test_typing_translates_and_the_link_keeps_the_text_to_itself(tab: Tab) -> None:
    tab.open().type("The cat sleeps.")
    tab.shows("SLEEPS CAT THE.")
    assert tab("location.hash") == "#en/de"
    assert tab.text("count") == "15 / 2,000"
    assert tab.text("live") == "German: SLEEPS CAT THE."
    (asked,) = tab.server.asked("/v1/translate")
    assert asked == {
        "texts": ["The cat sleeps."],
        "source": "en",
        "target": "de",
        "n": 3,
        "align": True,
        "token_scores": True,
        "stream": True,
    }
    assert all(url.startswith(tab.server.url) for url in tab.browser.requests)
    assert tab.browser.problems == []


def test_sentences_are_shown_as_they_come_and_can_be_cancelled(tab: Tab) -> None:
    tab.open().type("One slow. Two slow. Three slow.")
    tab.shows("SLOW ONE. …")
    assert tab("$('out').getAttribute('aria-busy')") == "true"
    assert tab.text("took") == "Sentences so far: 1"
    tab.shows("SLOW ONE. SLOW TWO. …")
    tab.shows("SLOW ONE. SLOW TWO. SLOW THREE.")
    tab.type("Again slow. And slow.")
    tab.wait("!$('cancel').hidden")
    tab.press("Escape")
    tab.shows("Cancelled.", "state")
    assert tab("$('cancel').hidden")
    assert tab.text("out") == "SLOW ONE. SLOW TWO. SLOW THREE."


def test_what_is_typed_later_wins(tab: Tab) -> None:
    tab.open().type("First slow. And slow.")
    tab.wait("!$('cancel').hidden")
    tab.type("Second")
    tab.shows("SECOND")
    tab("new Promise((done) => setTimeout(done, 1000))")  # the first would be there by now
    assert tab.text("out") == "SECOND"
    assert tab.server.ended == ["Second"]  # the first was given up, not just ignored


def test_a_busy_server_is_asked_again_when_it_says(tab: Tab) -> None:
    tab.open().type("busy")
    tab.shows("The server is busy; asking again in 1 s …", "state")
    tab.shows("BUSY")
    assert len(tab.server.asked("/v1/translate")) == 2
    assert tab.text("alert") == ""


def test_a_failure_is_said_and_can_be_tried_again(tab: Tab) -> None:
    tab.open().type("poison")
    tab.wait("$('alert').textContent")
    assert tab("$('alert').firstChild.textContent") == "The translation failed."
    tab("$('alert').querySelector('button').click()")
    tab.wait("$('alert').textContent === ''")
    tab.wait("$('alert').textContent")
    assert len(tab.server.asked("/v1/translate")) == 2
    tab.type("x" * 2001)
    tab.wait("$('alert').textContent.startsWith('The text is longer than the 2,000 characters')")
    assert tab("$('count').className.includes('over')")
    assert len(tab.server.asked("/v1/translate")) == 2


def test_without_a_network_it_waits_for_one(tab: Tab) -> None:
    tab.open()
    tab.browser.offline()
    try:
        tab.type("Hello")
        tab.shows("There is no network; asking again when there is …", "state")
    finally:
        tab.browser.offline(False)
    tab.shows("HELLO")
    assert tab.text("state") == ""


def test_hostile_text_stays_text(tab: Tab) -> None:
    tab.open().type(HOSTILE)
    tab.wait("$('out').textContent.length > 50")
    assert tab.text("out") == " ".join(HOSTILE.upper().split()[::-1])
    for place in ("out", "behind", "more", "snippet", "notes", "hint"):
        assert tab(f"[...$('{place}').querySelectorAll('script, img, [onfocus]')].length") == 0
    assert tab("typeof hacked") == "undefined"
    # And were there an innerHTML, the browser would not take it.
    tried = "(() => { try { $('out').innerHTML = '<b>x</b>'; } catch (e) { return e.name; } })()"
    assert tab(tried) == "TypeError"


def test_a_language_is_found_and_taken_with_the_keyboard(tab: Tab) -> None:
    tab.open(text="word")
    tab.shows("WORD")
    tab("$('target').focus()")
    tab.click("target")
    here = "document.getElementById($('find').getAttribute('aria-activedescendant'))"
    assert tab(f"{here}.textContent") == "GermanDeutsch"
    assert tab(f"{here}.getAttribute('aria-selected')") == "true"
    tab.browser.type("s")  # names that begin with it come before "German, Deutsch"
    tab.wait(f"{here}?.textContent.startsWith('Simplified Chinese')")
    tab.browser.type("zzz")
    tab.wait("$('list').textContent.startsWith('No language')")
    assert tab("$('find').hasAttribute('aria-activedescendant')") is False
    tab("$('find').select()")
    tab.browser.type("kiswa")  # its own name for itself
    tab.wait(f"{here}?.textContent === 'SwahiliKiswahili'")
    assert tab.text("found") == "Languages found: 1"
    tab.press("Enter")
    tab.wait("$('target').textContent.startsWith('Swahili')")
    assert tab("$('dialog').open") is False
    assert tab("document.activeElement.id") == "target"
    assert tab("location.hash") == "#en/sw"
    assert tab("$('target').getAttribute('aria-label')") == "Target language: Swahili, Kiswahili"


def test_a_shared_link_detects_and_writes_from_right_to_left(tab: Tab) -> None:
    tab.open("auto/ar", "Tür auf")
    tab.shows("AUF TÜR")
    written = "[$('q').dir, $('q').lang, $('out').dir, $('out').lang]"
    assert tab(written) == ["ltr", "de", "rtl", "ar"]
    assert tab.text("source") == "German detected, 88%"
    tab.click("swap")
    tab.shows("TÜR AUF")
    assert tab("$('q').value") == "AUF TÜR"
    assert tab(written) == ["rtl", "ar", "ltr", "de"]
    assert tab("location.hash") == "#ar/de"


def test_a_link_is_made_when_it_is_asked_for(tab: Tab) -> None:
    text = "50 % & <b>more</b> / 🙂"
    tab.open().type(text)
    tab.wait("shown")
    tab.click("share")
    assert tab("location.hash") == "#en/de/" + quote(text, safe="!'()*~")
    assert tab.text("share") == "Copied"
    tab.open(text=text)
    tab.wait("shown")
    assert tab("$('q').value") == text
    tab.type("other")
    tab.shows("OTHER")
    assert tab("location.hash") == "#en/de"


def test_pairs_are_remembered_where_that_is_possible(tab: Tab) -> None:
    tab.open("en/de", "a").wait("shown")
    tab.open("de/ar", "b", keep=True).wait("shown")
    tab.open("", keep=True)
    assert tab("[source.code, target.code]") == ["de", "ar"]
    assert tab.text("recent") == "RecentEnglish → German"
    tab("$('recent').querySelector('button').click()")
    assert tab("[source.code, target.code]") == ["en", "de"]
    with Browser() as private:
        denied = "{ get() { throw new DOMException('denied', 'SecurityError'); } }"
        for name in ("localStorage", "sessionStorage"):
            private.before_the_page(f"Object.defineProperty(window, '{name}', {denied})")
        private.open(f"{tab.server.url}#en/de/word")
        private.wait("$('out').textContent === 'WORD'")
        private.evaluate("$('theme').click()")
        assert private.evaluate("$('theme').getAttribute('aria-pressed')") == "true"
        assert private.problems == []


def test_over_the_service_itself() -> None:
    with running(FakeTranslator()) as up, Browser() as browser:
        browser.open(f"{up.url}#en/sw")
        browser.wait("target")
        browser.evaluate("$('q').focus()")
        browser.type("Hello & <b>bye</b>")
        browser.wait("$('out').textContent === 'eng>swh Hello & <b>bye</b>'")
        assert browser.evaluate("document.querySelectorAll('#more li').length") == 2
        assert browser.evaluate("limit") == 20_000
        assert browser.problems == []
