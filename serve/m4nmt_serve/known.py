"""What one or several loaded models know together: languages, pairs, who translates what.

Never changes: a reload makes a new one. Not its job: loading (models.py).
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal, NamedTuple

from m4nmt_serve.batcher import Batcher
from m4nmt_serve.engine import Engine
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.languages import Language, Languages, UnknownLanguageError, told
from m4nmt_serve.order import Full


class Live(NamedTuple):
    """A model at work: its engine, and the queue before it."""

    name: str
    engine: Engine
    batcher: Batcher[Full]


class Known:
    """The tables over some models; where several know a direction, the first translates."""

    def __init__(self, lives: Iterable[Live]) -> None:
        self.lives = tuple(lives)
        engines = [live.engine for live in self.lives]
        self.sources = frozenset[str]().union(*(e.sources for e in engines))
        self.targets = frozenset[str]().union(*(e.targets for e in engines))
        self.languages = Languages(frozenset[str]().union(*(e.codes for e in engines)))

    def find(self, code: str, role: Literal["source", "target"]) -> Language:
        """The language a client names, if it can be used as such.

        Raises:
            ServiceError: 400 that names the languages.
        """
        allowed = self.sources if role == "source" else self.targets
        try:
            language = self.languages.find(code)
        except UnknownLanguageError as error:
            raise ServiceError(400, f"{role}: {error}") from error
        if language.flores not in allowed:
            others = [x for x in self.languages.all if x.flores in allowed]
            raise ServiceError(
                400,
                f"{role}: this model knows {language.code} only on the other side; "
                f"{told(language.code, others)}",
            )
        return language

    @cached_property
    def pairs(self) -> tuple[tuple[Language, tuple[Language, ...]], ...]:
        """Each source language with its targets."""
        found = []
        for source in self.languages.all:
            lives = [x.engine for x in self.lives if source.flores in x.engine.sources]
            reached = frozenset[str]().union(*(engine.targets for engine in lives))
            targets = tuple(x for x in self.languages.all if x.flores in reached)
            found += [(source, targets)] if targets else []
        return tuple(found)

    def live(self, source: str, target: str, domain: str = "") -> Live:
        """The model for a direction, in FLORES codes: if there is one, that knows the domain, too.

        Raises:
            ServiceError: 400, none of them translates this way.
        """
        lives = self._lives(source, target)
        if not lives:
            raise ServiceError(400, f"no model here translates from {source} to {target}")
        return next((x for x in lives if domain in x.engine.translator.domains), lives[0])

    def _lives(self, source: str, target: str) -> list[Live]:
        return [x for x in self.lives if x.engine.knows(source, target)]


def tables(lives: Mapping[str, Live]) -> dict[str, Known]:
    """By name of a model what it knows; under "" what all of them know."""
    return {"": Known(lives.values())} | {name: Known([live]) for name, live in lives.items()}
