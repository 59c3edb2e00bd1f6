"""The web page, put together from its parts, with the headers that keep it to itself.

The parts in web/ are small files for people. What is served is one page without any further
request, whose policy names its only script and its only style sheet by their SHA-256: nothing else
runs. Not its job: the address it is served at (app.py).
"""

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources

STYLES = ("base.css", "board.css")
SCRIPTS = (
    "base.js",
    "api.js",
    "languages.js",
    "text.js",
    "result.js",
    "hover.js",
    "words.js",
    "files.js",
    "extras.js",
    "main.js",
)


@dataclass(frozen=True)
class Page:
    """HTML, and the headers it is sent with."""

    html: str
    headers: dict[str, str]


def assemble() -> Page:
    """The page as it is served."""
    style, script = (_joined(names) for names in (STYLES, SCRIPTS))
    html = _read("index.html")
    html = html.replace("<!-- styles -->", style).replace("<!-- scripts -->", script)
    headers = {
        "Content-Security-Policy": _policy(style, script),
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Page(html, headers)


def _policy(style: str, script: str) -> str:
    """It may talk to its own server and to nobody else, and text cannot become markup."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _joined(names: tuple[str, ...]) -> str:
    return "\n" + "\n".join(_read(name) for name in names)


def _read(name: str) -> str:
    return resources.files("m4nmt_serve").joinpath("web", name).read_text("utf-8")
