"""HTML: the texts of its blocks, with their inline tags, and the texts in its attributes.

Scripts, styles, comments, preformatted text, and whatever stands inside translate="no" or
class="notranslate" pass verbatim; in the middle of a sentence the latter, like code, is a unit. A
translation is escaped, so it can bring no markup.

Not its job: cutting tags (html_tokens), placing them (inline, place).
"""

import html
from collections.abc import Collection, Iterator, Sequence

from m4nmt.data.language import is_rtl
from m4nmt.documents.html_tokens import Piece, attributes, pieces
from m4nmt.documents.inline import Token, slots, write
from m4nmt.documents.road import has_text
from m4nmt.documents.types import Meter, Result, Slot

_VOID = frozenset(
    {
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
    }
)
_INLINE = frozenset(
    {
        "a",
        "abbr",
        "acronym",
        "b",
        "bdi",
        "bdo",
        "big",
        "cite",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "ins",
        "label",
        "mark",
        "nobr",
        "q",
        "s",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
        "u",
        "g",
        "ph",
        "x",
        "bx",
        "ex",
    }
)
_POINTS = frozenset({"img", "wbr", "input"})
# Not of HTML: empty where they are written so. They stand for something of another format.
_STANDINS = frozenset({"x", "bx", "ex", "ph"})
_UNITS = frozenset({"code", "kbd", "samp", "var"})
_VERBATIM = frozenset(
    {
        "script",
        "style",
        "pre",
        "textarea",
        "noscript",
        "iframe",
        "svg",
        "math",
        "template",
        "canvas",
        "audio",
        "video",
        "object",
        "xmp",
        "noembed",
        "noframes",
    }
)
_INLINE_VERBATIM = frozenset({"svg", "math", "canvas", "script", "style", "template"})
# Left open by many authors, so that their number says nothing of the depth.
_LOOSE = frozenset(
    {
        "p",
        "li",
        "dd",
        "dt",
        "tr",
        "td",
        "th",
        "thead",
        "tbody",
        "tfoot",
        "option",
        "optgroup",
        "html",
        "head",
        "body",
    }
)
_CAPTIONS = frozenset(
    {"alt", "title", "placeholder", "aria-label", "aria-description", "aria-placeholder"}
)
# Attributes that readers see on some elements only, and of those some only if another says so.
_LABELLED = frozenset({"optgroup", "option", "track"})
_PRESSED = frozenset({"submit", "button", "reset"})
_ABOUT = frozenset(
    {
        "description",
        "og:title",
        "og:description",
        "og:image:alt",
        "twitter:title",
        "twitter:description",
        "twitter:image:alt",
    }
)


def escape(text: str) -> str:
    """Text as HTML."""
    return html.escape(text, quote=False)


def split(document: str, meter: Meter, ignored: Collection[str] = ()) -> Iterator[Slot]:
    """The slots of the texts between tags.

    Args:
        ignored: names of further elements, in small letters, that are left alone as code is.

    Raises:
        DocumentError: too much for the meter, or nested too deep.
    """
    return slots(document, _tokens(document, meter, ignored), lambda c: write(c, escape), meter)


def captions(document: str, meter: Meter) -> Iterator[Slot]:
    """The slots of the values of attributes that readers see, as alt, title and placeholder."""
    kept = _Kept()
    for piece in pieces(document):
        inside = bool(kept)
        kept.see(piece, document)
        tag = document[piece.start : piece.end]
        if piece.kind != "open" or inside or _untranslated(tag):
            continue
        shown = _shown(piece.name, tag)
        for name, value, start, end in attributes(tag):
            content = (html.unescape(value),)
            quoted = start > 0 and tag[start - 1] in "\"'"
            if name in shown and quoted and has_text(content):
                meter.add([content])
                yield Slot(piece.start + start, piece.start + end, (content,), _caption)


def _shown(element: str, tag: str) -> Collection[str]:
    """Names of the attributes of a tag that readers see."""
    if element in _LABELLED:
        return _CAPTIONS | {"label"}
    if element not in ("input", "meta"):
        return _CAPTIONS
    values = {name: value.strip().lower() for name, value, *_ in attributes(tag)}
    if element == "input" and values.get("type") in _PRESSED:
        return _CAPTIONS | {"value"}
    if element == "meta" and {values.get("name"), values.get("property")} & _ABOUT:
        return _CAPTIONS | {"content"}
    return _CAPTIONS


def language(document: str, code: str) -> str:
    """The document with the lang of its html element, if it has one, changed to `code`, and its
    dir to how that is written, if it is another."""
    for piece in pieces(document):
        if piece.kind == "open" and piece.name == "html":
            tag = document[piece.start : piece.end]
            tag = _directed(_with_values(tag, ("lang", "xml:lang"), code), is_rtl(code))
            return document[: piece.start] + tag + document[piece.end :]
        if piece.kind not in ("comment", "text"):
            break
    return document


def _with_values(tag: str, names: Collection[str], new: str) -> str:
    spans = [(a, b) for name, _, a, b in attributes(tag) if name in names]
    for start, end in reversed([(a, b) for a, b in spans if a < b or tag[a - 1] in "\"'"]):
        tag = tag[:start] + new + tag[end:]
    return tag


def _directed(tag: str, rtl: bool) -> str:
    """The tag of an html element with its dir; without one it is "ltr"."""
    said = [value.strip().lower() for name, value, *_ in attributes(tag) if name == "dir"]
    if rtl == (said[:1] == ["rtl"]):
        return tag
    if said:
        return _with_values(tag, ("dir",), "rtl" if rtl else "ltr")
    return f'{tag[:5]} dir="rtl"{tag[5:]}'


def _caption(results: Sequence[Result]) -> str:
    return html.escape("".join(i for i in results[0].content if isinstance(i, str)))


class _Kept:
    """Whether an element is open that is left alone; those of the names `ignored` are, too."""

    def __init__(self, ignored: Collection[str] = ()) -> None:
        self._names = frozenset([*_VERBATIM, *_UNITS, *ignored])
        self._name = ""  # of the outermost such element
        self._open = 0  # elements of that name

    def __bool__(self) -> bool:
        return self._open > 0

    def see(self, piece: Piece, document: str) -> None:
        """Take note of a tag."""
        if self._open:
            if piece.name == self._name:
                self._open += {"open": 1, "close": -1}.get(piece.kind, 0)
        elif piece.kind == "open" and piece.name not in _VOID:
            tag = document[piece.start : piece.end]
            closed = tag.endswith("/>") and piece.name in ("svg", "math")
            if not closed and (piece.name in self._names or _untranslated(tag)):
                self._name, self._open = piece.name, 1


def _untranslated(tag: str) -> bool:
    if "translate" not in tag.lower():
        return False
    values: dict[str, str] = {}
    for name, value, *_ in attributes(tag):
        values.setdefault(name, value)  # of equal names the first counts
    return (
        values.get("translate", "").strip().lower() == "no"
        or "notranslate" in values.get("class", "").split()
    )


def _tokens(document: str, meter: Meter, ignored: Collection[str]) -> Iterator[Token]:
    kept = _Kept(ignored)
    outer: Piece | None = None  # the untranslated element that is being read
    texts: list[str] = []
    depth = 0
    for piece in pieces(document):
        inside = bool(kept)
        kept.see(piece, document)
        if kept or inside:
            outer = outer or piece
            if piece.kind == "text":
                texts.append(document[piece.start : piece.end])
            if not kept:
                yield _unit(outer, piece.end, texts, outer.name in ignored)
                outer, texts = None, []
            continue
        token = _token(piece, document)
        if token.kind == "wall" and piece.name not in _LOOSE | _VOID:
            depth = max(0, depth + {"open": 1, "close": -1}.get(piece.kind, 0))
            meter.depth(depth)
        yield token
    if outer is not None:
        yield Token("wall", outer.start, len(document))


def _unit(outer: Piece, end: int, texts: Sequence[str], inline: bool) -> Token:
    """A whole element that is left alone: in a sentence if that can be, else a wall."""
    text = html.unescape("".join(texts))
    if outer.name in _INLINE_VERBATIM:
        return Token("point", outer.start, end)
    if (inline or outer.name in _INLINE | _UNITS) and len(text) <= 200:
        return Token("unit", outer.start, end, text)
    return Token("wall", outer.start, end)


def _token(piece: Piece, document: str) -> Token:
    span = (piece.start, piece.end)
    if piece.kind == "text":
        return Token("text", *span, html.unescape(document[piece.start : piece.end]))
    if piece.kind == "comment":
        conditional = document.startswith(("<!--[", "<!["), piece.start)
        return Token("wall" if conditional else "point", *span)
    custom = "-" in piece.name
    if piece.kind == "open":
        closed = document[piece.end - 2] == "/"
        if piece.name in _POINTS or (closed and (custom or piece.name in _STANDINS)):
            return Token("point", *span)
        if piece.name in _INLINE or custom:
            return Token("open", *span, name=piece.name)
    if piece.kind == "close" and (piece.name in _INLINE or custom):
        return Token("close", *span, name=piece.name)
    return Token("wall", *span)
