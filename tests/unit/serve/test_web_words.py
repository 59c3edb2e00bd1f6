"""The web page in a browser: which words belong together, other words, doubts, alternatives."""

from collections.abc import Iterator

import pytest
from web_tab import MARKS, Tab, tabs

pytestmark = MARKS
WORD = "document.querySelectorAll('#out .word')[{}]"
SOURCE = "document.querySelectorAll('#behind .word')[{}]"
OTHERS = "[...$('wordlist').children].map((x) => x.firstChild.textContent)"


@pytest.fixture(scope="module", name="tab")
def _tab() -> Iterator[Tab]:
    yield from tabs()


def test_the_pointer_shows_what_belongs_together(tab: Tab) -> None:
    tab.open(text="🙂🙂🙂🙂🙂 The cat sleeps.")
    tab.shows("SLEEPS CAT THE 🙂🙂🙂🙂🙂.")
    tab.browser.point(WORD.format(0))
    assert tab.lit() == ["sleeps", "SLEEPS"]
    assert tab.text("hint") == "SLEEPS ← sleeps · sure of the word: 50%, of the sentence: 88%"
    tab.browser.point(SOURCE.format(1))  # through the text area, which lies upon it
    tab.wait("document.querySelectorAll('.lit').length === 2")
    assert tab.lit() == ["cat", "CAT"]
    assert tab.text("hint") == "cat → CAT"
    tab.browser.point("$('count')")
    tab.wait("!document.querySelector('.lit')")
    tab.type("The dog sleeps.")  # nothing is shown for a text that is not translated yet
    tab.browser.point(WORD.format(0))
    assert tab.lit() == []


def test_the_words_behind_lie_exactly_under_the_text(tab: Tab) -> None:
    tab.open(text="One two three four five six seven. " * 20)
    tab.wait("shown")
    facts = (
        "[$('q'), $('behind')].map((x) => [x, getComputedStyle(x)]).map(([x, style]) => ["
        "x.clientWidth, x.clientHeight, x.scrollHeight, style.font, style.lineHeight,"
        " style.letterSpacing, style.wordSpacing, style.tabSize, style.whiteSpace,"
        " style.overflowWrap, style.wordBreak, style.padding, style.borderWidth])"
    )
    area, behind = tab(facts)
    assert area == behind
    assert area[1] == area[2]  # nothing to scroll: the two cannot shift


def test_keys_walk_over_the_words_of_both_texts(tab: Tab) -> None:
    tab.open(text="The cat sleeps.")
    tab.shows("SLEEPS CAT THE.")
    tab("$('out').focus()")
    tab.press("ArrowRight", "ArrowRight")
    assert tab.lit() == ["cat", "CAT"]
    assert tab("$('out').getAttribute('aria-activedescendant')") == "w1"
    assert tab.text("live") == "CAT, from cat, sure of the word: 50%, of the sentence: 88%"
    tab.press("End")
    assert tab.lit() == ["The", "THE"]
    tab.press("Home", "ArrowLeft")
    assert tab.lit() == ["sleeps", "SLEEPS"]
    tab("$('q').focus(), $('q').setSelectionRange(4, 4)")
    tab.press("ArrowRight")
    assert tab.lit() == ["cat", "CAT"]
    tab.open("en/ar", "The cat sleeps.")
    tab.shows("SLEEPS CAT THE.")
    tab("$('out').focus()")
    tab.press("ArrowLeft", "ArrowLeft")  # from right to left, onward is to the left
    assert tab.lit() == ["cat", "CAT"]


def test_another_word_rewrites_the_rest_of_its_sentence(tab: Tab) -> None:
    tab.open(text="The cat sleeps. The dog barks.")
    tab.shows("SLEEPS CAT THE. BARKS DOG THE.")
    tab.browser.point(WORD.format(4), click=True)
    tab.wait("$('wordlist').children.length")
    (asked,) = tab.server.asked("/v1/words")
    assert asked == {
        "text": "The dog barks.",
        "source": "en",
        "target": "de",
        "prefix": "BARKS ",
        "n": 6,
    }
    assert tab(OTHERS) == ["ALPHA", "<b>BETA</b>", "GAMMA"]
    assert tab.text("wordshead") == "Instead of DOG"
    tab("$('wordlist').children[0].click()")
    tab.shows("SLEEPS CAT THE. BARKS ALPHA REST.")
    assert tab("document.activeElement.id") == "out"
    tab.wait("!$('undo').hidden")
    (again,) = tab.server.asked("/v1/translate")[1:]
    assert (again["texts"], again["prefix"]) == (["The dog barks."], "BARKS ALPHA REST.")
    tab.browser.point(WORD.format(1))
    assert tab.lit() == ["cat", "CAT"]
    tab.click("undo")
    tab.shows("SLEEPS CAT THE. BARKS DOG THE.")
    tab.browser.point(WORD.format(4))
    assert tab.lit() == ["dog", "DOG"]
    assert tab("$('undo').hidden")
    assert tab.browser.problems == []


def test_other_words_are_chosen_with_the_keyboard(tab: Tab) -> None:
    tab.open(text="The cat sleeps.")
    tab.shows("SLEEPS CAT THE.")
    tab("$('out').focus()")
    tab.press("ArrowRight", "ArrowRight", "Enter")
    tab.wait("$('wordlist').children.length")
    assert tab("document.activeElement.id") == "wordlist"
    tab.press("Escape")
    assert tab("[$('words').hidden, document.activeElement.id]") == [True, "out"]
    tab.press("Enter")
    tab.wait("$('wordlist').children.length")
    tab.press("ArrowDown")
    active = "document.getElementById($('wordlist').getAttribute('aria-activedescendant'))"
    assert tab(f"{active}.firstChild.textContent") == "<b>BETA</b>"
    assert tab(f"{active}.getAttribute('aria-selected')") == "true"
    tab.press("Enter")
    tab.shows("SLEEPS <b>BETA</b> REST.")
    assert tab("$('out').querySelector('b')") is None
    assert tab("$('words').hidden")


def test_doubts_are_shown_and_explained(tab: Tab) -> None:
    tab.open(text="All is well. This is odd. And well again.")
    tab.shows("WELL IS ALL. ODD IS THIS. AGAIN WELL AND.")
    assert tab("document.querySelectorAll('.doubt').length") == 1
    assert tab("document.querySelector('.doubt').textContent") == "ODD IS THIS."
    assert tab("[...$('notes').children].map((x) => x.textContent)") == [
        "Sentence 2: It says the same thing again and again.",
        "Sentence 2: The model is only 25% sure of it.",
    ]
    tab("$('notes').querySelector('button').click()")
    assert tab("document.querySelector('.shown').textContent") == "ODD IS THIS."
    tab.type("All is well.")
    tab.shows("WELL IS ALL.")
    assert tab("$('notes').hidden")


def test_another_translation_is_taken_with_its_words(tab: Tab) -> None:
    tab.open(text="The cat sleeps.")
    tab.shows("SLEEPS CAT THE.")
    assert tab("[...$('more').children].map((x) => x.textContent)") == [
        "SLEEPS CAT THE.'",
        "SLEEPS CAT THE.''",
    ]
    tab("$('more').querySelector('button').click()")
    tab.shows("SLEEPS CAT THE.'")
    assert tab("[...$('more').children].map((x) => x.textContent)") == [
        "SLEEPS CAT THE.",
        "SLEEPS CAT THE.''",
    ]
    tab.browser.point(WORD.format(0))
    assert tab.lit() == ["sleeps", "SLEEPS"]
    tab.click("undo")
    tab.shows("SLEEPS CAT THE.")
