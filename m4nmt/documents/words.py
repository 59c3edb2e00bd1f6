"""Words of a text, and a guess which words of a translation belong to which of its source.

Not its job: alignment by a model. The guess holds on to words that both sides share (names,
numbers, units) and takes the order between them to be the same.
"""

import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from m4nmt.documents.types import Link

Span = tuple[int, int]
# Scripts whose words no space parts: each character with its marks counts as a word.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Kana
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


def words(text: str, whole: Sequence[Span] = ()) -> list[Span]:
    """Spans of words and of single marks, in order; each span of `whole` is a word of its own."""
    found: list[Span] = []
    at = 0
    for start, end in [*whole, (len(text), len(text))]:
        _split(text, at, start, found)
        if end > start:
            found.append((start, end))
        at = end
    return found


def _split(text: str, at: int, end: int, found: list[Span]) -> None:
    """The words of text[at:end], none of which is kept whole."""
    letters = False  # whether the last word goes on with a letter
    for i in range(at, end):
        character = text[i]
        if character.isspace():
            letters = False
            continue
        goes_on = bool(found) and found[-1][1] == i and i > at
        if goes_on and _mark(character):
            found[-1] = (found[-1][0], i + 1)
            continue
        unspaced = any(low <= ord(character) <= high for low, high in _UNSPACED)
        letter = character.isalnum() and not unspaced
        inner = character in "'’_-" and letters and i + 1 < end and text[i + 1].isalnum()
        if goes_on and letters and (letter or inner):
            found[-1] = (found[-1][0], i + 1)
        else:
            found.append((i, i + 1))
            letters = letter


def _mark(character: str) -> bool:
    return character in "\u200c\u200d" or unicodedata.category(character).startswith("M")


def anchors(
    source: Sequence[Span], target: Sequence[Span], links: Sequence[Link]
) -> list[int | None]:
    """For each target word the source word it is linked to: the middle one of several."""
    linked: list[list[int]] = [[] for _ in target]
    source_ends, target_ends = [end for _, end in source], [end for _, end in target]
    for link in links:
        of = _covered(source, source_ends, link.src, link.src_end)
        for t in _covered(target, target_ends, link.tgt, link.tgt_end):
            linked[t] += of
    return [sorted(found)[len(found) // 2] if found else None for found in linked]


def _covered(spans: Sequence[Span], ends: Sequence[int], start: int, end: int) -> range:
    """Indices of the words that [start, end) touches."""
    first = last = bisect_left(ends, start + 1)
    while last < len(spans) and spans[last][0] < end:
        last += 1
    return range(first, last)


def guess(
    source_text: str, source: Sequence[Span], target_text: str, target: Sequence[Span]
) -> list[int | None]:
    """As `anchors`, without links: shared words, and even steps between them."""
    ours = [source_text[a:b].casefold() for a, b in source]
    theirs = [target_text[a:b].casefold() for a, b in target]
    once, once_there = Counter(ours), Counter(theirs)
    place = {word: i for i, word in enumerate(ours) if once[word] == 1}
    fixed = [
        (t, place[word])
        for t, word in enumerate(theirs)
        if word in place and once_there[word] == 1 and any(map(str.isalnum, word))
    ]
    rising = [(-1, -1), *_rising(fixed), (len(theirs), len(ours))]
    found: list[int | None] = [None] * len(theirs)
    for (t0, s0), (t1, s1) in pairwise(rising):
        for t in range(t0 + 1, t1 if s1 - s0 > 1 else t0):
            share = (t - t0 - 0.5) / (t1 - t0 - 1)  # by centres: equal lengths map one to one
            found[t] = s0 + 1 + min(int(share * (s1 - s0 - 1)), s1 - s0 - 2)
    for t, s in fixed:
        found[t] = s
    return found


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of (t, s), sorted by t, in which s rises too (patience sorting)."""
    tails: list[int] = []  # s that ends the best chain of each length
    at: list[int] = []  # index of the pair that ends it
    before: list[int] = []
    for i, (_, s) in enumerate(pairs):
        length = bisect_left(tails, s)
        before.append(at[length - 1] if length else -1)
        tails[length : length + 1] = [s]
        at[length : length + 1] = [i]
    chain = []
    i = at[-1] if at else -1
    while i >= 0:
        chain.append(pairs[i])
        i = before[i]
    return chain[::-1]
