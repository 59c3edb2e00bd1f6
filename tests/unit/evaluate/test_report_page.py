"""The report's page, in a real headless browser."""

from collections.abc import Iterator

import pytest
from browser import Browser, chromium
from evaluate_helpers import HOSTILE, a_report

from m4nmt.evaluate.report import write

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs a headless Chromium on the path"),
]
_ROWS = "[...document.querySelectorAll('#rows tbody tr')]"
_NAMES = f"{_ROWS}.map((row) => row.querySelector('.open').textContent)"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    write(a_report(testsets=("one", "two")), folder)
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as page:
        yield page


def test_it_draws_itself_and_asks_for_nothing(browser: Browser, url: str) -> None:
    browser.open(url)
    assert browser.requests == [url]
    assert browser.problems == []
    assert browser.evaluate(f"{_ROWS}.length") == 60
    assert browser.evaluate("document.querySelectorAll('#heat tbody td:not(:empty)').length") == 30
    assert browser.evaluate("document.querySelectorAll('#heat td.zero').length") == 20
    assert browser.evaluate("document.querySelectorAll('.tile').length") == 6
    assert browser.evaluate("document.querySelectorAll('figure svg').length") == 3


def test_rows_are_sorted_found_and_opened(browser: Browser, url: str) -> None:
    browser.open(url)
    scores = f"{_ROWS}.map((row) => parseFloat(row.querySelector('.score').textContent))"
    falling = browser.evaluate(scores)
    assert falling == sorted(falling, reverse=True)
    header = (
        "[...document.querySelectorAll('#rows th')].find((x) => x.innerText.startsWith('BLEU'))"
    )
    assert browser.evaluate(f"{header}.getAttribute('aria-sort')") == "descending"
    browser.evaluate(f"{header}.querySelector('button').click()")
    assert browser.evaluate(scores) == sorted(falling)
    browser.evaluate("document.querySelector('#find').value = 'german arabic'")
    browser.evaluate("document.querySelector('#find').oninput()")
    assert set(browser.evaluate(_NAMES)) == {"German → Arabic", "Arabic → German"}
    browser.evaluate("document.querySelector('#kind').value = '0'")
    browser.evaluate("document.querySelector('#kind').onchange()")
    assert browser.evaluate(_NAMES) == []  # both are zero-shot


def test_samples_are_text_whatever_they_hold(browser: Browser, url: str) -> None:
    browser.open(url)
    browser.evaluate("document.querySelector('#heat td.zero').click()")
    browser.wait("document.querySelector('.samples')")
    texts = browser.evaluate(
        "[...document.querySelectorAll('.samples p')].map((p) => [p.textContent, p.dir])"
    )
    assert [HOSTILE, "rtl"] in texts or [HOSTILE, "ltr"] in texts
    assert browser.evaluate("document.querySelectorAll('.samples img').length") == 0
    assert (
        browser.evaluate("document.querySelector('.open').getAttribute('aria-expanded')") == "true"
    )
    browser.evaluate("document.querySelector('.open').click()")
    assert browser.evaluate("document.querySelector('.samples')") is None


def test_metric_and_test_set_change_the_map(browser: Browser, url: str) -> None:
    browser.open(url)
    first = "document.querySelector('#heat tbody td:not(:empty)').textContent"
    bleu = float(browser.evaluate(first))
    browser.evaluate("document.querySelector('#metric').value = 1")
    browser.evaluate("document.querySelector('#metric').onchange()")
    assert float(browser.evaluate(first)) == pytest.approx(bleu + 20, abs=0.11)
    assert browser.evaluate("document.querySelector('#setlabel').hidden") is False


@pytest.mark.parametrize("dark", [False, True])
def test_it_can_be_read_on_a_telephone_and_in_the_dark(url: str, dark: bool) -> None:
    with Browser(360, 640, dark=dark) as phone:
        phone.open(url)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 360
        assert phone.contrast() >= 4.5
