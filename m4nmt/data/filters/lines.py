"""The line filters that look at text: each says of some lines which to drop.

A verdict depends on the line and its language alone. Not its job: lengths (clean.py), counting.

Letters: N characters of all lines, L lines.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from langcodes import Language
from numpy.typing import NDArray

from m4nmt.core.config import ConfigError
from m4nmt.data.filters import settings
from m4nmt.data.filters.characters import (
    DAMAGE,
    DIGIT,
    LETTER,
    SYMBOL,
    Lines,
    ngrams,
    tables,
)
from m4nmt.data.identify import Identifier

Mask = NDArray[np.bool_]
# Latin-1 and Windows-1252 read the bytes of UTF-8 as these, two to four a character.
_WINDOWS = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_HIGH = re.compile(f"[\x80-\xff{_WINDOWS}]{{2,}}")
_TAG = re.compile(
    r"</?[A-Za-z][A-Za-z0-9:-]*(?:\s[^<>]{0,500})?/?>|&(?:[A-Za-z]{2,8}|#x?[0-9a-fA-F]+);"
)
_LINK = re.compile(r"(?:https?://|ftp://|www\.)\S+|\S+@\S+\.\w{2,}")


class LineFilter(Protocol):
    """Says which lines to drop."""

    def drop(self, lines: Lines) -> Mask: ...


@dataclass(frozen=True)
class _Share:
    """Drops lines of whose visible characters more than a share are of one kind."""

    kind: int
    most: float

    def drop(self, lines: Lines) -> Mask:
        found: Mask = lines.kinds(self.kind) > self.most * lines.visible_L
        return found


@dataclass(frozen=True)
class _Controls:
    most: int

    def drop(self, lines: Lines) -> Mask:
        found: Mask = lines.kinds(DAMAGE) > self.most
        return found


@dataclass(frozen=True)
class _Mojibake:
    least: int

    def drop(self, lines: Lines) -> Mask:
        return _each(lines.texts, lambda text: _misread(text) >= self.least)


def _misread(text: str) -> int:
    """Stretches of high Latin-1 or Windows-1252 letters whose bytes are UTF-8."""
    if text.isascii():
        return 0
    return sum(_is_utf8(found.group()) for found in _HIGH.finditer(text))


def _is_utf8(letters: str) -> bool:
    """Whether some characters of a stretch of high letters, as bytes, are UTF-8.

    A stretch may begin or end in what is no part of it (a quote, a letter cut off), so the longest
    part is looked for that starts a character and is valid. "É" before a space or a quotation mark
    of French would be the bytes of a rare phonetic letter: such pairs are good text.
    """
    if len(letters) == 2 and letters[1] in "\xa0«»":
        return False
    raw = b"".join(_byte(letter) for letter in letters)
    for start in range(min(len(raw), 4)):
        for end in range(len(raw), max(start + 1, len(raw) - 4), -1):
            try:
                text = raw[start:end].decode("utf-8")
            except UnicodeDecodeError:
                continue
            return not all("\u0180" <= letter <= "\u036f" for letter in text)
    return False


def _byte(letter: str) -> bytes:
    return bytes([ord(letter)]) if ord(letter) < 256 else letter.encode("cp1252")


@dataclass(frozen=True)
class _Markup:
    most: int

    def drop(self, lines: Lines) -> Mask:
        return _each(lines.texts, self._judge)

    def _judge(self, text: str) -> bool:
        return ("<" in text or "&" in text) and len(_TAG.findall(text)) > self.most


@dataclass(frozen=True)
class _Links:
    most: float

    def drop(self, lines: Lines) -> Mask:
        return _each(lines.texts, self._judge)

    def _judge(self, text: str) -> bool:
        if "://" not in text and "www." not in text and "@" not in text:
            return False
        inside = sum(len(found.group()) for found in _LINK.finditer(text))
        return inside > self.most * len(text)


@dataclass(frozen=True)
class _WrongScript:
    least: float
    letters: int

    def drop(self, lines: Lines) -> Mask:
        right = tables().scripts_of(lines.language)
        if not len(right):
            return np.zeros(len(lines), bool)
        script_N = tables().script[lines.codes_N]
        letters_L = lines.count(script_N != 0)
        right_L = lines.count(np.isin(script_N, right))
        found: Mask = (letters_L >= self.letters) & (right_L < self.least * letters_L)
        return found


@dataclass(frozen=True)
class _Repetition:
    n: int
    least: float
    chars: int

    def drop(self, lines: Lines) -> Mask:
        """The share of distinct n-grams falls with length in any text: long lines are judged by
        their first 500 characters."""
        found = np.zeros(len(lines), bool)
        long = np.flatnonzero(lines.lengths_L >= max(self.chars, self.n))
        if len(long):
            grams_N, owner_N = ngrams([lines.texts[i][:500] for i in long.tolist()], self.n)
            order = np.lexsort((grams_N, owner_N))
            grams_N, owner_N = grams_N[order], owner_N[order]
            new = np.ones(len(grams_N), bool)
            new[1:] = (grams_N[1:] != grams_N[:-1]) | (owner_N[1:] != owner_N[:-1])
            all_L = np.bincount(owner_N, minlength=len(long))
            distinct_L = np.bincount(owner_N[new], minlength=len(long))
            found[long] = distinct_L < self.least * all_L
        return found


@dataclass(frozen=True)
class _WrongLanguage:
    """Asks an identifier about the lines that have letters enough."""

    sure: float
    letters: int
    identify: Callable[[Sequence[str]], list[tuple[str, float]]]
    known: Callable[[str], bool]

    def drop(self, lines: Lines) -> Mask:
        found = np.zeros(len(lines), bool)
        if self.known(lines.language):
            enough = np.flatnonzero(lines.kinds(LETTER) >= self.letters)
            named = self.identify([lines.texts[i] for i in enough.tolist()])
            found[enough] = [
                not _same(name, lines.language) and sure >= self.sure for name, sure in named
            ]
        return found


def _same(name: str, language: str) -> bool:
    """Whether an identifier's name ("fr" or "fra_Latn") is this language."""
    return name == language or name == _short(language)


@lru_cache(maxsize=1024)
def _short(language: str) -> str:
    """What py3langid calls a FLORES-style code: "swh_Latn" is "sw"."""
    tag = Language.get(language.replace("_", "-")).prefer_macrolanguage()
    return {"nb": "no"}.get(str(tag.language), str(tag.language))


def _own(config: Any, identifier: Path) -> LineFilter:
    model = _identifier(identifier)
    return _WrongLanguage(config.sure, config.letters, model.identify, model.languages.__contains__)


@lru_cache(maxsize=1)
def _identifier(path: Path) -> Identifier:
    return Identifier.load(path)


def _packaged(config: Any, _: Path) -> LineFilter:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise ConfigError(
            "data.filters: PackagedLanguage needs py3langid; pip install 'm4nmt[langid]'"
        ) from error
    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def identify(texts: Sequence[str]) -> list[tuple[str, float]]:
        return [(str(name), float(sure)) for name, sure in map(model.classify, texts)]

    known = frozenset(model.labels)
    return _WrongLanguage(config.sure, config.letters, identify, lambda x: _short(x) in known)


_MAKERS: Mapping[type, Callable[[Any, Path], LineFilter]] = {
    settings.Controls: lambda c, _: _Controls(c.most),
    settings.Mojibake: lambda c, _: _Mojibake(c.least),
    settings.Markup: lambda c, _: _Markup(c.most),
    settings.Links: lambda c, _: _Links(c.most),
    settings.Digits: lambda c, _: _Share(DIGIT, c.most),
    settings.Symbols: lambda c, _: _Share(SYMBOL, c.most),
    settings.WrongScript: lambda c, _: _WrongScript(c.least, c.letters),
    settings.WrongLanguage: _own,
    settings.Repetition: lambda c, _: _Repetition(c.n, c.least, c.chars),
    settings.PackagedLanguage: _packaged,
}


def make(config: settings.LineFilter, identifier: Path) -> LineFilter | None:
    """The filter of a config; None for lengths, which clean.py looks after.

    Args:
        config: of the filter.
        identifier: file of the language identifier trained on the corpora.

    Raises:
        ConfigError: it needs a package that is not installed.
        IdentifierError: it needs the identifier, and the file is none.
    """
    maker = _MAKERS.get(type(config))
    return maker(config, identifier) if maker else None


def _each(texts: Sequence[str], judge: Callable[[str], bool]) -> Mask:
    return np.fromiter(map(judge, texts), bool, len(texts))
