"""Which directions are trained, and which are only evaluated (DirectionsConfig)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from m4nmt.core.config import ConfigError
from m4nmt.data import language
from m4nmt.data.manifest import Corpus, Manifest
from m4nmt.data.patterns import EXPRESSION, matcher
from m4nmt.data.settings import DirectionsConfig, Infill, Noise
from m4nmt.data.types import Direction, Task

Pair = tuple[str, str]  # two languages in sorted order


@dataclass(frozen=True)
class Selection:
    """Directions that the manifest offers and the config wants.

    Attributes:
        languages: of the trained directions, sorted.
        trained: sorted; those of text with tags (`Corpus.tags`) are directions of their own.
        held_out: never trained, evaluated where a test set has them; sorted.
    """

    languages: tuple[str, ...]
    trained: tuple[Direction, ...]
    held_out: tuple[Direction, ...]

    def pairs(self, corpus: Corpus) -> list[Pair]:
        """Pairs of languages wanted of one corpus, sorted."""
        wanted = self.trained + (self.held_out if corpus.split != "train" else ())
        pairs = {(min(d.src, d.tgt), max(d.src, d.tgt)) for d in wanted if d.task == "translate"}
        there = set(corpus.languages)
        return sorted(p for p in pairs if there.issuperset(p) and corpus.allows(*p))

    def wants(self, corpus: Corpus) -> bool:
        """Whether anything of a corpus is wanted."""
        return bool(self.pairs(corpus) or self.alone(corpus))

    def alone(self, corpus: Corpus) -> list[str]:
        """Languages of one corpus whose lines are wanted without a partner (denoising), sorted."""
        if corpus.split != "train":
            return []
        wanted = {d.src for d in self.trained if d.task != "translate"}
        return sorted(wanted.intersection(corpus.languages) - set(corpus.synthetic))


def task_of(noise: Noise) -> Task:
    """The task of the directions that a kind of noise makes."""
    return "denoise" if isinstance(noise, Infill) else "mass"


def select(manifest: Manifest, config: DirectionsConfig, tasks: Sequence[Noise] = ()) -> Selection:
    """Match the config against the manifest.

    Raises:
        ConfigError: an unknown language, or nothing left to train.
    """
    known = sorted({code for corpus in manifest.corpora for code in corpus.languages})
    wanted = {_known(code, known) for code in config.languages} or set(known)
    held = [_pattern(text, known) for text in config.held_out]
    only = [_pattern(text, known) for text in config.only]
    pairs = _pairs(config, known)
    trained = [
        direction
        for direction in _available(manifest.of("train"), wanted)
        if pairs(direction.src, direction.tgt)
        and (not only or _matches(direction, only))
        and not _matches(direction, held)
    ]
    trained = sorted([*trained, *_denoised(manifest, wanted, tasks)])
    if not trained:
        raise ConfigError(
            f"no direction is left to train: the training corpora of {manifest.name} have "
            f"{', '.join(sorted(wanted))}; look at data.directions"
        )
    languages = {code for direction in trained for code in (direction.src, direction.tgt)}
    held_out = sorted(
        direction
        for direction in {d.plain for d in _available(manifest.corpora, languages)}
        if _matches(direction, held)
    )
    return Selection(tuple(sorted(languages)), tuple(trained), tuple(held_out))


def _pairs(config: DirectionsConfig, known: Sequence[str]) -> Callable[[str, str], bool]:
    """What tells whether two languages are paired."""
    if config.pairs == "all":
        return lambda src, tgt: True
    centre = _known(config.centre, known)
    if config.pairs == "centric":
        return lambda src, tgt: centre in (src, tgt)
    groups = {
        _known(bridge, known): {_known(code, known) for code in (bridge, *group)}
        for bridge, group in config.bridges.items()
    }
    if not groups:
        raise ConfigError(
            'data.directions.bridges: pairs "bridges" needs them, such as '
            '{"hin_Deva": ["ben_Beng", "urd_Arab"], "spa_Latn": ["fra_Latn"]}'
        )

    def bridged(src: str, tgt: str) -> bool:
        if centre in (src, tgt) or (src in groups and tgt in groups):
            return True
        return any(src in group and tgt in group for group in groups.values())

    return bridged


def _denoised(manifest: Manifest, wanted: set[str], tasks: Sequence[Noise]) -> set[Direction]:
    """The directions of all denoising tasks.

    Raises:
        ConfigError: a task twice, or for a language without lines.
    """
    there = {
        code for c in manifest.of("train") for code in c.languages if code not in c.synthetic
    } & wanted
    found: set[Direction] = set()
    for noise in tasks:
        task = task_of(noise)
        if any(direction.task == task for direction in found):
            raise ConfigError(f"data.tasks: {type(noise).__name__} is given twice; keep one")
        patterns = [_known(c, sorted(there)) if c.isidentifier() else c for c in noise.languages]
        matches = [matcher(pattern) for pattern in patterns]
        codes = {code for code in there if not matches or any(m(code) for m in matches)}
        if not codes:
            raise ConfigError(f"data.tasks: no training corpus has any of {noise.languages}")
        found |= {Direction(code, code, task) for code in codes}
    return found


def _available(corpora: Sequence[Corpus], languages: set[str]) -> set[Direction]:
    return {
        Direction(src, tgt, tags=corpus.tags(src))
        for corpus in corpora
        for src in languages.intersection(corpus.languages)
        for tgt in languages.intersection(corpus.languages)
        if src != tgt and tgt not in corpus.synthetic and corpus.allows(src, tgt)
    }


def _matches(direction: Direction, patterns: Sequence[str]) -> bool:
    return any(matcher(pattern)(str(direction.plain)) for pattern in patterns)


def _known(code: str, known: Sequence[str]) -> str:
    try:
        return language.normalise(code, among=known)
    except ValueError as error:
        raise ConfigError(f"data.directions: {error}") from error


def _pattern(text: str, known: Sequence[str]) -> str:
    """A pattern whose plain sides are codes that there are: "en-*" is "eng_Latn-*"."""
    if text.startswith(EXPRESSION):
        return text
    src, sign, tgt = text.partition("-")
    if not sign:
        raise ConfigError(f"data.directions: {text!r} is no direction; write eng_Latn-* or so")
    plain = [side if set(side) & set("*?[") else _known(side, known) for side in (src, tgt)]
    return "-".join(plain)
