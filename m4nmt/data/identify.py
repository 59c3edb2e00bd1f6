"""Which language a text is in: naive Bayes over hashed character n-grams (1 to 4).

Trained in seconds from the user's own corpora (`prepare` does it), a few MB. Scripts are looked at
first; confidences are calibrated on lines held back from the training. Not its job: languages that
the corpora do not have.

Letters: N n-grams, D buckets, L languages, T texts.
"""

import itertools
import json
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from m4nmt.core.files import write_atomic

FORMAT = 1
TRAINING = 2  # of the way: a store's identifier is trained anew when it changes
_BUCKETS = 1 << 15
_ORDERS = 4
_SMOOTHING = 0.5
_STEP = 1 / 16  # of the 8-bit weights, in nats
_LONGEST = 1000  # characters looked at
_AT_ONCE = 32
_SCRIPT_SHARE = 0.05  # of a language's letters, for a script to be one of its own
_HELD_BACK = 10  # every tenth line calibrates
_MISLABELLED = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)  # shares of lines in another language
_META = "m4nmt"


class IdentifierError(ValueError):
    """A file that is no identifier."""


class _Letters(dict[int, int | None]):
    """For str.translate: letters and marks stay, joiners go, all else is a blank."""

    def __missing__(self, code: int) -> int | None:
        kind = unicodedata.category(chr(code))
        found = code if kind[0] in "LM" else None if kind == "Cf" else ord(" ")
        self[code] = found
        return found


_LETTERS = _Letters()


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFC", text[:_LONGEST]).lower().translate(_LETTERS)
    return f" {' '.join(folded.split())} "


@lru_cache(maxsize=1 << 16)
def _script(letter: str) -> str:
    """ "LATIN", "CJK", "DEVANAGARI": the first word of a letter's name."""
    return unicodedata.name(letter, "").partition(" ")[0]


def _scripts(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for sign, times in Counter(text).items():  # even a long text has few different ones
        if sign.isalpha():
            found[_script(sign)] += times
    return found


def _main_script(text: str) -> str:
    """The script of most letters of a text, "" where it has none."""
    if text.isascii():
        return "LATIN" if any(map(str.isalpha, text)) else ""
    seen = _scripts(text).most_common(1)
    return seen[0][0] if seen else ""


def _ngrams(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Buckets of all n-grams of plain texts, and the text each belongs to, in order of texts."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    mixed = np.zeros(len(codes), np.uint32)
    buckets, owners = [], []
    with np.errstate(over="ignore"):
        for order in range(1, _ORDERS + 1):
            count = max(0, len(codes) - order + 1)
            letters = codes[order - 1 :] * np.uint32(2654435761) + np.uint32(order)
            mixed = (mixed[:count] * np.uint32(0x9E3779B1)) ^ letters
            mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(2246822519)
            inside = owner[:count] == owner[order - 1 :]
            buckets.append((mixed[inside] >> np.uint32(5)) % np.uint32(_BUCKETS))
            owners.append(owner[:count][inside])
    owner = np.concatenate(owners)
    order_N = np.argsort(owner, kind="stable")
    return np.concatenate(buckets)[order_N].astype(np.int64), owner[order_N]


class Identifier:
    """Tells languages apart.

    Args:
        languages: codes, in the order of the weights.
        weights_DL: 8-bit log-likelihoods, relative to the mean over languages.
        scripts: of each language.
        temperature: divides log-likelihoods, so that confidences are as often right as they say.
    """

    def __init__(
        self,
        languages: Sequence[str],
        weights_DL: NDArray[np.int8],
        scripts: Sequence[Collection[str]],
        temperature: float,
    ) -> None:
        self.languages = tuple(languages)
        self._weights_DL = weights_DL
        self._scripts = [frozenset(names) for names in scripts]
        self._temperature = temperature

    @classmethod
    def train(cls, lines_by_language: Mapping[str, Iterable[str]]) -> "Identifier":
        """Learn from lines of every language; two thousand each are plenty.

        Raises:
            ValueError: no language.
        """
        if not lines_by_language:
            raise ValueError("an identifier needs at least one language")
        languages = sorted(lines_by_language)
        counts_LD = np.zeros((len(languages), _BUCKETS), np.float32)
        scripts: list[frozenset[str]] = []
        held: list[tuple[int, str]] = []
        for number, language in enumerate(languages):
            letters: Counter[str] = Counter()
            plain = (_plain(line) for line in lines_by_language[language])
            places = itertools.count()
            for texts in _chunks(plain, _HELD_BACK * _AT_ONCE):
                apart = slice(_HELD_BACK - 1, None, _HELD_BACK)
                held += [(number, _cut(text, next(places))) for text in texts[apart]]
                del texts[apart]
                letters += _scripts("".join(texts))
                buckets, _ = _ngrams(texts)
                counts_LD[number] += np.bincount(buckets, minlength=_BUCKETS)
            total = letters.total()
            scripts.append(frozenset(s for s, n in letters.items() if n >= _SCRIPT_SHARE * total))
        likely_LD = counts_LD + _SMOOTHING
        likely_LD = np.log(likely_LD / likely_LD.sum(axis=1, keepdims=True))
        likely_LD -= likely_LD.mean(axis=0, keepdims=True)
        weights = np.clip(np.round(likely_LD / _STEP), -127, 127).astype(np.int8)
        identifier = cls(languages, np.ascontiguousarray(weights.T), scripts, 1.0)
        identifier._calibrate(held)
        return identifier

    def _calibrate(self, held: Sequence[tuple[int, str]]) -> None:
        """The temperature under which the held-back lines are likeliest.

        Some share of them may be in another language than their column says, as in crawled text
        (a mixture with uniform labels, one share for all languages). Taken for mistakes of the
        identifier, they would leave it unsure of everything.
        """
        if not held:
            return
        scores_TL = self._scores([text for _, text in held], None)
        right_T = np.array([number for number, _ in held])
        best = np.inf
        for temperature in np.geomspace(0.5, 64, 43):
            chances_TL = _softmax(scores_TL / temperature)
            right = np.take_along_axis(chances_TL, right_T[:, None], axis=1)
            for wrong in _MISLABELLED:
                chance = (1 - wrong) * right + wrong / len(self.languages)
                loss = -np.log(np.maximum(chance, 1e-9)).mean()
                if loss < best:
                    best, self._temperature = loss, float(temperature)

    def _scores(self, texts: Sequence[str], among: Collection[str] | None) -> NDArray[np.float64]:
        """Log-likelihoods of plain texts by language, up to a constant; -inf where ruled out."""
        scores_TL = np.zeros((len(texts), len(self.languages)))
        for first in range(0, len(texts), _AT_ONCE):
            part = texts[first : first + _AT_ONCE]
            buckets, owner = _ngrams(part)
            starts = np.searchsorted(owner, np.arange(len(part)))
            rows_NL = self._weights_DL[buckets]
            scores_TL[first : first + len(part)] = np.add.reduceat(rows_NL, starts, dtype=np.int64)
        scores_TL *= _STEP
        mains = [_main_script(text) for text in texts]
        fits_of = {main: np.array([main in own for own in self._scripts]) for main in set(mains)}
        fits_TL = np.array([fits_of[main] for main in mains]).reshape(scores_TL.shape)
        if among is not None:
            fits_TL &= np.array([language in among for language in self.languages])
        return np.where(fits_TL, scores_TL, -np.inf)

    def identify(
        self, texts: Sequence[str], among: Collection[str] | None = None
    ) -> list[tuple[str, float]]:
        """The likeliest language of each text and how sure that is (0 to 1).

        Confidence 0 means no evidence: no letters, or a script of none of these languages.

        Args:
            texts: of any length; the first 1000 characters count.
            among: the languages in question; all when not given.

        Raises:
            ValueError: `among` holds none of the languages.
        """
        names = [name for name in self.languages if among is None or name in among]
        if not names:
            raise ValueError(
                f"the identifier knows {', '.join(self.languages)}; none was asked for"
            )
        if not texts:
            return []
        scores_TL = self._scores([_plain(text) for text in texts], among)
        best_T = scores_TL.argmax(axis=1)
        known_T = np.isfinite(scores_TL.max(axis=1))
        chances_TL = _softmax(scores_TL / self._temperature)
        return [
            (self.languages[best], float(chances_L[best])) if known else (names[0], 0.0)
            for best, known, chances_L in zip(
                best_T.tolist(), known_T.tolist(), chances_TL, strict=True
            )
        ]

    def save(self, path: Path) -> None:
        """Write one safetensors file, whole or absent."""
        about = {
            "format": FORMAT,
            "languages": self.languages,
            "scripts": [sorted(names) for names in self._scripts],
            "temperature": self._temperature,
        }
        write_atomic(path, save({"weights": self._weights_DL}, {_META: json.dumps(about)}))

    @classmethod
    def load(cls, path: Path) -> "Identifier":
        """Read what `save` wrote.

        Raises:
            IdentifierError: not such a file, or damaged; names it.
        """
        try:
            raw = path.read_bytes()
            length = int.from_bytes(raw[:8], "little")
            about = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"][_META])
            weights = load(raw)["weights"]
            if about["format"] != FORMAT or weights.shape != (_BUCKETS, len(about["languages"])):
                raise ValueError("another format or size")
            return cls(about["languages"], weights, about["scripts"], about["temperature"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IdentifierError(
                f"{path}: no language identifier: {error}; run prepare again"
            ) from error
        except Exception as error:  # safetensors raises its own type for broken headers
            raise IdentifierError(f"{path}: damaged: {error}; run prepare again") from error


def _chunks(items: Iterator[str], size: int) -> Iterator[list[str]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _cut(text: str, number: int) -> str:
    """Half of the lines that calibrate are cut short, as what people type is."""
    return text if number % 2 else text[: 15 + number % 40]


def _softmax(scores_TL: NDArray[np.float64]) -> NDArray[np.float64]:
    top_T1 = scores_TL.max(axis=1, keepdims=True)
    odds_TL = np.exp(scores_TL - np.where(np.isinf(top_T1), 0.0, top_T1))
    chances: NDArray[np.float64] = odds_TL / np.maximum(odds_TL.sum(axis=1, keepdims=True), 1e-300)
    return chances
