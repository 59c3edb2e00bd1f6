"""The web page in a browser, as tests of it look at it: opened anew, and asked in few words."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from browser import Browser, chromium
from web_helpers import Fake, behind_the_page

MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs a headless Chromium on the path"),
]


class Tab:
    """One page, of a server that the test knows."""

    def __init__(self, browser: Browser, server: Fake) -> None:
        self.browser = browser
        self.server = server
        self._opened = 0

    def open(self, hash: str = "en/de", text: str = "", keep: bool = False) -> "Tab":
        """Load the page anew, with nothing remembered unless it is to be kept."""
        if not keep and self._opened:
            self.browser.evaluate("localStorage.clear(), sessionStorage.clear()")
        if not keep:
            self.server.forget()
        self.browser.requests.clear()
        self.browser.problems.clear()
        self._opened += 1
        text = f"/{quote(text, '')}" if text else ""
        self.browser.open(f"{self.server.url}?{self._opened}#{hash}{text}")
        self.wait("target && document.readyState === 'complete'")
        return self

    def __call__(self, script: str) -> Any:
        return self.browser.evaluate(script)

    def wait(self, condition: str) -> None:
        self.browser.wait(condition)

    def text(self, element: str) -> str:
        """The text of an element, by its id."""
        return str(self(f"$('{element}').textContent"))

    def shows(self, text: str, element: str = "out") -> None:
        """Wait until an element's text is this."""
        self.wait(f"$('{element}').textContent === {text!r}")

    def type(self, text: str) -> None:
        """Into the source pane, in the place of what was there."""
        self("$('q').focus(), $('q').select()")
        self.browser.type(text)

    def click(self, element: str) -> None:
        self(f"$('{element}').click()")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.browser.press(key)

    def lit(self) -> list[str]:
        """What is highlighted, in the source and in the translation."""
        return [
            str(x) for x in self("[...document.querySelectorAll('.lit')].map(x => x.textContent)")
        ]


def tabs() -> Iterator[Tab]:
    """For a fixture: one browser and one server for a module."""
    with behind_the_page() as server, Browser() as browser:
        yield Tab(browser, server)
