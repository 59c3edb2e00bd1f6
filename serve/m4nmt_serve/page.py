"""The web page, put together from its parts, with the headers that keep it to itself.

The parts in web/ are small files for people. What is served is one page without any further
request, whose policy names its only script and its only style sheet by their SHA-256: nothing else
runs. The languages of the page itself are files in web/texts/ (page_texts.py).
Not its job: the address it is served at (app.py).
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from m4nmt_serve import page_texts

STYLES = ("base.css", "board.css")
SCRIPTS = (
    "texts.js",
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
_TEXTS = "/* texts */ {}"


@dataclass(frozen=True)
class Page:
    """HTML, and the headers it is sent with."""

    html: str
    headers: dict[str, str]

    @cached_property
    def zipped(self) -> bytes:
        """A third of it, which a slow line takes in a third of the time."""
        return gzip.compress(self.html.encode(), mtime=0)


def assemble(further: Path | None = None) -> Page:
    """The page as it is served; `further` is a folder of languages that it speaks besides.

    Raises:
        ConfigError: a file of that folder cannot be used.
    """
    style, script = (_joined(names) for names in (STYLES, SCRIPTS))
    script = script.replace(_TEXTS, _literal(page_texts.read(further)))
    html = _read("index.html")
    html = html.replace("<!-- styles -->", style).replace("<!-- scripts -->", script)
    headers = {
        "Content-Security-Policy": _policy(style, script),
        "Cache-Control": "no-cache",
        "ETag": f'W/"{hashlib.sha256(html.encode()).hexdigest()[:32]}"',
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Page(html, headers)


def _literal(texts: Mapping[str, Any]) -> str:
    """As JavaScript inside of HTML, where "<" could begin a tag."""
    said = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    return said.replace("<", "\\u003c")


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
