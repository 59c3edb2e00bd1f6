"""Which directions are trained, and which are only evaluated (DirectionsConfig)."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from m4nmt.core.config import ConfigError
from m4nmt.data import language
from m4nmt.data.manifest import Corpus, Manifest
from m4nmt.data.settings import DirectionsConfig
from m4nmt.data.types import Direction

Pair = tuple[str, str]  # two languages in sorted order


@dataclass(frozen=True)
class Selection:
    """Directions that the manifest offers and the config wants.

    Attributes:
        languages: of the trained directions, sorted.
        trained: sorted.
        held_out: never trained, evaluated where a test set has them; sorted.
    """

    languages: tuple[str, ...]
    trained: tuple[Direction, ...]
    held_out: tuple[Direction, ...]

    def pairs(self, corpus: Corpus) -> list[Pair]:
        """Pairs of languages wanted of one corpus, sorted."""
        wanted = self.trained + (self.held_out if corpus.split != "train" else ())
        pairs = {(min(d.src, d.tgt), max(d.src, d.tgt)) for d in wanted}
        there = set(corpus.languages)
        return sorted(p for p in pairs if there.issuperset(p) and corpus.allows(*p))


def select(manifest: Manifest, config: DirectionsConfig) -> Selection:
    """Match the config against the manifest.

    Raises:
        ConfigError: an unknown language, or nothing left to train.
    """
    known = sorted({code for corpus in manifest.corpora for code in corpus.languages})
    wanted = {_known(code, known) for code in config.languages} or set(known)
    held = [_pattern(text, known) for text in config.held_out]
    only = [_pattern(text, known) for text in config.only]
    centre = _known(config.centre, known) if config.pairs == "centric" else ""
    trained = sorted(
        direction
        for direction in _available(manifest.of("train"), wanted)
        if (not centre or centre in (direction.src, direction.tgt))
        and (not only or _matches(direction, only))
        and not _matches(direction, held)
    )
    if not trained:
        raise ConfigError(
            f"no direction is left to train: the training corpora of {manifest.name} have "
            f"{', '.join(sorted(wanted))}; look at data.directions"
        )
    languages = {code for direction in trained for code in (direction.src, direction.tgt)}
    held_out = sorted(
        direction
        for direction in _available(manifest.corpora, languages)
        if _matches(direction, held)
    )
    return Selection(tuple(sorted(languages)), tuple(trained), tuple(held_out))


def _available(corpora: Sequence[Corpus], languages: set[str]) -> set[Direction]:
    return {
        Direction(src, tgt)
        for corpus in corpora
        for src in languages.intersection(corpus.languages)
        for tgt in languages.intersection(corpus.languages)
        if src != tgt and corpus.allows(src, tgt)
    }


def _matches(direction: Direction, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(str(direction), pattern) for pattern in patterns)


def _known(code: str, known: Sequence[str]) -> str:
    try:
        return language.normalise(code, among=known)
    except ValueError as error:
        raise ConfigError(f"data.directions: {error}") from error


def _pattern(text: str, known: Sequence[str]) -> str:
    """A pattern whose plain sides are codes that there are: "en-*" is "eng_Latn-*"."""
    src, sign, tgt = text.partition("-")
    if not sign:
        raise ConfigError(f"data.directions: {text!r} is no direction; write eng_Latn-* or so")
    plain = [side if set(side) & set("*?[") else _known(side, known) for side in (src, tgt)]
    return "-".join(plain)
