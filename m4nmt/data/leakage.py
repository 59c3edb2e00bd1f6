"""What counts as the same text: keys of lines, overlap with test sets, repeated lines.

Two lines are the same when they are equal after `normalise`, NFKC and case folding
(faults of data: a sentence of a multi-way test set leaks through any of its languages). Not its
job: deciding what is done about it (clean.py).
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.normalise import normalise

Keys = NDArray[np.uint64]
Mask = NDArray[np.bool_]
_PART = 1 << 23


def key(text: str) -> int:
    """64 bits that tell texts apart; 0 is never returned (it marks an absent line)."""
    folded = normalise(unicodedata.normalize("NFKC", text).casefold())
    digest = hashlib.blake2b(folded.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def mix(one: Keys, other: Keys) -> Keys:
    """Keys of ordered pairs of lines (a multiply-xorshift hash of both)."""
    with np.errstate(over="ignore"):
        mixed = one * np.uint64(0x9E3779B97F4A7C15) ^ other
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        return mixed ^ (mixed >> np.uint64(32))


def distinct(chunks: Iterable[Keys]) -> Keys:
    """Sorted distinct keys."""
    parts = [np.unique(chunk) for chunk in chunks]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)


def contains(known: Keys, keys: Keys) -> Mask:
    """Which keys are among the sorted `known` ones."""
    if not len(known):
        return np.zeros(len(keys), bool)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found: Mask = known[place] == keys
    return found


def overlap(keys: Mapping[str, Keys], known: Mapping[str, Keys]) -> Mask:
    """Rows of aligned columns that hold a known line in any language."""
    rows = len(next(iter(keys.values())))
    found = np.zeros(rows, bool)
    for language, column in keys.items():
        if language in known:
            found |= contains(known[language], column)
    return found


def repeats(
    chunks: Callable[[], Iterator[Keys]], total: int, part: int = _PART
) -> tuple[Mask, Mask]:
    """Which elements of a long sequence occur more than once, and which occurred before.

    Memory beyond the two masks is bounded: keys are looked at one range of values after another.

    Args:
        chunks: gives the sequence anew, piece by piece, at every call; 0 is never a repeat.
        total: its length.
        part: about how many keys to hold at once.
    """
    repeated, later = np.zeros(total, bool), np.zeros(total, bool)
    for places, values in _ranges(chunks, total, part):
        _mark(places, values, repeated, later)
    return repeated, later


def groups(
    chunks: Callable[[], Iterator[Keys]], total: int, part: int = _PART
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places of equal elements of a long sequence: of each later one, the first and its own.

    Arguments as of `repeats`; so is the memory.
    """
    for places, values in _ranges(chunks, total, part):
        order = np.argsort(values, kind="stable")
        new = np.ones(len(order), bool)
        new[1:] = values[order][1:] != values[order][:-1]
        first = order[np.flatnonzero(new)[np.cumsum(new) - 1]] if len(order) else order
        yield places[first[~new]], places[order[~new]]


def _ranges(
    chunks: Callable[[], Iterator[Keys]], total: int, part: int
) -> Iterator[tuple[NDArray[np.int64], Keys]]:
    """Places and values of the elements that are not 0, one range of values after another."""
    bits = max(0, int(total // part).bit_length())
    for number in range(1 << bits):
        places = [np.empty(0, np.int64)]
        values = [np.empty(0, np.uint64)]
        start = 0
        for chunk in chunks():
            wanted = chunk != 0
            if bits:
                wanted &= chunk >> np.uint64(64 - bits) == number
            here = np.flatnonzero(wanted)
            places.append(here + start)
            values.append(chunk[here])
            start += len(chunk)
        yield np.concatenate(places), np.concatenate(values)


def _mark(places: NDArray[np.int64], values: Keys, repeated: Mask, later: Mask) -> None:
    order = np.argsort(values, kind="stable")
    same = np.flatnonzero(values[order][1:] == values[order][:-1])
    later[places[order[same + 1]]] = True
    repeated[places[order[same + 1]]] = True
    repeated[places[order[same]]] = True
