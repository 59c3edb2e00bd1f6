"""The essential filters: which lines and which pairs are left out, and under which name.

Line filters need one line; pair filters need both sides and are vectorised over rows. Not its job:
counting (tally.py) or reading.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.leakage import Keys, Mask
from m4nmt.data.settings import BlockConfig, FilterConfig

# Why a line is left out; 0 is a good line. The order is that of the checks.
LINE_FILTERS = ("", "unreadable", "empty", "max_chars", "max_tokens", "overlap")
GOOD, UNREADABLE, EMPTY, MAX_CHARS, MAX_TOKENS, OVERLAP = range(len(LINE_FILTERS))
# Why a pair of good lines is left out.
PAIR_FILTERS = ("", "identical", "max_ratio", "duplicates")
IDENTICAL, MAX_RATIO, DUPLICATES = 1, 2, 3
_SLACK = 10.0
_SPECIALS = 3  # language tag, task tag, end


class Limits(NamedTuple):
    """Longest line in characters and in pieces; 0 is no limit."""

    chars: int
    pieces: int


def limits(filters: FilterConfig, blocks: BlockConfig, train: bool) -> Limits:
    """What a line of the training data, or of a dev or test set, may measure."""
    room = max(1, blocks.max_length - _SPECIALS)
    if not train:
        return Limits(0, room)
    return Limits(filters.max_chars, min(filters.max_tokens or room, room))


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


def judge_pairs(
    keys: tuple[Keys, Keys],
    chars: tuple[NDArray[np.int32], NDArray[np.int32]],
    typical: float,
    filters: FilterConfig,
) -> NDArray[np.uint8]:
    """Why each pair of good lines is left out: 0, IDENTICAL or MAX_RATIO.

    Args:
        keys, chars: of the two sides.
        typical: characters of the first side per character of the second over the whole corpus.
            Ratios are relative to it: a Chinese line is a third as long as its English one.
    """
    reason = np.zeros(len(keys[0]), np.uint8)
    if filters.max_ratio > 0:
        root = float(np.sqrt(typical))
        one, other = chars[0] / root + _SLACK, chars[1] * root + _SLACK
        reason[np.maximum(one, other) > filters.max_ratio * np.minimum(one, other)] = MAX_RATIO
    if filters.identical:
        same: Mask = keys[0] == keys[1]
        reason[same] = IDENTICAL
    return reason
