"""Plain text: each line, or each paragraph whose lines were broken to fit a width.

Blank lines, indents, bullets and line ends stay. Code in backquotes, tags and character references
are units. Not its job: sentences (the translator finds them).
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from m4nmt.documents.inline import write
from m4nmt.documents.road import has_text
from m4nmt.documents.types import Meter, Result, Slot
from m4nmt.documents.units import raw_text
from m4nmt.documents.wrap import wrapped

_BULLET = re.compile(r"[ \t>]*(?:[-*+•–—·▪◦‣]|\(?(?:\d{1,3}|[A-Za-z])[.)])?[ \t]+|[ \t>]+")
_ENDS = ".!?:;。！？।"
_WIDTHS = range(40, 91)


class Line(NamedTuple):
    """A line without its end: [start, end), its text from `body` on."""

    start: int
    body: int
    end: int


def lines(document: str) -> Iterator[Line]:
    """The lines, ended by \\n or \\r\\n alone."""
    start = 0
    while start < len(document):
        stop = document.find("\n", start)
        stop = len(document) if stop < 0 else stop
        end = stop - 1 if stop > start and document[stop - 1] == "\r" else stop
        bullet = _BULLET.match(document, start, end)
        yield Line(start, bullet.end() if bullet else start, end)
        start = stop + 1


def split(document: str, meter: Meter) -> Iterator[Slot]:
    """The slots of a text.

    Raises:
        DocumentError: too much for the meter.
    """
    paragraph: list[Line] = []
    for line in lines(document):
        if document[line.start : line.end].strip():
            paragraph.append(line)
        else:
            yield from _paragraph(document, paragraph, meter)
            paragraph = []
    yield from _paragraph(document, paragraph, meter)


def _paragraph(document: str, paragraph: Sequence[Line], meter: Meter) -> Iterator[Slot]:
    width = max((line.end - line.start for line in paragraph), default=0)
    group: list[Line] = []
    for line in paragraph:
        if group and not _goes_on(document, group[-1], line, width, len(paragraph)):
            yield from _group(document, group, width, meter)
            group = []
        group.append(line)
    yield from _group(document, group, width, meter)


def _goes_on(document: str, line: Line, following: Line, width: int, of: int) -> bool:
    """Whether a line was broken only because the next word did not fit."""
    if width not in _WIDTHS or document[following.start : following.body].strip():
        return False
    word = document[following.body : following.end].split(None, 1)[:1]
    full = line.end - line.start + 1 + sum(map(len, word)) > width
    return full and (of > 2 or document[line.end - 1] not in _ENDS)


def _group(document: str, group: Sequence[Line], width: int, meter: Meter) -> Iterator[Slot]:
    text = " ".join(document[line.body : line.end].strip() for line in group)
    content = raw_text(text)
    if not has_text(content):
        return
    meter.add([content])
    start, end = group[0].body, group[-1].end
    end -= len(document[start:end]) - len(document[start:end].rstrip())

    def written(results: Sequence[Result]) -> str:
        content = results[0].content
        if len(group) > 1:
            indent = document[group[1].start : group[1].body]
            newline = document[group[0].end : group[1].start] + indent
            content = wrapped(content, width - len(indent), newline)
        return write(content, str)

    yield Slot(start, end, (content,), written)
