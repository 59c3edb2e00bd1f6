"""The cleaning chain of a recipe: which filters, under which names, and the longest lines.

Not its job: what single filters look at (filters/), counting (tally.py, encode.py) or reading.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.filters import lines, settings
from m4nmt.data.filters.characters import Lines
from m4nmt.data.filters.settings import FilterChain
from m4nmt.data.settings import BlockConfig, Filters

# Why a line is left out; 0 is a good line. Files hold these numbers: names are only ever added.
LINE_FILTERS = (
    "",
    "unreadable",
    "empty",
    "max_chars",
    "max_tokens",
    "overlap",
    "partial_overlap",
    "controls",
    "mojibake",
    "markup",
    "links",
    "digits",
    "symbols",
    "repetition",
    "wrong_script",
    "wrong_language",
    "packaged_language",
)
GOOD, UNREADABLE, EMPTY, MAX_CHARS, MAX_TOKENS, OVERLAP, PARTIAL_OVERLAP = range(7)
# Why a pair of good lines is left out.
PAIR_FILTERS = (
    "",
    "identical",
    "max_ratio",
    "duplicates",
    "copied",
    "unusual_ratio",
    "numbers",
    "alignment",
    "near_duplicates",
    "embedding_score",
)
_SPECIALS = 3  # language tag, another tag, end


def name(config: object) -> str:
    """What a filter's verdicts are counted under: "MaxChars" is "max_chars"."""
    letters = [f"_{c.lower()}" if c.isupper() else c for c in type(config).__name__]
    return "".join(letters).lstrip("_")


def chain(filters: Filters) -> FilterChain:
    """The chain that a recipe's filters stand for."""
    if isinstance(filters, FilterChain):
        return filters
    length = (
        settings.MaxChars(most=filters.max_chars) if filters.max_chars else None,
        settings.MaxTokens(most=filters.max_tokens) if filters.max_tokens else None,
    )
    pairs = (
        settings.Identical() if filters.identical else None,
        settings.MaxRatio(most=filters.max_ratio) if filters.max_ratio > 0 else None,
        settings.Duplicates() if filters.duplicates else None,
    )
    return FilterChain(
        lines=tuple(one for one in length if one),
        rows=(settings.Overlap(),) if filters.overlap else (),
        pairs=tuple(one for one in pairs if one),
    )


class Limits(NamedTuple):
    """Longest line in characters and in pieces; 0 is no limit."""

    chars: int
    pieces: int


def limits(filters: Filters, blocks: BlockConfig, train: bool, tags: int = 0) -> Limits:
    """What a line of the training data, or of a dev or test set, may measure.

    Args:
        filters, blocks: of the recipe.
        train: whether it is training data.
        tags: that its sources carry beyond the usual ones.
    """
    room = max(1, blocks.max_length - _SPECIALS - tags)
    if not train:
        return Limits(0, room)
    given = chain(filters).lines
    chars = [one.most for one in given if isinstance(one, settings.MaxChars)]
    pieces = [one.most for one in given if isinstance(one, settings.MaxTokens)]
    return Limits(min(chars, default=0), min([*pieces, room]))


def judge_text(text: str | None, bounds: Limits) -> int:
    """GOOD, UNREADABLE, EMPTY or MAX_CHARS."""
    if text is None:
        return UNREADABLE
    if not text or text.isspace():
        return EMPTY
    return MAX_CHARS if 0 < bounds.chars < len(text) else GOOD


def judge_pieces(count: int, bounds: Limits) -> int:
    """GOOD, EMPTY (nothing but invisible characters) or MAX_TOKENS."""
    if count == 0:
        return EMPTY
    return MAX_TOKENS if 0 < bounds.pieces < count else GOOD


class LineJudge:
    """The line filters of a chain that look at text, ready to be asked.

    Args:
        configs: in the order in which they are asked.
        identifier: file of the language identifier trained on the corpora.

    Raises:
        ConfigError: a filter needs a package that is not installed.
        IdentifierError: a filter needs the identifier, and the file is none.
    """

    def __init__(self, configs: Sequence[settings.LineFilter], identifier: Path) -> None:
        made = [(LINE_FILTERS.index(name(one)), lines.make(one, identifier)) for one in configs]
        self._filters = [(flag, one) for flag, one in made if one is not None]

    def judge(self, texts: Sequence[str], language: str) -> NDArray[np.uint8]:
        """The flag of each line: of the first filter that objects, or GOOD."""
        flags = np.full(len(texts), GOOD, np.uint8)
        if texts:
            given = Lines(texts, language)
            for flag, one in self._filters:
                flags[one.drop(given) & (flags == GOOD)] = flag
        return flags
