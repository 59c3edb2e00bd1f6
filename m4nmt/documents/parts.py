"""Words that tags cut, as in H<sub>2</sub>O and 1<sup>st</sup>, and where the same tags cut a word
of the translation.

Not its job: words (words), where tags go (place).
"""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from m4nmt.documents.words import Span

_RUNS = re.compile(r"\d+|\D+")
Cuts = Sequence[int]  # within a word, rising


class Parted(NamedTuple):
    """Words of a text and of its translation, some of them in parts.

    Attributes:
        same: (word of the translation, word of the text) that are the same part.
    """

    ours: list[Span]
    theirs: list[Span]
    same: list[tuple[int, int]]


def parted(
    source: str,
    ours: Sequence[Span],
    target: str,
    theirs: Sequence[Span],
    tags: Iterable[int],
    whole: Collection[Span] = (),
) -> Parted:
    """The words, but a word that tags stand in is cut there if a word of the translation has the
    same letters, or the same digits between other letters ("1st", "1er"); that one is cut, too.

    Args:
        tags: where they stand in the source.
        whole: words of the translation that are never cut.
    """
    inside = _inside(ours, tags)
    if not inside:
        return Parted([*ours], [*theirs], [])
    there = _There(target, theirs, whole)
    said: Counter[str] = Counter()
    pairs: dict[int, int] = {}
    theirs_cut: dict[int, Cuts] = {}
    for i, (start, end) in enumerate(ours):
        word = source[start:end]
        if i in inside and (found := there.like(word, said[word.lower()], inside[i])):
            pairs[i], theirs_cut[found[0]] = found
        said[word.lower()] += 1
    new_ours = list(_cut(ours, {i: inside[i] for i in pairs}))
    new_theirs = list(_cut(theirs, theirs_cut))
    at = {start: n for n, (start, _) in enumerate(new_ours)}
    at_there = {start: n for n, (start, _) in enumerate(new_theirs)}
    same = [
        (at_there[theirs[t][0]] + part, at[ours[i][0]] + part)
        for i, t in pairs.items()
        for part in range(len(inside[i]) + 1)
    ]
    return Parted(new_ours, new_theirs, same)


class _There:
    """The words of a translation that are not cut yet, by how they read."""

    def __init__(self, text: str, words: Sequence[Span], whole: Collection[Span]) -> None:
        self._alike: dict[str, list[int]] = defaultdict(list)
        self._shaped: dict[str, list[int]] = defaultdict(list)  # the last first
        self._words = [text[start:end] for start, end in words]
        free = [t for t, word in enumerate(words) if word not in whole]
        for t in free:
            self._alike[self._words[t].lower()].append(t)
        for t in reversed(free):
            self._shaped[_shape(_RUNS.findall(self._words[t]))].append(t)
        self._used: set[int] = set()

    def like(self, word: str, before: int, cuts: Cuts) -> tuple[int, Cuts] | None:
        """The word that a word cut so belongs to, and its cuts.

        Args:
            before: so many words with the same letters stand before it.
        """
        for t in self._alike.get(word.lower(), ())[before : before + 1]:
            if t not in self._used and len(self._words[t]) == len(word):
                self._used.add(t)
                return t, cuts
        shape = _shape([word[a:b] for a, b in pairwise((0, *cuts, len(word)))])
        while shape and self._shaped[shape]:
            t = self._shaped[shape].pop()
            if t not in self._used:
                self._used.add(t)
                return t, _ends(_RUNS.findall(self._words[t]))
        return None


def _inside(words: Sequence[Span], tags: Iterable[int]) -> dict[int, list[int]]:
    """Where tags stand inside words: {word: places in it}."""
    ends = [end for _, end in words]
    found: dict[int, list[int]] = defaultdict(list)
    for at in sorted(set(tags)):
        i = bisect_right(ends, at)
        if i < len(words) and words[i][0] < at:
            found[i].append(at - words[i][0])
    return dict(found)


def _shape(parts: Sequence[str]) -> str:
    """Its digits, and a mark for each part without any; empty where that tells too little."""
    digits = [part.isdecimal() for part in parts]
    mixed = any(any(map(str.isdecimal, p)) and not d for p, d in zip(parts, digits, strict=True))
    if mixed or len(parts) < 2 or any(a == b for a, b in pairwise(digits)):
        return ""
    return "".join(part if digit else "\0" for part, digit in zip(parts, digits, strict=True))


def _ends(parts: Sequence[str]) -> list[int]:
    """Where all parts but the last end."""
    return list(accumulate(map(len, parts[:-1])))


def _cut(words: Sequence[Span], cuts: Mapping[int, Cuts]) -> Iterator[Span]:
    for i, (start, end) in enumerate(words):
        yield from pairwise((start, *(start + cut for cut in cuts.get(i, ())), end))
