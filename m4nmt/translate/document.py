"""One text on its way: its parts, what of it is decoded, and its translations put together.

Not its job: where sentences end (segment), decoding, or ids.
"""

import heapq
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from m4nmt.data.types import Direction
from m4nmt.translate.guard import REQUIRED
from m4nmt.translate.segment import Part, has_letters, join, shorten, split
from m4nmt.translate.types import Translation

# A line goes out as one line, whatever bytes a model puts together.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NOT_UTF8 = re.compile("[\ud800-\udfff]")


class TextError(ValueError):
    """A text that cannot be translated; says which, where and why."""


class LostSentenceError(RuntimeError):
    """As many translations did not come back as sentences went out: a fault of the engine."""


def checked(texts: Sequence[str]) -> list[str]:
    """The texts, if they are.

    Raises:
        TypeError: one text instead of a sequence of texts, or something that is no text.
        TextError: a lone surrogate.
    """
    if isinstance(texts, str):
        raise TypeError("give a sequence of texts, not one text: [text]")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text {i} is of type {type(text).__name__}, not a string")
        found = None if text.isascii() else _NOT_UTF8.search(text)
        if found:
            raise TextError(
                f"text {i} holds a lone surrogate (U+{ord(found.group()):04X}) at character "
                f"{found.start()}; it is not valid Unicode: decode the input strictly as UTF-8"
            )
    return list(texts)


def one_line(text: str) -> str:
    """The text without control characters and line breaks."""
    return _CONTROL.sub(" ", text).strip()


@dataclass(frozen=True)
class Document:
    """A text, its direction, and its parts; `"".join` of the parts' texts is the text."""

    direction: Direction
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, text: str, direction: Direction, sentences: bool) -> "Document":
        """A text whose sentences are parts; only its lines, if not `sentences`. Nothing of a text
        that already is in the target language is translated."""
        if direction.src == direction.tgt:
            return cls(direction, (Part(text, False),))
        return cls(direction, tuple(split(text, direction.src, sentences)))

    def to_translate(self) -> tuple[str, ...]:
        """The parts that a model is needed for."""
        return self._wanted

    @cached_property
    def _wanted(self) -> tuple[str, ...]:
        return tuple(part.text for part in self.parts if part.sentence and has_letters(part.text))

    def cut(self, fits: Callable[[str], bool]) -> "Document":
        """With its sentences in parts that fit."""
        parts: list[Part] = []
        for part in self.parts:
            parts += shorten(part.text, fits) if part.sentence else [part]
        return Document(self.direction, tuple(parts))

    def put_together(
        self, options: Sequence[Sequence[Translation]], n_best: int
    ) -> list[Translation]:
        """The best translations of the whole, given those of each of `to_translate`, in order.

        Utilities and scores of the parts are summed; the best n of all combinations are found
        exactly.

        Raises:
            LostSentenceError: not as many as sentences, or one without a translation.
        """
        wanted = self._wanted
        if len(options) != len(wanted) or not all(options):
            got = sum(map(bool, options))
            raise LostSentenceError(
                f"{len(wanted)} sentences were to be translated, but {got} were: {wanted[:1]}"
            )
        given = iter(options)
        choices = (
            next(given) if has_letters(part.text) else [Translation(part.text, 0.0)]
            for part in self.parts
            if part.sentence
        )
        return [self._join(way) for way in combine(choices, n_best)]

    def _join(self, way: Sequence[Translation]) -> Translation:
        if len(self.parts) == len(way) == 1 and len(way[0].marks) < 2:
            return way[0]
        texts = [translation.text for translation in way]
        placed = join(self.parts, texts, self.direction.src, self.direction.tgt)
        begins = zip(way, placed.source_begins, placed.target_begins, strict=True)
        return Translation(
            text=placed.text,
            score=sum(t.score for t in way),
            tokens=tuple(token for t in way for token in t.tokens),
            token_scores=tuple(score for t in way for score in t.token_scores),
            finished=all(t.finished for t in way),
            alignment=tuple(link.moved(s, t) for one, s, t in begins for link in one.alignment),
            confidence=min((t.confidence for t in way if t.confidence is not None), default=None),
            least=min((t.least for t in way if t.least is not None), default=None),
            utility=sum(t.utility for t in way),
            marks=tuple(sorted({mark for t in way for mark in t.marks})),
        )


def combine(options: Iterable[Sequence[Translation]], n_best: int) -> list[tuple[Translation, ...]]:
    """The n best ways to take one of each: those in which the fewest lack a phrase that must occur,
    then the fewest are cut; then by sum of utilities, then of scores; best first."""
    if n_best == 1:
        return [tuple(choices[0] for choices in options)]
    chosen: list[Translation] = []
    before: list[int] = []  # number of the choice that each choice follows; -1: none
    ends: list[tuple[_Worth, int]] = [(_Worth(0, 0, 0.0, 0.0), -1)]
    for choices in options:
        longer = [(worth.and_of(c), at, c) for worth, at in ends for c in choices[:n_best]]
        best = heapq.nlargest(n_best, longer, key=lambda way: way[0])
        ends = [(worth, len(chosen) + i) for i, (worth, *_) in enumerate(best)]
        chosen += [choice for *_, choice in best]
        before += [at for _, at, _ in best]
    return [_back(chosen, before, end) for _, end in ends]


class _Worth(NamedTuple):
    """What ways are ranked by; greater is better."""

    met: int
    finished: int
    utility: float
    score: float

    def and_of(self, one: Translation) -> "_Worth":
        """With one more translation."""
        return _Worth(
            self.met - (REQUIRED in one.marks),
            self.finished - (not one.finished),
            self.utility + one.utility,
            self.score + one.score,
        )


def _back(chosen: list[Translation], before: list[int], at: int) -> tuple[Translation, ...]:
    """The way that ends with choice number `at`."""
    way = []
    while at >= 0:
        way.append(chosen[at])
        at = before[at]
    return tuple(reversed(way))
