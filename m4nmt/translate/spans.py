"""Where pieces stand in a text, and links between the characters of two texts.

Not its job: which piece belongs to which (alignment).
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from m4nmt.translate.alignment import Pairs
from m4nmt.translate.types import Link

_SPACE = "\u2581"  # how SentencePiece writes a space before a word
_BYTE = re.compile("<0x([0-9A-F]{2})>")
_LONGEST = 2000  # characters of two texts that are compared

Span = tuple[int, int]


def spans(pieces: Sequence[str]) -> list[Span]:
    """[begin, end) of each piece in the text that they spell, without the space before a word.

    The bytes of one character all have its span. The space before the first word is not there.
    """
    found: list[Span] = []
    at, character = 0, 0  # where the next piece begins, and the character that its bytes spell
    for piece in pieces:
        byte = _BYTE.fullmatch(piece)
        if byte is None:
            found.append((at + piece.startswith(_SPACE), at + len(piece)))
            at += len(piece)
        else:
            if int(byte.group(1), 16) & 0xC0 != 0x80:  # not a byte that goes on with a character
                character, at = at, at + 1
            found.append((character, character + 1))
    lead = bool(pieces) and pieces[0].startswith(_SPACE)
    return [(max(begin - lead, 0), max(end - lead, 0)) for begin, end in found]


def original(normalised: str, text: str) -> list[int] | None:
    """For each character boundary of the normalised text, where it lies in the text itself; None
    if the texts are too long to compare."""
    if normalised == text:
        return list(range(len(text) + 1))
    if len(text) > _LONGEST:
        return None
    where = [0] * (len(normalised) + 1)
    for _, a, b, c, d in SequenceMatcher(None, normalised, text, autojunk=False).get_opcodes():
        for i in range(a, b + 1):
            where[i] = min(c + (i - a), d) if i < b else d
    return where


def links(
    pairs: Pairs,
    source_pieces: Sequence[str],
    target_pieces: Sequence[str],
    where: Sequence[int] | None,
) -> tuple[Link, ...]:
    """Links of characters from pairs of (source piece, target piece).

    Args:
        where: each boundary of the source's normalised text in the source itself (`original`).
    """
    if where is None:
        return ()
    ours, theirs = spans(source_pieces), spans(target_pieces)
    last = len(where) - 1
    found = (
        Link(where[min(ours[s][0], last)], where[min(ours[s][1], last)], *theirs[t])
        for s, t in pairs
    )
    return tuple(
        x for x in found if x.source_begin < x.source_end and x.target_begin < x.target_end
    )
