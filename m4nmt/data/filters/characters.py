"""Lines as arrays of code points: what kind of character each is, and of which script.

Letters: N characters of all lines, L lines.
"""

import unicodedata
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
OTHER, SPACE, LETTER, DIGIT, SYMBOL, DAMAGE = range(6)
_LAST = 0x110000
# Where characters are assigned: between these and behind them are only gaps and, from _PRIVATE on,
# private use. Looking at every code point would be a third of what it takes to start.
_ASSIGNED = (range(0x40000), range(0xE0000, 0xE1000))
_PRIVATE = 0xF0000
# Scripts of which a sign is a word, or nearly so, and words are not set apart by spaces.
_UNSPACED = {"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"}
# First words of names of letters and marks that belong to many scripts, or to none.
_COMMON = {
    "",
    "COMBINING",
    "VARIATION",
    "MODIFIER",
    "FULLWIDTH",
    "HALFWIDTH",
    "MATHEMATICAL",
    "SUPERSCRIPT",
    "SUBSCRIPT",
    "MASCULINE",
    "FEMININE",
    "MICRO",
    "IDEOGRAPHIC",
    "VEDIC",
}
# ISO 15924 -> the first words of its letters' Unicode names, where those are not unique to it.
_NAMES = {
    "Hans": ("CJK",),
    "Hant": ("CJK", "BOPOMOFO"),
    "Hani": ("CJK",),
    "Jpan": ("CJK", "HIRAGANA", "KATAKANA"),
    "Kore": ("HANGUL", "CJK"),
    "Hang": ("HANGUL",),
    "Beng": ("BENGALI",),
    "Cyrl": ("CYRILLIC",),
    "Deva": ("DEVANAGARI",),
    "Geor": ("GEORGIAN",),
    "Grek": ("GREEK",),
    "Guru": ("GURMUKHI",),
    "Cans": ("CANADIAN",),
    "Cher": ("CHEROKEE",),
    "Copt": ("COPTIC",),
    "Ethi": ("ETHIOPIC",),
    "Mlym": ("MALAYALAM",),
    "Mymr": ("MYANMAR",),
    "Orya": ("ORIYA",),
    "Olck": ("OL",),
    "Sinh": ("SINHALA",),
    "Syrc": ("SYRIAC",),
    "Taml": ("TAMIL",),
    "Telu": ("TELUGU",),
    "Tfng": ("TIFINAGH",),
    "Tibt": ("TIBETAN",),
    "Armn": ("ARMENIAN",),
    "Arab": ("ARABIC",),
    "Gujr": ("GUJARATI",),
    "Hebr": ("HEBREW",),
    "Khmr": ("KHMER",),
    "Knda": ("KANNADA",),
    "Laoo": ("LAO",),
    "Latn": ("LATIN",),
    "Thai": ("THAI",),
    "Thaa": ("THAANA",),
    "Mong": ("MONGOLIAN",),
    "Nkoo": ("NKO",),
}


class Tables:
    """Kind, script and digit of every code point; made once a process.

    Attributes:
        kind: OTHER to DAMAGE.
        script: number of the script of a letter or mark in `names`; 0 where it is common to many.
        digit: 0 to 9, or 255.
        unspaced: whether it is a letter that stands for itself.
        names: first words of Unicode names, "LATIN", "CJK".
    """

    def __init__(self) -> None:
        self.kind = np.full(_LAST, OTHER, np.uint8)
        self.script = np.zeros(_LAST, np.uint8)
        self.digit = np.full(_LAST, 255, np.uint8)
        self.unspaced = np.zeros(_LAST, bool)
        self.names = [""]
        self.kind[_PRIVATE:] = DAMAGE
        for last in (0xFFFE, 0xFFFF):  # of every plane, are no characters
            self.kind[last::0x10000] = DAMAGE
        numbers: dict[str, int] = {}
        for code in chain(*_ASSIGNED):
            sign = chr(code)
            category = unicodedata.category(sign)
            self.kind[code] = _kind(sign, category)
            if category[0] in "LM":
                name = unicodedata.name(sign, "").partition(" ")[0]
                if name not in _COMMON and (name in numbers or len(numbers) < 255):
                    self.script[code] = numbers.setdefault(name, len(numbers) + 1)
                self.unspaced[code] = name in _UNSPACED
            elif category == "Nd":
                self.digit[code] = unicodedata.digit(sign)
        self.names += list(numbers)

    def scripts_of(self, language: str) -> NDArray[np.uint8]:
        """Numbers of the scripts of a code such as "zho_Hans"; none where it is not known."""
        wanted = _NAMES.get(language.rpartition("_")[2], ())
        return np.array([i for i, name in enumerate(self.names) if name in wanted], np.uint8)


def _kind(sign: str, category: str) -> int:
    if sign in "\t\n\r\v\f\x1c\x1d\x1e\x1f\x85" or category[0] == "Z":
        return SPACE if sign in "\t\n\r" or category[0] == "Z" else DAMAGE
    if category in ("Cc", "Co", "Cs") or sign == "\ufffd" or _is_noncharacter(ord(sign)):
        return DAMAGE
    if category[0] in "LM":
        return LETTER
    if category[0] == "N":
        return DIGIT
    return SYMBOL if category[0] in "PS" else OTHER


def _is_noncharacter(code: int) -> bool:
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


@lru_cache(maxsize=1)
def tables() -> Tables:
    """The tables of this process."""
    return Tables()


class Lines:
    """Some lines of one language, looked at in several ways, each worked out when asked for.

    Args:
        texts: the lines.
        language: FLORES-style code.
    """

    def __init__(self, texts: Sequence[str], language: str) -> None:
        self.texts, self.language = texts, language

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def lengths_L(self) -> NDArray[np.int64]:
        """Characters of each line."""
        return np.fromiter(map(len, self.texts), np.int64, len(self.texts))

    @cached_property
    def codes_N(self) -> Codes:
        """Code points of all lines, one after another."""
        return codes(self.texts)

    @cached_property
    def kind_N(self) -> NDArray[np.uint8]:
        """Kind of each character."""
        return tables().kind[self.codes_N]

    def count(self, mask_N: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Of each line, the characters that a mask marks."""
        return sums(mask_N, self.lengths_L)

    def kinds(self, *wanted: int) -> NDArray[np.int64]:
        """Of each line, the characters of these kinds."""
        return self.count(np.isin(self.kind_N, wanted))

    @cached_property
    def visible_L(self) -> NDArray[np.int64]:
        """Characters of each line that are no spaces."""
        return self.lengths_L - self.kinds(SPACE)


def codes(texts: Sequence[str]) -> Codes:
    """Code points of texts, one after another."""
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)


def sums(values_N: NDArray[np.generic], lengths_L: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum of the values of each of several consecutive stretches."""
    ends_L = np.cumsum(lengths_L)
    total = np.concatenate([[0], np.cumsum(values_N, dtype=np.int64)])
    found: NDArray[np.int64] = total[ends_L] - total[ends_L - lengths_L]
    return found


def script_counts(lines: Lines) -> dict[str, int]:
    """Letters of each script in these lines, by the first word of its Unicode name."""
    letters = lines.codes_N[lines.kind_N == LETTER]
    found = np.bincount(tables().script[letters], minlength=1)
    return {tables().names[i] or "OTHER": int(found[i]) for i in np.flatnonzero(found)}


def ngrams(texts: Sequence[str], n: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Hashed character n-grams of texts, and the text each belongs to, in order."""
    lines = Lines(texts, "")
    codes_N = lines.codes_N
    owner_N = np.repeat(np.arange(len(texts)), lines.lengths_L)
    count = max(0, len(codes_N) - n + 1)
    mixed_N = np.zeros(count, np.uint32)
    with np.errstate(over="ignore"):
        for place in range(n):
            mixed_N = (mixed_N ^ codes_N[place : place + count]) * np.uint32(0x9E3779B1)
            mixed_N ^= mixed_N >> np.uint32(15)
    inside_N = owner_N[:count] == owner_N[n - 1 :][:count]
    return mixed_N[inside_N], owner_N[:count][inside_N]
