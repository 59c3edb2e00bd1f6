"""What pair filters know of a line: its words, digits and MinHash, made where the text is read.

Pair filters see every pair of n languages; features are made once a line, kept in a file beside
the column, and mapped: n languages take n files. Not its job: comparing (pairs.py, lexical.py,
near.py).

A word is a run of letters, cut to its first letters (a stem, roughly), lower-cased; a number is a
run of digits; in scripts without spaces every sign is a word. Words are hashed to 16 bits.

Letters: N characters of all lines, W words, L lines, K hash functions.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m4nmt.data.columns.column import read_arrow, write_arrow
from m4nmt.data.filters.characters import LETTER, Lines, ngrams, sums, tables

FORMAT = 1
STEM = 5
MOST_WORDS = 200  # of a line are kept
HASHES = 32
SHINGLE = 5
_MULTIPLIERS = (
    np.random.default_rng(20).integers(1 << 31, size=HASHES, dtype=np.uint32) * np.uint32(2)
) + np.uint32(1)
_PARTS: dict[str, Any] = {
    "words": np.uint16,
    "ends": np.int64,
    "digits": np.uint8,
    "minhash": np.uint32,
}
_ABSENT = np.uint32(0xFFFFFFFF)


class Ragged(NamedTuple):
    """Words of several lines in one array."""

    words_W: NDArray[np.uint16]
    lengths_L: NDArray[np.int64]


def words(lines: Lines) -> Ragged:
    """Hashed words of each line, in order, at most MOST_WORDS."""
    lowered = Lines([text.lower() for text in lines.texts], lines.language)
    codes_N, kind_N = lowered.codes_N, lowered.kind_N
    if not len(codes_N):
        return Ragged(np.empty(0, np.uint16), np.zeros(len(lines), np.int64))
    look = tables()
    digit_N = look.digit[codes_N]
    is_digit_N = digit_N < 10
    single_N = look.unspaced[codes_N]
    inside_N = (kind_N == LETTER) | is_digit_N
    # A word starts where a line starts, where letters turn to digits, and at every single sign.
    group_N = inside_N + 2 * is_digit_N.astype(np.uint8) + 4 * single_N.astype(np.uint8)
    first_N = np.zeros(len(codes_N), bool)
    starts_L = np.cumsum(lowered.lengths_L) - lowered.lengths_L
    first_N[starts_L[lowered.lengths_L > 0]] = True
    changed_N = np.ones(len(codes_N), bool)
    changed_N[1:] = group_N[1:] != group_N[:-1]
    start_N = inside_N & (first_N | changed_N | single_N)
    begin_W = np.flatnonzero(start_N)
    # Numbers are the same whatever their digits' script.
    sign_N = np.where(is_digit_N, digit_N.astype(np.uint32) + np.uint32(48), codes_N)
    word_N = np.cumsum(start_N)
    mixed_W = np.zeros(len(begin_W), np.uint32)
    with np.errstate(over="ignore"):
        for place in range(STEM):
            at_W = np.minimum(begin_W + place, len(codes_N) - 1)
            more_W = (begin_W + place < len(codes_N)) & inside_N[at_W]
            more_W &= word_N[at_W] == np.arange(1, len(begin_W) + 1)
            sign_W = np.where(more_W, sign_N[at_W], np.uint32(0))
            mixed_W = (mixed_W ^ sign_W) * np.uint32(0x9E3779B1)
            mixed_W ^= mixed_W >> np.uint32(15)
        mixed_W *= np.uint32(0x85EBCA6B)
    hashed_W = (mixed_W >> np.uint32(16)).astype(np.uint16)
    return _cut(Ragged(hashed_W, sums(start_N, lowered.lengths_L)))


def _cut(given: Ragged) -> Ragged:
    """At most MOST_WORDS words of each line."""
    place_W = np.arange(len(given.words_W)) - np.repeat(
        np.cumsum(given.lengths_L) - given.lengths_L, given.lengths_L
    )
    return Ragged(given.words_W[place_W < MOST_WORDS], np.minimum(given.lengths_L, MOST_WORDS))


def digits(lines: Lines) -> NDArray[np.uint8]:
    """How often each line has each digit, [L, 10], whatever the script; 255 is 255 or more."""
    digit_N = tables().digit[lines.codes_N]
    owner_N = np.repeat(np.arange(len(lines)), lines.lengths_L)
    wanted_N = digit_N < 10
    place_N = owner_N[wanted_N] * 10 + digit_N[wanted_N]
    count = np.bincount(place_N, minlength=10 * len(lines)).reshape(-1, 10)
    return np.minimum(count, 255).astype(np.uint8)


def minhash(lines: Lines) -> NDArray[np.uint32]:
    """Signatures [L, K] of the lines' character n-grams, letter case and spaces apart.

    The minimum over a set under K hash functions: two sets agree in one with the probability of
    their resemblance (Broder 1997). The signature of a union of sets is the minimum of theirs, so
    that of a pair is made of those of its sides. The language is hashed in: the same words on the
    other side are others.
    """
    folded = [" ".join(text.lower().split()) for text in lines.texts]
    folded = [text.ljust(SHINGLE) if text else "" for text in folded]
    grams_N, owner_N = ngrams(folded, SHINGLE)
    salt = np.uint32(crc32(lines.language.encode()))
    found_LK = np.full((len(lines), HASHES), _ABSENT, np.uint32)
    if not len(grams_N):
        return found_LK
    has_L, first_L = np.unique(owner_N, return_index=True)
    with np.errstate(over="ignore"):
        grams_N = (grams_N ^ salt) * np.uint32(0xC2B2AE35)
        grams_N ^= grams_N >> np.uint32(16)
        for k, multiplier in enumerate(_MULTIPLIERS):
            mixed_N = grams_N * multiplier
            mixed_N ^= mixed_N >> np.uint32(16)
            mixed_N *= np.uint32(0x7FEB352D)
            found_LK[has_L, k] = np.minimum.reduceat(mixed_N, first_L)
    return found_LK


@dataclass(frozen=True)
class Wanted:
    """Which features the filters of a chain ask for."""

    words: bool = False
    digits: bool = False
    minhash: bool = False

    def __bool__(self) -> bool:
        return self.words or self.digits or self.minhash


class FeatureWriter:
    """Appends the features of one column to raw files, then makes one Arrow file of them.

    Memory does not grow with the column.
    """

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self._path, self._wanted = path, wanted
        self._folder = path.with_name(f".{path.name}.{os.getpid()}.parts")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._files = {name: (self._folder / name).open("wb") for name in _PARTS}
        self._end = 0
        self._put("ends", np.zeros(1, np.int64))

    def _put(self, name: str, values: NDArray[Any]) -> None:
        self._files[name].write(np.ascontiguousarray(values, _PARTS[name]).tobytes())

    def append(self, texts: Sequence[str], language: str) -> None:
        """Add rows at the end; empty texts for lines that no filter will look at."""
        lines = Lines(texts, language)
        if self._wanted.words:
            found = words(lines)
            self._put("words", found.words_W)
            self._put("ends", self._end + np.cumsum(found.lengths_L))
            self._end += len(found.words_W)
        if self._wanted.digits:
            self._put("digits", digits(lines))
        if self._wanted.minhash:
            self._put("minhash", minhash(lines))

    def finish(self) -> None:
        """Write the file, whole or absent, and remove the raw ones."""
        for stream in self._files.values():
            stream.close()
        arrays: dict[str, pa.Array] = {}
        if self._wanted.words:
            ends, values = pa.array(self._map("ends")), pa.array(self._map("words"))
            arrays["words"] = pa.LargeListArray.from_arrays(ends, values)
        for name, width in (("digits", 10), ("minhash", HASHES)):
            if getattr(self._wanted, name):
                arrays[name] = pa.FixedSizeListArray.from_arrays(pa.array(self._map(name)), width)
        write_arrow(self._path, pa.record_batch(list(arrays.values()), names=list(arrays)), {})
        self.abandon()

    def _map(self, name: str) -> NDArray[Any]:
        path = self._folder / name
        if path.stat().st_size == 0:
            return np.empty(0, _PARTS[name])
        return np.memmap(path, _PARTS[name], "r")

    def abandon(self) -> None:
        """Remove the raw files."""
        for stream in self._files.values():
            stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class Features:
    """The features of one column, mapped; only what was asked for is there.

    Attributes:
        words_W, ends: words of line i are words_W[ends[i] : ends[i + 1]].
        digits_L10: how often each line has each digit.
        minhash_LK: signatures.
    """

    words_W: NDArray[np.uint16]
    ends: NDArray[np.int64]
    digits_L10: NDArray[np.uint8]
    minhash_LK: NDArray[np.uint32]

    def __init__(self, path: Path) -> None:
        batch, _ = read_arrow(path)
        names = batch.schema.names
        if "words" in names:
            column = batch.column("words")
            self.words_W, self.ends = column.values.to_numpy(), column.offsets.to_numpy()
        if "digits" in names:
            self.digits_L10 = batch.column("digits").values.to_numpy().reshape(-1, 10)
        if "minhash" in names:
            self.minhash_LK = batch.column("minhash").values.to_numpy().reshape(-1, HASHES)

    def of(self, rows_R: NDArray[np.int64]) -> Ragged:
        """Words of some rows."""
        starts_R = self.ends[rows_R]
        lengths_R = self.ends[rows_R + 1] - starts_R
        before_R = np.cumsum(lengths_R) - lengths_R
        place = np.arange(int(lengths_R.sum())) - np.repeat(before_R - starts_R, lengths_R)
        return Ragged(self.words_W[place], lengths_R)
