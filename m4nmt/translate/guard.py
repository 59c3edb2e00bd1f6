"""Telling translations that went wrong, and what to try instead.

Each sentence's translation is looked at by itself. What can be wrong, by its mark:
- "truncated": the length limit cut it;
- "empty": it holds no letter or digit, though its source does;
- "repeats": most of it is one stretch of pieces said three times or more on end, and of the source
  it is not so;
- "length": it has many times the pieces of its source, or a small part of them;
- "language": it is in another language than asked for, as far as the identifier is sure.
Two more marks tell what was done: "required": a phrase that was asked for is missing; "retried": it
is the outcome of a second search.

Not its job: decoding (sentences), which languages there are (identify).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.scripts import writes_spaces
from m4nmt.translate.segment import has_words
from m4nmt.translate.types import Translation

RETRIED, REQUIRED = "retried", "required"
_LONGEST_LOOP = 32  # pieces of what is said again and again
_ROOM = 16  # pieces that a translation may always have


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What counts as wrong.

    Attributes:
        loop_share: of a translation's pieces, from which a repetition counts.
        loop_pieces: of a repetition, at least.
        ratio: of pieces of the translation and of its source, either way.
        letters: of a translation whose language is looked at, at least; half as many where the
            script writes no spaces.
        sure: confidence that it is another language, at least.
    """

    loop_share: float = 0.5
    loop_pieces: int = 8
    ratio: float = 5.0
    letters: int = 20
    sure: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.loop_share < 1 or not 0 < self.sure <= 1 or self.ratio <= 1:
            raise ValueError("need loop_share and sure between 0 and 1, and a ratio above 1")


def loop(tokens: Sequence[object]) -> tuple[int, tuple[object, ...]]:
    """The longest stretch that is one unit three times or more on end: its length, and the unit."""
    best: tuple[int, tuple[object, ...]] = (0, ())
    for period in range(1, min(_LONGEST_LOOP, len(tokens) // 3) + 1):
        run = 0
        for i in range(period, len(tokens)):
            run = run + 1 if tokens[i] == tokens[i - period] else 0
            if run >= 2 * period and run + period > best[0]:
                best = run + period, tuple(tokens[i - period + 1 : i + 1])
    return best


def repeated(
    source: Sequence[object], target: Sequence[object], guard: Guard
) -> tuple[object, ...]:
    """What a translation says again and again although its source does not; else nothing."""
    # Of three times a unit on end two thirds were said before: most translations say less twice.
    least = max(guard.loop_pieces, guard.loop_share * len(target))
    if 3 * (len(target) - len(set(target))) < 2 * least:
        return ()
    length, unit = loop(target)
    if length < guard.loop_pieces or length <= guard.loop_share * len(target):
        return ()
    own = loop(source)[0] / max(1, len(source))
    return unit if own < guard.loop_share * length / len(target) else ()


def faults(source: Sequence[object], translation: Translation, guard: Guard) -> tuple[str, ...]:
    """Marks of a translation, but for its language.

    Args:
        source: pieces, or their ids.
    """
    ours, theirs = len(source), len(translation.tokens)
    short = ours > _ROOM and theirs * guard.ratio < ours
    wrong = {
        "truncated": not translation.finished,
        "empty": not has_words(translation.text),
        "repeats": bool(repeated(source, translation.tokens, guard)),
        "length": short or theirs > guard.ratio * ours + _ROOM,
        REQUIRED: REQUIRED in translation.marks,
    }
    return tuple(mark for mark, found in wrong.items() if found)


def long_enough(text: str, language: str, guard: Guard) -> bool:
    """Whether a text's language can be told."""
    letters = sum(map(str.isalpha, text))
    return letters * (1 if writes_spaces(language) else 2) >= guard.letters


def plain(config: SearchConfig) -> SearchConfig:
    """Beam search, ranked by its own scores."""
    return replace(config, sample=False, groups=1, coverage=0.0, risk="")


def other_settings(config: SearchConfig) -> SearchConfig:
    """A second search: twice as wide, plain, and all that it finds is looked at."""
    beam = max(4, 2 * config.beam)
    return replace(plain(config), beam=beam, n_best=beam)


def better(first: Sequence[Translation], second: Sequence[Translation]) -> list[Translation]:
    """The first search's translations, or those of the second with the fewest faults, where these
    are fewer than the first one's best has. "required" counts most."""
    if not second:
        return list(first)
    fewest = min(map(_badness, second))
    if first and fewest >= _badness(first[0]):
        return list(first)
    return [replace(t, marks=(*t.marks, RETRIED)) for t in second if _badness(t) == fewest]


def _badness(translation: Translation) -> tuple[bool, int]:
    return REQUIRED in translation.marks, len(translation.marks)
