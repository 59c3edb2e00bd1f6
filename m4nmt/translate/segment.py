"""Texts to sentences and back, without loss.

`split` gives parts whose texts joined are the text: sentences, and the white space between them.
A line break always separates; a sentence also ends at a terminator of its script, unless what
stands around it says otherwise (abbreviation, initial, ordinal, a small letter after it). Scripts
without terminators (Thai, Lao) are only cut where `shorten` must, at spaces. `join` puts
translations in the sentences' places.

Not its job: what a model can take (`shorten` is told by a function), or translating.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from m4nmt.translate.abbreviations import is_abbreviation, is_ordinal

# Sentence ends that need white space after them, and those that do not.
_SPACED = ".!?…‼⁇⁈⁉‽;\u037e։՜՞؟۔܀܁܂߹།༎᙮᠃᠉᥄᥅᪨᪩᪪᪫⳹⳾⸮⸼꓿꛳꛷꡶꡷"
_UNSPACED = "。！？｡．﹒﹖﹗︒।॥۔؟።፧፨။។៕៚᜵᜶᭞᭟꧈꧉᱾᱿꯫꣎꣏෴𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃"
_ENDS = frozenset(_SPACED + _UNSPACED)
_CLOSERS = "\"'”’»›«‹)]}“‘」』】〉》〕）］｝＂＇｣"
_SURE_CLOSERS = "”’»›)]}」』】〉》〕）］｝｣"  # never open a quotation where no space follows
_OPENERS = "\"'“‘«‹„‚([{¿¡「『【〈《〔（［｛—–-*•"
_LAST = _ENDS.union(_CLOSERS)  # what the last word of a sentence ends with
_CLAUSES = ",;:，、；：،؛՝፣፤፥၊។\u0f0d—–"

_SPACE = re.compile(r"\s+")
_LINE = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_RUN = re.compile(
    f"[{re.escape(_UNSPACED)}][{re.escape(_SPACED + _UNSPACED)}]*[{re.escape(_SURE_CLOSERS)}]*"
)
_CLAUSE = re.compile(f"[{re.escape(_CLAUSES)}]+[{re.escape(_SURE_CLOSERS)}]*")
_UNSPACED_SCRIPTS = frozenset(("Hans", "Hant", "Hani", "Jpan", "Hira", "Kana"))


class Part(NamedTuple):
    """A stretch of a text: a sentence, or what stands between sentences."""

    text: str
    sentence: bool


def has_words(text: str) -> bool:
    """Whether it says anything: a letter or a digit."""
    return any(map(str.isalnum, text))


def has_letters(text: str) -> bool:
    """Whether a model is needed: numbers, dates and marks alone are the same in every language,
    and a model may well say others."""
    return any(map(str.isalpha, text))


def split(text: str, language: str = "", sentences: bool = True) -> list[Part]:
    """The parts of a text; `"".join(part.text for part in parts) == text`.

    Args:
        language: as "deu_Latn"; its abbreviations and habits are used.
        sentences: False separates at line breaks only.
    """
    parts, begin = [], 0
    for start, end in _breaks(text, language, sentences):
        parts += [Part(text[begin:start], True), Part(text[start:end], False)]
        begin = end
    parts.append(Part(text[begin:], True))
    return [part for part in parts if part.text]


def shorten(text: str, fits: Callable[[str], bool]) -> list[Part]:
    """Cut a sentence into parts that fit, as even and as few as halving makes them.

    Cuts lie at the end of a clause, else at a space, else between characters; a single character
    is never cut.
    """
    if len(text) == 1 or fits(text):
        return [Part(text, True)]
    start, end = _cut(text)
    gap = [Part(text[start:end], False)] if start < end else []
    return [*shorten(text[:start], fits), *gap, *shorten(text[end:], fits)]


class Placed(NamedTuple):
    """A text whose sentences were exchanged, and where each begins in the old and the new text."""

    text: str
    source_begins: tuple[int, ...]
    target_begins: tuple[int, ...]


def join(parts: Sequence[Part], translated: Sequence[str], source: str, target: str) -> Placed:
    """The text with its sentences exchanged for `translated`, in order.

    What stood between sentences is kept, but scripts written without spaces lose plain spaces
    between sentences, and the others get one where the source had none.
    """
    from_spaced, to_spaced = _spaced(source), _spaced(target)
    out, sentences, begins = "", iter(translated), []
    for i, part in enumerate(parts):
        if part.sentence:
            if i and parts[i - 1].sentence and to_spaced:
                ended = not parts[i - 1].text[-1].isalnum()
                out += " " if ended or not from_spaced else ""
            begins.append(len(out))
            out += next(sentences)
        elif from_spaced and not to_spaced and 0 < i < len(parts) - 1 and not part.text.strip(" "):
            continue
        else:
            out += part.text
    at = [0, *accumulate(len(part.text) for part in parts)]
    source_begins = (at[i] for i, part in enumerate(parts) if part.sentence)
    return Placed(out, tuple(source_begins), tuple(begins))


def _spaced(language: str) -> bool:
    """Whether the script puts spaces between sentences."""
    return language.partition("_")[2] not in _UNSPACED_SCRIPTS


def _breaks(text: str, language: str, sentences: bool) -> list[tuple[int, int]]:
    """Where to separate: spans of white space, or of nothing, in order."""
    spans = []
    begin = 0  # of the sentence that is being read
    for match in _SPACE.finditer(text):
        start, end = match.span()
        edge = start == 0 or end == len(text)
        if (
            edge
            or _LINE.search(text, start, end)
            or (sentences and text[start - 1] in _LAST and _ends(text, begin, start, end, language))
        ):
            spans.append((start, end))
            begin = end
    if sentences:
        spans += [(at, at) for at in _unspaced_ends(text)]
    return sorted(spans)


def _unspaced_ends(text: str) -> Iterator[int]:
    """Ends of sentences that no white space follows."""
    for match in _RUN.finditer(text):
        end = match.end()
        if end == len(text) or text[end].isspace():
            continue
        inside_number = match.group() == "．" and text[end].isdigit()
        quoted = match.group()[-1] in _SURE_CLOSERS and "\u3041" <= text[end] <= "\u309f"
        if not inside_number and not quoted:  # "「本当。」です" goes on
            yield end


def _ends(text: str, begin: int, start: int, end: int, language: str) -> bool:
    """Whether the sentence that began at `begin` ends before the white space [start, end)."""
    stop = start
    while stop > begin and text[stop - 1] in _CLOSERS:
        stop -= 1
    while begin < stop < start and text[stop - 1].isspace():  # "Oui. »"
        stop -= 1
    word_end = stop
    while word_end > begin and text[word_end - 1] in _ENDS:
        word_end -= 1
    mark = text[word_end:stop]
    greek = language.startswith("ell")
    if not mark or (mark == ";" and not greek) or _continues(text, end):
        return False
    if mark != "." or stop != start:
        return True
    word_begin = word_end
    while word_begin > begin and not text[word_begin - 1].isspace():
        word_begin -= 1
    word = text[word_begin:word_end].lstrip(_OPENERS)
    before_number = end < len(text) and text[end].isdigit()
    item = word.isdigit() and len(word) <= 2 and word_begin == begin  # "1. First of a list"
    return not (
        item
        or (len(word) == 1 and word.isalpha())
        or ("." in word and all(len(letters) <= 2 for letters in word.split(".")))
        or is_ordinal(word, language)
        or is_abbreviation(word, before_number, language)
    )


def _continues(text: str, at: int) -> bool:
    """Whether what follows is of the same sentence: a small letter, or a mark standing alone."""
    if text[at] in _SURE_CLOSERS and (at + 1 == len(text) or text[at + 1].isspace()):
        return True
    while at < len(text) and text[at] in _OPENERS:
        at += 1
    return at < len(text) and (text[at].islower() or text[at] in ",;:")


def _cut(text: str) -> tuple[int, int]:
    """Where to cut in two: the best place nearest to the middle, in the middle half if it can."""
    low, middle, high = len(text) // 4, len(text) // 2, len(text) - len(text) // 4

    def nearest(spans: Iterator[tuple[int, int]]) -> tuple[int, int] | None:
        inside = (
            s for s in spans if low <= s[0] and s[1] <= high and s[0] > 0 and s[1] < len(text)
        )
        return min(inside, key=lambda s: abs(s[0] + s[1] - 2 * middle), default=None)

    spaces = {m.start(): m.end() for m in _SPACE.finditer(text, low, high)}
    clauses = (m.end() for m in _CLAUSE.finditer(text, low, high))
    at_clause = nearest(
        (at, spaces.get(at, at)) for at in clauses if at in spaces or ord(text[at - 1]) > 0x2FFF
    )
    return at_clause or nearest(iter(spaces.items())) or _between_characters(text, low, high)


def _between_characters(text: str, low: int, high: int) -> tuple[int, int]:
    """Near the middle, but not inside what readers see as one character."""
    middle = max(1, len(text) // 2)
    for step in range(len(text)):
        for at in (middle - step, middle + step):
            if max(low, 1) <= at <= min(high, len(text) - 1) and not _joined(text, at):
                return at, at
    return middle, middle


def _joined(text: str, at: int) -> bool:
    """Whether the characters around `at` are one to a reader."""
    after, before = text[at], text[at - 1]
    mark = unicodedata.category(after).startswith("M") or after in "\u200d\u200c"
    return mark or before == "\u200d" or "\U0001f3fb" <= after <= "\U0001f3ff"
