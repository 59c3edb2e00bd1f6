"""The web page as it is served: nothing from elsewhere, no markup from text, names for controls."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib import resources

import pytest
from serve_helpers import Running

from m4nmt_serve import page

WEB = resources.files("m4nmt_serve").joinpath("web")
PARTS = {item.name: item.read_text("utf-8") for item in WEB.iterdir() if item.is_file()}
PAGE = page.assemble()
_CONTROLS = {"button", "input", "textarea", "dialog", "select"}
_EMPTY = {"meta", "link", "input", "path", "rect"}


class Elements(HTMLParser):
    """All elements of a page: tag, attributes and the text inside."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        text: list[str] = []
        self.all.append((tag, {name: value or "" for name, value in attrs}, text))
        if tag not in _EMPTY:
            self._open.append(text)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, {name: value or "" for name, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for text in self._open:
            text.append(data)


ELEMENTS = Elements(PAGE.html).all
IDS = [attributes["id"] for _, attributes, _ in ELEMENTS if "id" in attributes]


def test_it_is_served_with_its_policy(served: Running) -> None:
    answer = served.client.get("/")
    assert answer.text == PAGE.html
    assert answer.headers["content-encoding"] == "gzip"  # 45 kB in the place of 168
    assert len(PAGE.zipped) < len(PAGE.html.encode()) / 2
    plain = served.client.get("/", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == PAGE.html
    again = served.client.get("/", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for name, value in PAGE.headers.items():
        assert value in answer.headers[name]  # CORS adds to Vary


def test_nothing_comes_from_elsewhere() -> None:
    without = PAGE.html.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", without) == []
    assert "@import" not in without
    assert re.findall(r"url\(", "".join(PARTS[name] for name in page.STYLES)) == []
    fetched = [
        attributes.get("src", attributes.get("href", ""))
        for tag, attributes, _ in ELEMENTS
        if tag in ("script", "link", "img", "iframe")
    ]
    assert [x for x in fetched if x and not x.startswith("data:")] == []


def test_the_policy_lets_run_what_is_on_the_page_and_nothing_else() -> None:
    policy = dict(
        part.strip().split(" ", 1)
        for part in PAGE.headers["Content-Security-Policy"].split(";")
        if " " in part.strip()
    )
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE.html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in PAGE.headers["Content-Security-Policy"]
    inline = [
        attributes for _, attributes, _ in ELEMENTS for name in attributes if name[:2] == "on"
    ]
    assert inline == []  # the policy would not let them run


@pytest.mark.parametrize("name", page.SCRIPTS)
def test_text_never_becomes_markup_or_code(name: str) -> None:
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|\bFunction\("
    assert re.findall(ways, PARTS[name]) == []


def test_the_parts_are_small_and_all_used() -> None:
    assert set(PARTS) == {"index.html", *page.STYLES, *page.SCRIPTS}
    assert [name for name, text in PARTS.items() if text.count("\n") > 400] == []
    assert "<!--" not in PAGE.html  # every place was filled


def test_scripts_ask_for_elements_that_are_there() -> None:
    script = "\n".join(PARTS[name] for name in page.SCRIPTS)
    assert len(set(IDS)) == len(IDS)
    assert set(re.findall(r'\$\("([^"]+)"\)', script)) <= set(IDS)
    referred = [
        name
        for _, attributes, _ in ELEMENTS
        for kind in ("for", "aria-controls", "aria-labelledby", "aria-describedby")
        for name in attributes.get(kind, "").split()
    ]
    assert set(referred) <= set(IDS)


def test_every_control_has_a_name() -> None:
    labelled = {attributes["for"] for tag, attributes, _ in ELEMENTS if tag == "label"}
    filled_later = {"source", "target"}  # with the languages
    unnamed = [
        (tag, attributes)
        for tag, attributes, text in ELEMENTS
        if (tag in _CONTROLS or attributes.get("role") in ("textbox", "listbox", "tab", "tabpanel"))
        and not (
            attributes.get("aria-label")
            or attributes.get("aria-labelledby")
            or "".join(text).strip()
            or attributes.get("id") in labelled | filled_later
        )
    ]
    assert unnamed == []
