"""The web page, in a real headless browser."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from browser import Browser, chromium
from serve_helpers import FakeTranslator, running

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs a headless Chromium on the path"),
]
OUT = "document.querySelector('#out').textContent"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as page:
        yield page


def test_typing_translates_and_the_link_follows(browser: Browser) -> None:
    with running(FakeTranslator()) as up:
        browser.open(f"{up.url}#en/sw")
        browser.wait("document.querySelector('#target').textContent.includes('Swahili')")
        browser.evaluate("document.querySelector('#q').focus()")
        browser.type("Hello & <b>bye</b>")
        browser.wait(f"{OUT} === 'eng>swh Hello & <b>bye</b>'")
        assert browser.evaluate("document.querySelectorAll('#more li').length") == 2
        assert browser.evaluate("location.hash") == "#en/sw/" + quote("Hello & <b>bye</b>", "")
        assert "18 / 20,000" in browser.evaluate("document.querySelector('#count').textContent")
        assert all(url.startswith(up.url) for url in browser.requests)
        assert browser.problems == []


def test_a_shared_link_detects_and_writes_from_right_to_left(browser: Browser) -> None:
    with running(FakeTranslator()) as up:
        browser.open(f"{up.url}#auto/ar/{quote('Tür')}")
        browser.wait(f"{OUT} === 'deu>ara Tür'".replace("ara", "arb"))
        assert browser.evaluate("document.querySelector('#out').dir") == "rtl"
        assert browser.evaluate("document.querySelector('#out').lang") == "ar"
        label = browser.evaluate("document.querySelector('#source').textContent")
        assert "German, 88 %" in label
        browser.evaluate("document.querySelector('#swap').click()")
        browser.wait(f"{OUT}.startsWith('arb>deu deu>arb')")
        assert browser.evaluate("document.querySelector('#q').dir") == "rtl"


def test_a_language_is_found_and_taken_with_the_keyboard(browser: Browser) -> None:
    with running(FakeTranslator()) as up:
        browser.open(f"{up.url}#en/de/word")
        browser.wait(f"{OUT} === 'eng>deu word'")
        browser.evaluate("document.querySelector('#target').click()")
        browser.type("kiswa")  # its own name for itself
        active = "document.querySelector('#find').getAttribute('aria-activedescendant')"
        browser.wait(f"document.getElementById({active}).textContent.includes('Swahili')")
        browser.press("Enter")
        browser.wait(f"{OUT} === 'eng>swh word'")
        assert browser.evaluate("document.querySelector('#dialog').open") is False


def test_errors_are_said_and_work_can_be_cancelled(browser: Browser) -> None:
    with running(FakeTranslator(1.5)) as up:
        browser.open(f"{up.url}#en/de/slow")
        browser.wait("!document.querySelector('#cancel').hidden")
        browser.evaluate("document.querySelector('#cancel').click()")
        browser.wait("document.querySelector('#state').textContent === 'Cancelled.'")
        assert browser.evaluate("document.querySelector('#cancel').hidden")
    with running(FakeTranslator()) as up:
        browser.open(f"{up.url}#en/de/POISON")
        browser.wait("document.querySelector('#state').className === 'state bad'")
        state = browser.evaluate("document.querySelector('#state').textContent")
        assert state.startswith("The translation failed")
        assert browser.evaluate("document.querySelector('#state').getAttribute('role')") == "alert"


def test_every_control_has_a_name_for_screen_readers(browser: Browser) -> None:
    with running(FakeTranslator()) as up:
        browser.open(f"{up.url}#en/de")
        browser.wait("document.querySelector('#target').textContent.includes('German')")
        unnamed = browser.evaluate(
            "[...document.querySelectorAll('button, textarea, input, dialog, [role]')]"
            ".filter((x) => !(x.getAttribute('aria-label') || x.textContent.trim()"
            " || x.getAttribute('role') === 'status')).map((x) => x.outerHTML)"
        )
        assert unnamed == []


def test_it_fits_a_telephone() -> None:
    with running(FakeTranslator()) as up, Browser(360, 640, dark=True) as phone:
        phone.open(f"{up.url}#en/de/{quote('word ' * 200)}")
        phone.wait(f"{OUT}.length > 900")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 360
        dark = phone.evaluate("getComputedStyle(document.body).backgroundColor")
        assert dark == "rgb(18, 22, 21)"
