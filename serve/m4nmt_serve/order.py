"""What the dialects may ask of a text beyond its direction, and all that comes back for it.

A text is translated (How), or its next words are looked for (Words), or a given translation is
scored (Scoring): three kinds of work in one queue, under the same limits.
Not its job: doing it (engine.py), the queue (batcher.py), which knows nothing of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from m4nmt.documents.types import Link, Rendering
from m4nmt.translate.wishes import NOTHING, Wish, WishError
from m4nmt_serve.batcher import Item
from m4nmt_serve.errors import ServiceError

Value = int | float | bool | str
# Changes of SearchConfig, by name, in the order of the names.
Changes = tuple[tuple[str, Value], ...]

# What clients may change, and between which bounds; SearchConfig says what goes together.
_BOUNDS: dict[str, tuple[float, float]] = {
    "beam": (1, 1_000),
    "coverage": (0.0, 100.0),
    "diversity": (0.0, 100.0),
    "groups": (1, 1_000),
    "length_alpha": (0.0, 10.0),
    "seed": (0, 2**31 - 1),
    "temperature": (0.01, 100.0),
    "top_k": (0, 1_000_000),
    "top_p": (0.001, 1.0),
}
_CHOICES: dict[str, tuple[Value, ...]] = {"risk": ("", "chrf", "bleu"), "sample": (False, True)}


def changes(wanted: Mapping[str, Any]) -> Changes:
    """What a client wants to be different about the search, checked and made fit for a key.

    Raises:
        ServiceError: 400, a name or a value that is none.
    """
    return tuple((name, _checked(name, wanted[name])) for name in sorted(wanted))


def _checked(name: str, value: Any) -> Value:
    if name in _CHOICES:
        found = [each for each in _CHOICES[name] if each is value or _equal_texts(each, value)]
        if not found:
            raise ServiceError(400, f"search.{name} must be one of {list(_CHOICES[name])}")
        return found[0]
    if name not in _BOUNDS:
        known = ", ".join(sorted([*_BOUNDS, *_CHOICES]))
        raise ServiceError(400, f"search: there is no {name[:40]!r}; there are {known}")
    low, high = _BOUNDS[name]
    whole = isinstance(low, int)
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        kind = "whole number" if whole else "number"
        raise ServiceError(400, f"search.{name} must be a {kind} between {low:g} and {high:g}")
    return int(value) if whole else float(value)


def _equal_texts(one: Value, other: Any) -> bool:
    return isinstance(one, str) and isinstance(other, str) and one == other


def wish(prefix: str = "", required: tuple[str, ...] = (), forbidden: tuple[str, ...] = ()) -> Wish:
    """What one translation must begin with, hold, and not hold.

    Raises:
        ServiceError: 400, a blank phrase.
    """
    try:
        return Wish(prefix, required, forbidden)
    except WishError as error:
        raise ServiceError(400, str(error)) from error


@dataclass(frozen=True, kw_only=True)
class How:
    """How a text is to be translated.

    Attributes:
        search: what is different from the way that the model's card says (`changes`).
        split: whether the sentences of a line are translated one by one.
        scores: with the log-probability of each piece.
        wish: what the translation begins with, holds, and does not hold.
        terms: (source, target): the target is required where the source occurs. An Order keeps
            those that can matter to its text.
        domain: of the text; empty: nothing is known of it.
    """

    search: Changes = ()
    split: bool = True
    scores: bool = False
    wish: Wish = NOTHING
    terms: tuple[tuple[str, str], ...] = ()
    domain: str = ""

    def of(self, text: str) -> "How":
        """Without the terms that do not occur in a text: more texts are then of one kind."""
        if not self.terms:
            return self
        return replace(self, terms=tuple(t for t in self.terms if _occurs(t[0].strip(), text)))

    @property
    def weight(self) -> int:
        """Characters."""
        said = self.wish
        phrases = (said.prefix, *said.required, *said.forbidden)
        return sum(map(len, phrases)) + sum(len(a) + len(b) for a, b in self.terms)


def _occurs(term: str, text: str) -> bool:
    """Whether a term may be there, as it is written or with a capital."""
    return term in text or term[:1].upper() + term[1:] in text


@dataclass(frozen=True, kw_only=True)
class Words:
    """The likeliest next words of a translation that begins with `prefix`; `wanted` of them."""

    prefix: str = ""
    domain: str = ""

    def of(self, _: str) -> "Words":
        """Itself, whatever the text."""
        return self

    @property
    def weight(self) -> int:
        """Characters."""
        return len(self.prefix)


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How likely a given translation of the text is."""

    translation: str
    domain: str = ""

    def of(self, _: str) -> "Scoring":
        """Itself, whatever the text."""
        return self

    @property
    def weight(self) -> int:
        """Characters."""
        return len(self.translation)


Work = How | Words | Scoring
PLAIN = How()


class Order(Item):
    """An item with its work. Two are one, to the queue and the cache, only if both are the same; an
    item that does not say is a plain one."""

    how: Work

    def __new__(cls, item: Item, how: Work) -> "Order":
        """The item, to be treated in this way."""
        self = super().__new__(cls, *item)
        self.how = how.of(item.text)
        return self

    @property
    def weight(self) -> int:
        """Characters, of what is wished too."""
        return len(self.text) + self.how.weight

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Item) and tuple.__eq__(self, other) and self.how == how_of(other)

    def __ne__(self, other: object) -> bool:  # a tuple has its own
        return not self == other

    def __hash__(self) -> int:
        own = tuple.__hash__(self)
        return own if self.how == PLAIN else hash((own, self.how))


def how_of(item: Item) -> Work:
    """The item's work; the usual translation where it does not say."""
    return item.how if isinstance(item, Order) else PLAIN


@dataclass(frozen=True, slots=True)
class Full(Rendering):
    """A translation of one text with all that is known of it.

    Attributes:
        score: length-penalised log-probability, in nats; of a given translation (Scoring) the
            plain one, its end included.
        tokens, token_scores: pieces and the log-probability of each, where they were asked for.
        finished: False where the length limit cut it.
        confidence: geometric mean of its tokens' probabilities, 0 to 1; None if there is none.
        least: the smallest probability of a token; None if token scores are not known.
        faults: what a person should look at: "truncated", "empty", "repeats", "length",
            "language", "required", "retried" (m4nmt.translate.guard).
        word: the next word, where words were asked for; `text` goes on with it to the end.
    """

    score: float = 0.0
    tokens: tuple[str, ...] = ()
    token_scores: tuple[float, ...] = ()
    finished: bool = True
    confidence: float | None = None
    least: float | None = None
    faults: tuple[str, ...] = ()
    word: str = ""

    def __len__(self) -> int:
        """What it costs to keep, in characters."""
        return len(self.text) + 8 * (len(self.links) + len(self.token_scores) + len(self.tokens))


__all__ = [
    "PLAIN",
    "Changes",
    "Full",
    "How",
    "Link",
    "Order",
    "Scoring",
    "Wish",
    "Words",
    "Work",
    "changes",
    "how_of",
    "wish",
]
