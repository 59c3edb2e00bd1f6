"""One text of a request: what of it is translated, and its translations put together.

A body has `texts`; it is given translations of each, best first, and gives those of the whole.
Not its job: languages, queues, what clients want.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from m4nmt.documents.types import DocumentError, Link
from m4nmt.translate.document import combine
from m4nmt.translate.segment import has_words, join, split
from m4nmt.translate.types import Link as Chars
from m4nmt.translate.types import Translation
from m4nmt.translate.wishes import WishError, share
from m4nmt_serve.ask import Sentence
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.languages import Language
from m4nmt_serve.markup import Form, Markup, Plain
from m4nmt_serve.order import Full, How


class Body(Protocol):
    """A text.

    Attributes:
        texts: to translate.
        tagged: whether the links of the translations place tags.
    """

    texts: tuple[str, ...]
    tagged: bool

    def hows(self, how: How) -> list[How]:
        """How each of `texts` is translated, if the whole is to be translated in one way.

        Raises:
            ServiceError: 400, a wish that cannot be shared out.
        """

    def further(self, lists: Sequence[Sequence[Full]]) -> tuple[str, ...]:
        """Texts to translate besides, given the translations of each of `texts`."""

    def fill(
        self, lists: Sequence[Sequence[Full]], further: Mapping[str, Full], wanted: int
    ) -> list[Full]:
        """At most `wanted` translations of the whole, best first, at least one."""


def body(text: str, form: Form) -> Body:
    """A text of some form.

    Raises:
        ServiceError: 400, more markup than people write.
    """
    if isinstance(form, Plain):
        return _Whole(text)
    try:
        return _Marked(Markup(text, form))
    except DocumentError as error:
        raise ServiceError(400, str(error)) from error


class _Whole:
    """Plain text: the translator cuts it."""

    tagged = False

    def __init__(self, text: str) -> None:
        self.texts: tuple[str, ...] = (text,)

    def hows(self, how: How) -> list[How]:
        return [how]

    def further(self, lists: Sequence[Sequence[Full]]) -> tuple[str, ...]:
        return ()

    def fill(
        self, lists: Sequence[Sequence[Full]], further: Mapping[str, Full], wanted: int
    ) -> list[Full]:
        return list(lists[0])


class _Marked:
    """HTML or XML, block by block."""

    def __init__(self, markup: Markup) -> None:
        self._markup = markup
        self.texts = markup.texts
        self.tagged = markup.tagged

    def hows(self, how: How) -> list[How]:
        if how.wish.prefix or how.wish.required:
            raise ServiceError(400, "prefix and required are for plain text: leave out the format")
        return [how] * len(self.texts)

    def further(self, lists: Sequence[Sequence[Full]]) -> tuple[str, ...]:
        return tuple(text for row in _rows(lists) for text in self._markup.further(row))

    def fill(
        self, lists: Sequence[Sequence[Full]], further: Mapping[str, Full], wanted: int
    ) -> list[Full]:
        return [_together(row, self._markup.fill(row, further)) for row in _rows(lists)]


class Sentences:
    """Plain text, cut into sentences as the translator would cut it, each for itself."""

    tagged = False

    def __init__(self, text: str, source: Language, target: Language, sentences: bool) -> None:
        self._ways = source.flores, target.flores
        self._parts = split(text, source.flores, sentences)
        at, spans = 0, []
        for part in self._parts:
            if part.sentence and has_words(part.text):
                spans.append((at, at + len(part.text)))
            at += len(part.text)
        self._spans = spans
        self.texts = tuple(text[begin:end] for begin, end in spans)

    def hows(self, how: How) -> list[How]:
        try:
            shares = share(how.wish, self.texts, self._ways[1])
        except WishError as error:
            raise ServiceError(400, str(error)) from error
        return [replace(how, wish=own) for own in shares] if self.texts else []

    def further(self, lists: Sequence[Sequence[Full]]) -> tuple[str, ...]:
        return ()

    def fill(
        self, lists: Sequence[Sequence[Full]], further: Mapping[str, Full], wanted: int
    ) -> list[Full]:
        given = iter(lists)
        choices = [
            [_read(full) for full in next(given)]
            if has_words(part.text)
            else [Translation(part.text, 0.0)]
            for part in self._parts
            if part.sentence
        ]
        return [self._joined(way) for way in combine(choices, wanted)]

    def told(self, text: int, sentence: int, best: Full) -> Sentence:
        """What is said of a sentence that is done, in text number `text`."""
        return Sentence(text, sentence, *self._spans[sentence], best)

    def _joined(self, way: Sequence[Translation]) -> Full:
        placed = join(self._parts, [one.text for one in way], *self._ways)
        begins = zip(way, placed.source_begins, placed.target_begins, strict=True)
        links = (link.moved(s, t) for one, s, t in begins for link in one.alignment)
        whole = _together([_full(one) for one in way], placed.text)
        return replace(
            whole,
            links=tuple(Link(*link) for link in links),
            tokens=tuple(token for one in way for token in one.tokens),
            token_scores=tuple(score for one in way for score in one.token_scores),
        )


def _rows(lists: Sequence[Sequence[Full]]) -> list[list[Full]]:
    """One translation of every text: first the best of each, then the next."""
    depth = max(map(len, lists), default=1)
    return [[options[min(i, len(options) - 1)] for options in lists] for i in range(depth)]


def _together(row: Sequence[Full], text: str) -> Full:
    """What is known of a whole, given that of its parts."""
    return Full(
        text,
        score=sum(one.score for one in row),
        finished=all(one.finished for one in row),
        confidence=min((x.confidence for x in row if x.confidence is not None), default=None),
        least=min((x.least for x in row if x.least is not None), default=None),
        faults=tuple(sorted({fault for one in row for fault in one.faults})),
    )


def _read(full: Full) -> Translation:
    return Translation(
        text=full.text,
        score=full.score,
        tokens=full.tokens,
        token_scores=full.token_scores,
        finished=full.finished,
        alignment=tuple(Chars(x.src, x.src_end, x.tgt, x.tgt_end) for x in full.links),
        confidence=full.confidence,
        least=full.least,
        marks=full.faults,
    )


def _full(one: Translation) -> Full:
    return Full(
        one.text,
        score=one.score,
        finished=one.finished,
        confidence=one.confidence,
        least=one.least,
        faults=one.marks,
    )
