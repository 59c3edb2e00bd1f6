"""HTML cut into tokens as browsers cut it, without loss and in time linear in its length.

The tokenizer of the HTML standard (section 13.2.5), as far as it says where tags, comments and
texts begin and end. Python's html.parser is not used: on unclosed tags its time grows with the
square of the length (60 KB of "<a " take it half a minute).
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

_NAME = re.compile(r"</?[A-Za-z][^\s/>]*+")
_VALUE = r"""\s*+=\s*+(?:"([^"]*+)(?:"|\Z)|'([^']*+)(?:'|\Z)|([^\s>"'][^\s>]*+))?+"""
_ATTRIBUTE = re.compile(rf"([^\s/>][^\s/>=]*+)(?:{_VALUE})?+")
_ATTRIBUTES = re.compile(rf"(?:[\s/]++|{_ATTRIBUTE.pattern})*+")
_COMMENT_END = re.compile(r"--!?>")
_RCDATA = frozenset({"title", "textarea"})
_RAW_TEXT = frozenset({"script", "style", "iframe", "xmp", "noembed", "noframes", "noscript"})
_OWN_END = _RCDATA | _RAW_TEXT | {"plaintext"}


class Piece(NamedTuple):
    """A stretch [start, end). `name` of tags, in small letters."""

    kind: Literal["text", "open", "close", "comment", "raw"]
    start: int
    end: int
    name: str = ""


def pieces(document: str) -> Iterator[Piece]:
    """The document's pieces, in order, without gaps."""
    at = text = 0
    foreign = 0  # elements of SVG and MathML, in which scripts and titles are as any other
    while (at := document.find("<", at)) >= 0:
        piece = _markup(document, at)
        if piece is None:
            at += 1
            continue
        if text < at:
            yield Piece("text", text, at)
        yield piece
        at = text = piece.end
        if piece.name in ("svg", "math"):
            foreign = max(0, foreign + (1 if piece.kind == "open" else -1))
        elif piece.kind == "open" and piece.name in _OWN_END and not foreign:
            text = _end_of(document, piece.name, at)
            if at < text:
                yield Piece("text" if piece.name in _RCDATA else "raw", at, text)
            at = text
    if text < len(document):
        yield Piece("text", text, len(document))


def _markup(document: str, at: int) -> Piece | None:
    """The markup that begins at a "<", if it is any. What has no end takes all the rest, as in
    browsers: so nothing is looked at twice."""
    size = len(document)
    name = _NAME.match(document, at)
    if name:
        attributes = _ATTRIBUTES.match(document, name.end())
        assert attributes is not None  # it matches nothing, too
        if attributes.end() == size:
            return Piece("comment", at, size)
        closing = document[at + 1] == "/"
        tag = name.group()[2 if closing else 1 :].lower()
        return Piece("close" if closing else "open", at, attributes.end() + 1, tag)
    if document.startswith("<!--", at):
        if document.startswith((">", "->"), at + 4):
            return Piece("comment", at, document.index(">", at) + 1)
        found = _COMMENT_END.search(document, at + 4)
        return Piece("comment", at, found.end() if found else size)
    if document.startswith(("<!", "<?", "</"), at) and at + 2 < size:
        end = document.find(">", at)
        return Piece("comment", at, end + 1 if end >= 0 else size)
    return None


def _end_of(document: str, name: str, at: int) -> int:
    """Where the text of an element ends that only its own end tag ends."""
    if name == "plaintext":
        return len(document)
    found = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(document, at)
    return found.start() if found else len(document)


def attributes(tag: str) -> Iterator[tuple[str, str, int, int]]:
    """(name in small letters, value as written, where it starts, where it ends) in a whole tag."""
    name = _NAME.match(tag)
    for match in _ATTRIBUTE.finditer(tag, name.end() if name else 0):
        value = next((i for i in (2, 3, 4) if match.group(i) is not None), 0)
        if value:
            yield match.group(1).lower(), match.group(value), *match.span(value)
        else:
            yield match.group(1).lower(), "", match.end(), match.end()
