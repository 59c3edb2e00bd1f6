"""A loaded translator: what it can translate, and the call that runs a batch.

Not its job: queues (batcher.py), choosing among several models (models.py).
"""

import dataclasses
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from m4nmt.core.stages import SearchConfig
from m4nmt.documents.types import Link
from m4nmt.translate.dispatch import SearchError
from m4nmt.translate.document import TextError
from m4nmt.translate.domains import DomainError, resolve
from m4nmt.translate.engine import NoNativeError
from m4nmt.translate.types import Translation
from m4nmt.translate.wishes import NOTHING, WishError
from m4nmt_serve.batcher import Item
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.order import Full, How, Scoring, Words, how_of
from m4nmt_serve.translator import Translator

TRIED = ("1, 2, 3.", "Abc")  # what a new model must be able to translate
# What a client asked for that this model, or any, cannot do.
_REFUSED = (WishError, SearchError, NoNativeError, TextError, DomainError)
Outcome = list[Full] | ServiceError


class Engine:
    """A translator and its roles. `sources` and `targets` are FLORES codes.

    Any language that was trained as a source goes to any that was trained as a target: unseen pairs
    work zero-shot.
    """

    def __init__(self, translator: Translator, search: SearchConfig | None) -> None:
        self.translator = translator
        trained = [d for d in translator.directions if d.src != d.tgt]
        self.codes = frozenset(translator.languages)
        self.sources = frozenset(d.src for d in trained) & self.codes
        self.targets = frozenset(d.tgt for d in trained) & self.codes
        self._search = search or translator.search

    def knows(self, source: str, target: str) -> bool:
        """Whether it translates this way."""
        return source in self.sources and target in self.targets

    def check(self, item: Item, most: int) -> None:
        """Refuse, before it is queued, what no search does, or with more than `most` beams; and a
        domain that the model does not know.

        Raises:
            ServiceError: 400; says what does not go together, or which domains there are.
        """
        how = how_of(item)
        try:
            resolve(how.domain, self.translator.domains)
        except DomainError as error:
            raise ServiceError(400, str(error)) from error
        if not isinstance(how, How) or not how.search:
            return
        try:
            beam = self._config(item.wanted, how).beam
        except ValueError as error:
            raise ServiceError(400, f"search: {error}") from error
        if beam > max(most, self._search.beam, item.wanted):
            raise ServiceError(400, f"search: {beam} beams; this server keeps {most} at most")

    def costs(self, items: Sequence[Item]) -> list[int]:
        """Tokens of each item, one for the end of each text; a wider search counts as often as it
        is wider than the usual one."""
        texts: list[str] = []
        for item in items:
            texts += _read(item)
        counts = iter(self.translator.count(texts))
        costs = []
        for item in items:
            tokens = sum(1 + next(counts) for _ in _read(item))
            costs.append(-(-tokens * self._width(item) // self._search.beam))
        return costs

    def run(self, items: Sequence[Item], unwanted: Callable[[], bool]) -> list[Outcome]:
        """Do a batch of mixed directions and kinds of work; one call for each kind."""
        out: list[Outcome] = [[] for _ in items]
        kinds: dict[Hashable, list[int]] = {}
        for i, item in enumerate(items):
            kinds.setdefault(_kind(item), []).append(i)
        for rows in kinds.values():
            found = self._one_kind([items[i] for i in rows], unwanted)
            for i, outcome in zip(rows, found, strict=True):
                out[i] = outcome
        return out

    def try_out(self) -> None:
        """Translate a little, in one direction, so that a model that cannot is never put to work.

        Raises:
            Exception: whatever the translator raises.
            ValueError: it was trained in no direction.
        """
        pairs = ((s, t) for s in sorted(self.sources) for t in sorted(self.targets) if s != t)
        found = next(pairs, None)
        if found is None:
            raise ValueError("the model was trained in no direction; there is nothing to serve")
        for outcome in self.run([Item(text, *found, 1) for text in TRIED], lambda: False):
            if isinstance(outcome, ServiceError):
                raise outcome

    def _one_kind(self, items: Sequence[Item], unwanted: Callable[[], bool]) -> list[Outcome]:
        """Outcomes of items of one kind; one that cannot be granted is refused by itself."""
        try:
            return list(self._made(items, unwanted))
        except _REFUSED as error:
            if len(items) == 1:
                return [ServiceError(400, str(error))]
            return [x for item in items for x in self._one_kind([item], unwanted)]

    def _made(self, items: Sequence[Item], unwanted: Callable[[], bool]) -> list[list[Full]]:
        match how_of(items[0]):
            case How() as how:
                return self._translated(items, how, unwanted)
            case Words():
                return [self._words(item, unwanted) for item in items]
            case Scoring():
                return self._scored(items)

    def _translated(
        self, items: Sequence[Item], how: How, unwanted: Callable[[], bool]
    ) -> list[list[Full]]:
        wishes = [work.wish for item in items if isinstance(work := how_of(item), How)]
        found = self.translator.translate(
            [item.text for item in items],
            [item.src for item in items],
            [item.tgt for item in items],
            self._config(items[0].wanted, how),
            how.split,
            cancelled=unwanted,
            token_scores=how.scores,
            align=items[0].aligned,
            wishes=wishes if any(wish != NOTHING for wish in wishes) else None,
            terms=dict(how.terms) or None,
            domain=_domains(items),
        )
        return [_distinct(_full(t, how.scores) for t in translations) for translations in found]

    def _words(self, item: Item, unwanted: Callable[[], bool]) -> list[Full]:
        how = how_of(item)
        assert isinstance(how, Words)
        found = self.translator.words(
            *(item.text, item.src, item.tgt, how.prefix, item.wanted, self._search, unwanted),
            domain=how.domain,
        )
        return [dataclasses.replace(_full(x.translation, False), word=x.word) for x in found]

    def _scored(self, items: Sequence[Item]) -> list[list[Full]]:
        targets = [work.translation for x in items if isinstance(work := how_of(x), Scoring)]
        ways = [item.src for item in items], [item.tgt for item in items]
        texts = [item.text for item in items]
        scores = self.translator.score_tokens(texts, targets, *ways, _domains(items))
        rows = zip(targets, self.translator.pieces(targets), scores, strict=True)
        return [[_given(*row)] for row in rows]

    def _config(self, wanted: int, how: How) -> SearchConfig:
        """The usual way with an order's changes, as wide as what is wanted needs.

        Raises:
            ValueError: the changes do not go together.
        """
        changed: dict[str, Any] = dict(how.search)
        beam = max(changed.get("beam", self._search.beam), wanted)
        beam += -beam % changed.get("groups", self._search.groups)
        return dataclasses.replace(self._search, **changed | {"beam": beam, "n_best": wanted})

    def _width(self, item: Item) -> int:
        """Beams that an item takes."""
        match how_of(item):
            case How() as how:
                return self._config(item.wanted, how).beam
            case Words():
                return max(item.wanted, self._search.beam)
            case Scoring():
                return 1  # one pass, as of one beam


def _read(item: Item) -> tuple[str, ...]:
    """The texts that a model reads for an item."""
    match how_of(item):
        case Scoring(translation=given):
            return (item.text, given)
        case _:
            return (item.text,)


def _domains(items: Sequence[Item]) -> list[str]:
    """The domain of each item's text."""
    return [how_of(item).domain for item in items]


def _kind(item: Item) -> Hashable:
    """Items that are equal in this go through the translator in one call."""
    match how_of(item):
        case How() as how:
            return item.wanted, item.aligned, dataclasses.replace(how, wish=NOTHING, domain="")
        case other:
            return type(other).__name__


def _full(translation: Translation, scores: bool) -> Full:
    """With its pieces only where they were asked for: they cost more to keep than the text."""
    return Full(
        translation.text,
        tuple(Link(*link) for link in translation.alignment),
        translation.score,
        translation.tokens if scores else (),
        translation.token_scores if scores else (),
        translation.finished,
        confidence=translation.confidence,
        least=translation.least,
        faults=translation.marks,
    )


def _given(text: str, pieces: Sequence[str], scores: Sequence[float]) -> Full:
    """A given translation with its score; the last of `scores` is the end's."""
    whole = math.fsum(scores)
    return Full(
        text,
        (),
        whole,
        tuple(pieces),
        tuple(scores[: len(pieces)]),
        confidence=math.exp(whole / max(1, len(scores))),
        least=math.exp(min(scores, default=0.0)),
    )


def _distinct(fulls: Iterable[Full]) -> list[Full]:
    """Beam search can reach one text by different pieces: keep the first of each."""
    first: dict[str, Full] = {}
    for full in fulls:
        first.setdefault(full.text, full)
    return list(first.values()) or [Full("")]
