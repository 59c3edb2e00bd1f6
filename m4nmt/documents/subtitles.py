"""Subtitles, SRT and WebVTT: the text of each cue; numbers, times and settings stay.

A cue's lines are translated as one text, unless dashes show that several people speak, and broken
again to as many lines. Not its job: sentences that run over several cues.
"""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from m4nmt.documents.inline import Token, slots, write
from m4nmt.documents.plain import Line, lines
from m4nmt.documents.types import DocumentError, Meter, Result, Slot
from m4nmt.documents.units import without_tags
from m4nmt.documents.wrap import balanced

WIDTH = 42  # characters of a line that viewers can read in its time
_TIME = re.compile(r"[ \t]*(?:\d{1,4}:)?\d{1,2}:\d{2}[,.]\d{1,3}[ \t]+-->[ \t]+\S")
_TAG = re.compile(r"</?([a-zA-Z]+)[^<>\n]{0,200}>|\{\\[^{}\n]{0,200}\}|<\d[\d:.]{0,20}>")
_SPEAKER = re.compile(r"[ \t]*(?:[-–—♪♫][ \t]*)")
_NOT_CUES = ("NOTE", "STYLE", "REGION", "WEBVTT")


def split_srt(document: str, meter: Meter) -> Iterator[Slot]:
    """The slots of SubRip subtitles.

    Raises:
        DocumentError: no subtitles, or a cue without its times.
    """
    for number, block in enumerate(_blocks(document), 1):
        first = document[block[0].start : block[0].end].strip("\ufeff \t")
        timed = next((i for i in (0, 1) if _timed(document, block, i)), None)
        if timed is None:
            if number == 1 or first.isdigit():
                line = document.count("\n", 0, block[0].start) + 1
                raise DocumentError(
                    f"not SRT: the cue at line {line} has no line of times such as "
                    "'00:00:01,000 --> 00:00:02,500'"
                )
            timed = -1  # a cue that goes on after a blank line
        for cue in _cues(document, block):
            text = cue[1 + _timed(document, cue, 1) :] if timed >= 0 else cue
            yield from _cue(document, text, meter, str, without_tags)


def split_vtt(document: str, meter: Meter) -> Iterator[Slot]:
    """The slots of WebVTT.

    Raises:
        DocumentError: no WebVTT.
    """
    if not document.startswith(("WEBVTT", "\ufeffWEBVTT")):
        raise DocumentError("not WebVTT: the file does not begin with WEBVTT")
    for block in _blocks(document):
        timed = next((i for i in (0, 1) if _timed(document, block, i)), None)
        notes = document.startswith(_NOT_CUES, block[0].start)
        if timed is not None and not (notes and timed == 1):
            for cue in _cues(document, block):
                text = cue[1 + _timed(document, cue, 1) :]
                yield from _cue(document, text, meter, html.unescape, _escape)


def _blocks(document: str) -> Iterator[list[Line]]:
    block: list[Line] = []
    for line in lines(document):
        if document[line.start : line.end].strip("\ufeff \t"):
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _cues(document: str, block: Sequence[Line]) -> Iterator[Sequence[Line]]:
    """The cues that begin in a block: players need no blank line before the next one's times."""
    times = [i for i in range(len(block)) if _timed(document, block, i)]
    if not times or times[0] > 1:
        yield block
        return
    begins = [0]
    for before, at in pairwise(times):
        above = document[block[at - 1].start : block[at - 1].end].strip()
        begins.append(at - 1 if at - 1 > before and above.isdecimal() else at)
    yield from (block[a:b] for a, b in pairwise((*begins, len(block))))


def _timed(document: str, block: Sequence[Line], at: int) -> bool:
    return at < len(block) and bool(_TIME.match(document, block[at].start, block[at].end))


def _escape(text: str) -> str:
    return html.escape(text, quote=False)


def _cue(
    document: str,
    block: Sequence[Line],
    meter: Meter,
    unescape: Callable[[str], str],
    escape: Callable[[str], str],
) -> Iterator[Slot]:
    if not block:
        return
    widest = max(line.end - line.start for line in block)
    newline = "\r\n" if document[block[0].end : block[0].end + 1] == "\r" else "\n"
    tokens = _tokens(document, block, unescape)
    for slot in slots(document, tokens, lambda c: write(c, escape), meter):
        many = document.count("\n", slot.start, slot.end) + 1
        yield replace(slot, write=_writer(many, widest, newline, escape))


def _writer(
    many: int, widest: int, newline: str, escape: Callable[[str], str]
) -> Callable[[Sequence[Result]], str]:
    def written(results: Sequence[Result]) -> str:
        width = min(max(WIDTH, widest), 200)
        return write(balanced(results[0].content, max(many, 2), width, newline), escape)

    return written


def _tokens(
    document: str, block: Sequence[Line], unescape: Callable[[str], str]
) -> Iterator[Token]:
    """The cue's tokens; line ends within it are white space."""
    for i, line in enumerate(block):
        at = line.start
        speaker = _SPEAKER.match(document, at, line.end)
        if speaker:
            yield Token("wall", at, speaker.end())
            at = speaker.end()
        for match in _TAG.finditer(document, at, line.end):
            if at < match.start():
                yield Token("text", at, match.start(), unescape(document[at : match.start()]))
            yield _tag(match)
            at = match.end()
        text = unescape(document[at : line.end])
        if i + 1 < len(block):
            yield Token("text", at, block[i + 1].start, text + " ")
        elif text:
            yield Token("text", at, line.end, text)


def _tag(match: re.Match[str]) -> Token:
    if match.group(1) is None:
        return Token("point", *match.span())
    name = match.group(1).lower()
    if match.group().startswith("</"):
        return Token("close", *match.span(), name=name)
    return Token("open", *match.span(), name=name)
