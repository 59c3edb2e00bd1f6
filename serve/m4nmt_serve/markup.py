"""HTML cut into markup, which passes verbatim, and texts, which are translated and escaped again.

Each text node is a text of its own. Comments, scripts, styles and whatever stands inside
translate="no" or class="notranslate" pass verbatim. So no tag can come out that did not go in.
"""

import html
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import accumulate

_VERBATIM = {"script", "style", "code", "pre", "textarea", "noscript", "iframe", "svg", "math"}
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta"} | {
    "source",
    "track",
    "wbr",
}
_RAW_TEXT = {"script", "style", "iframe", "xmp", "noembed", "noframes", "plaintext"}


class Markup:
    """A document as alternating pieces; `texts` are those to translate, in order."""

    def __init__(self, document: str) -> None:
        self._pieces = _Splitter(document).pieces
        self.texts: tuple[str, ...] = tuple(text for is_text, text in self._pieces if is_text)

    def fill(self, translations: Sequence[str]) -> str:
        """The document with its texts replaced, in order, and escaped."""
        out = iter(translations)
        return "".join(
            html.escape(next(out), quote=False) if is_text else piece
            for is_text, piece in self._pieces
        )


class _Splitter(HTMLParser):
    """Collects (is text, piece). Markup is cut from the document itself, never written anew."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[tuple[bool, str]] = []
        self._document = document
        self._lines = list(accumulate((len(x) + 1 for x in document.split("\n")), initial=0))
        self._raw_from: int | None = None  # where the markup began that is being read
        self._text = ""  # unescaped text that is being read
        self._kept: list[str] = []  # open elements, from the outermost untranslated one inwards
        self.feed(document)
        self.close()
        self._end_text()
        self._end_raw(len(document))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._raw()
        if tag in _VOID:
            return
        values = dict(attrs)
        untouched = (
            tag in _VERBATIM
            or values.get("translate") == "no"
            or "notranslate" in (values.get("class") or "").split()
        )
        if self._kept or untouched:
            self._kept.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)  # HTML knows no <b/>: browsers read it as <b>

    def handle_endtag(self, tag: str) -> None:
        self._raw()
        if tag in self._kept:
            while self._kept.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in _RAW_TEXT:  # never escaped, neither in nor out
            self._raw()
            return
        self._end_raw(self._here())
        self._text += data

    def handle_comment(self, data: str) -> None:
        self._raw()

    def handle_decl(self, decl: str) -> None:
        self._raw()

    def handle_pi(self, data: str) -> None:
        self._raw()

    def unknown_decl(self, data: str) -> None:
        self._raw()

    def _here(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column

    def _raw(self) -> None:
        self._end_text()
        if self._raw_from is None:
            self._raw_from = self._here()

    def _end_raw(self, at: int) -> None:
        if self._raw_from is not None:
            self.pieces.append((False, self._document[self._raw_from : at]))
            self._raw_from = None

    def _end_text(self) -> None:
        """What is read is text; spaces around it, and text without a letter, are only escaped."""
        text, self._text = self._text, ""
        body = text.strip()
        if self._kept or not any(character.isalpha() for character in body):
            self.pieces.append((False, html.escape(text, quote=False)))
            return
        start = text.index(body)
        self.pieces.append((False, html.escape(text[:start], quote=False)))
        self.pieces.append((True, body))
        self.pieces.append((False, html.escape(text[start + len(body) :], quote=False)))
