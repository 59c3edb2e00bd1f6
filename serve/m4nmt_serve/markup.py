"""HTML cut into markup, which passes verbatim, and texts, which are translated and escaped again.

Each text node is a text of its own. Comments, scripts, styles and whatever stands inside
translate="no" or class="notranslate" pass verbatim. So no tag can come out that did not go in.
"""

import html
from collections.abc import Sequence
from html.parser import HTMLParser

_VERBATIM = {"script", "style", "code", "pre", "textarea", "noscript", "iframe", "svg", "math"}
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta"} | {
    "source",
    "track",
    "wbr",
}


class Markup:
    """A document as alternating pieces; `texts` are those to translate, in order."""

    def __init__(self, document: str) -> None:
        splitter = _Splitter()
        splitter.feed(document)
        splitter.close()
        self._pieces = splitter.pieces
        self.texts: tuple[str, ...] = tuple(text for is_text, text in self._pieces if is_text)

    def fill(self, translations: Sequence[str]) -> str:
        """The document with its texts replaced, in order, and escaped."""
        out = iter(translations)
        return "".join(
            html.escape(next(out), quote=False) if is_text else piece
            for is_text, piece in self._pieces
        )


class _Splitter(HTMLParser):
    """Collects (is text, piece). Pieces of markup are exactly what the input said."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[tuple[bool, str]] = []
        self._kept: list[str] = []  # open elements, from the outermost untranslated one inwards

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._raw(self.get_starttag_text() or "")
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
        if tag in _VOID:
            self._raw(self.get_starttag_text() or "")
        else:  # HTML has no self-closing elements: browsers read <b/> as <b>
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self._raw(f"</{tag}>")
        if tag in self._kept:
            while self._kept.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in ("script", "style"):  # never escaped, in or out
            self._raw(data)
        elif self._kept or not any(character.isalpha() for character in data):
            self._raw(html.escape(data, quote=False))
        else:
            body = data.strip()
            start = data.index(body)
            self._raw(html.escape(data[:start], quote=False))
            self.pieces.append((True, body))
            self._raw(html.escape(data[start + len(body) :], quote=False))

    def handle_comment(self, data: str) -> None:
        self._raw(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self._raw(f"<!{decl}>")

    def handle_pi(self, data: str) -> None:
        self._raw(f"<?{data}>")

    def unknown_decl(self, data: str) -> None:
        self._raw(f"<![{data}]>")

    def _raw(self, piece: str) -> None:
        if piece:
            self.pieces.append((False, piece))
