"""A fragment of XML: its texts with the tags between them, whatever they are called.

Every tag is inline, an empty one is a point, unless the caller says that a name splits sentences
or that what an element holds is left alone (as translate="no" does). What is not well formed is
taken as it comes: a tag without a partner splits. Time is linear in the length.
Not its job: HTML, files of XML (m4nmt.documents).
"""

import html
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from m4nmt.documents.inline import Token, slots, write
from m4nmt.documents.types import Meter, Slot
from m4nmt.documents.xml import escape

# No attribute's value may hold a "<", so that nothing is looked at twice.
_TAG = re.compile(r"""<(/?)([^\W\d][^\s<>/!?"'=]*+)((?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+)>""")
_KEPT = re.compile(r"""\stranslate\s*=\s*["']no["']""")
_SPANS = {"<!--": "-->", "<![CDATA[": "]]>", "<?": "?>", "<!": ">"}
_LONGEST = 200  # characters of an element that stands in a sentence as it is


class _Piece(NamedTuple):
    """A stretch: "text", "other" (comments and the like), "open", "close", "empty"."""

    kind: str
    start: int
    end: int
    name: str = ""
    kept: bool = False


def split(
    document: str, ignored: Collection[str], splitting: Collection[str], meter: Meter
) -> Iterator[Slot]:
    """The slots of the texts between tags.

    Args:
        ignored: names of elements whose content is left alone.
        splitting: names of elements that a sentence cannot cross.

    Raises:
        DocumentError: too much for the meter, or nested too deep.
    """
    tokens = _tokens(document, ignored, splitting)
    return slots(document, tokens, lambda content: write(content, escape), meter)


def _tokens(document: str, ignored: Collection[str], splitting: Collection[str]) -> Iterator[Token]:
    outer: _Piece | None = None  # the element that is left alone
    depth, texts = 0, [""]
    for piece in _pieces(document):
        if outer is not None:
            depth += {"open": 1, "close": -1}.get(piece.kind, 0) * (piece.name == outer.name)
            if piece.kind == "text":
                texts.append(document[piece.start : piece.end])
            if depth == 0:
                yield _unit(outer, piece.end, html.unescape("".join(texts)))
                outer = None
        elif piece.kind == "open" and (piece.kept or piece.name in ignored):
            outer, depth, texts = piece, 1, []
        else:
            yield _token(piece, document, splitting)
    if outer is not None:
        yield Token("wall", outer.start, len(document))


def _unit(outer: _Piece, end: int, text: str) -> Token:
    if len(text) <= _LONGEST:
        return Token("unit", outer.start, end, text)
    return Token("wall", outer.start, end)


def _token(piece: _Piece, document: str, splitting: Collection[str]) -> Token:
    span = (piece.start, piece.end)
    if piece.kind == "text":
        return Token("text", *span, html.unescape(document[piece.start : piece.end]))
    if piece.name in splitting:
        return Token("wall", *span)
    if piece.kind == "open":
        return Token("open", *span, name=piece.name)
    if piece.kind == "close":
        return Token("close", *span, name=piece.name)
    return Token("point", *span)


def _pieces(document: str) -> Iterator[_Piece]:
    """All of the document, in order."""
    at = text = 0
    while (at := document.find("<", at)) >= 0:
        piece = _markup(document, at)
        if piece is None:
            at += 1
            continue
        if text < at:
            yield _Piece("text", text, at)
        yield piece
        at = text = piece.end
    if text < len(document):
        yield _Piece("text", text, len(document))


def _markup(document: str, at: int) -> _Piece | None:
    """The markup that begins at a "<", if it is any; what has no end takes all the rest."""
    for begin, end in _SPANS.items():
        if document.startswith(begin, at):
            found = document.find(end, at + len(begin))
            return _Piece("other", at, found + len(end) if found >= 0 else len(document))
    tag = _TAG.match(document, at)
    if tag is None:
        return None
    closing, name, rest = tag.groups()
    kind = "close" if closing else "empty" if rest.endswith("/") else "open"
    return _Piece(kind, at, tag.end(), name, bool(_KEPT.search(rest)))
