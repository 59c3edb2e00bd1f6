"""Test sets: lines with their references, by direction, from a run's store, a manifest or files.

Lines are read when they are asked for: a hundred languages have ten thousand directions.
Not its job: translating or scoring.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from m4nmt.core.config import ConfigError
from m4nmt.data import manifest
from m4nmt.data.formats import Faults, Source, read, sources
from m4nmt.data.store import Store
from m4nmt.data.types import Direction, Split

Lines = list[str]


class Bitext(NamedTuple):
    """One direction of one corpus; `read` gives its (sources, references)."""

    name: str
    direction: Direction
    read: Callable[[], tuple[Lines, Lines]]


def from_store(store: Store, split: Split) -> list[Bitext]:
    """What a run kept for this: trained and held-out directions of each of its corpora."""
    return [
        Bitext(name, direction, partial(store.text, direction, split, name))
        for name in store.corpora(split)
        for direction in store.split_directions(split, name)
        if direction.task == "translate"
    ]


def from_manifest(
    name_or_path: str, split: Split, languages: Collection[str], root: str = ""
) -> list[Bitext]:
    """Every direction between these languages in a manifest's corpora of a split.

    Raises:
        ConfigError: no such manifest, its files are missing, or it has nothing for the languages.
        FormatError: a file cannot be read, or columns have unequal numbers of lines.
    """
    found = []
    loaded = manifest.load(name_or_path, root)
    for corpus in loaded.of(split):
        columns = _Columns(corpus, loaded.root)
        known = [code for code in corpus.languages if code in languages]
        found += [
            Bitext(corpus.name, Direction(src, tgt), partial(columns.pair, src, tgt))
            for src in known
            for tgt in known
            if src != tgt and corpus.allows(src, tgt)
        ]
    if not found:
        raise ConfigError(
            f"manifest {name_or_path!r} has no {split} corpus with two languages of this model"
        )
    return found


def from_files(src: Path, tgt: Path, direction: Direction, name: str = "") -> Bitext:
    """Two line-aligned files, plain or packed.

    Raises (when read):
        ConfigError: unequal numbers of lines; names both.
    """

    def pairs() -> tuple[Lines, Lines]:
        sides = _lines(src), _lines(tgt)
        if len(sides[0]) != len(sides[1]):
            raise ConfigError(
                f"{src} has {len(sides[0])} lines, {tgt} has {len(sides[1])}: a test set needs "
                "as many"
            )
        return _present(*sides)

    return Bitext(name or src.name.partition(".")[0], direction, pairs)


def choose(sets: Sequence[Bitext], patterns: Iterable[str]) -> list[Bitext]:
    """The test sets whose direction matches any pattern ("eng_Latn-*"); all without patterns.

    Raises:
        ConfigError: a pattern that matches nothing.
    """
    wanted: set[str] = set()
    names = {str(item.direction) for item in sets}
    for pattern in patterns:
        hits = {name for name in names if fnmatchcase(name, pattern)}
        if not hits:
            raise ConfigError(
                f"no test data for direction {pattern!r}; there is: {', '.join(sorted(names)[:8])}"
                f"{' ...' if len(names) > 8 else ''}"
            )
        wanted |= hits
    return [item for item in sets if not patterns or str(item.direction) in wanted]


class _Columns:
    """The columns of one corpus, each read once."""

    def __init__(self, corpus: manifest.Corpus, root: Path) -> None:
        self._corpus, self._root = corpus, root
        self._column = cache(self._read)

    def pair(self, src: str, tgt: str) -> tuple[Lines, Lines]:
        """Rows that have text on both sides."""
        one, other = self._column(src), self._column(tgt)
        if len(one) != len(other):
            raise ConfigError(
                f"{self._corpus.name}: {src} has {len(one)} lines, {tgt} has {len(other)}: "
                "aligned columns must have as many"
            )
        return _present(one, other)

    def _read(self, language: str) -> list[str | None]:
        for source, codes in sources(self._corpus, self._root):
            if language in codes:
                at = codes.index(language)
                return [row[at] for row in read(source, Faults())]
        raise AssertionError(f"{language} is not in {self._corpus.name}")


def _lines(path: Path) -> list[str | None]:
    return [row[0] for row in read(Source(path), Faults())]


def _present(src: Sequence[str | None], tgt: Sequence[str | None]) -> tuple[Lines, Lines]:
    pairs = [(s, t) for s, t in zip(src, tgt, strict=True) if s and t and s.strip() and t.strip()]
    return [s for s, _ in pairs], [t for _, t in pairs]
