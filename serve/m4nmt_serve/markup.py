"""A fragment of HTML or XML for the dialects: its texts, and the fragment with translations in it.

How markup is cut and tags are placed is m4nmt.documents' business. No tag can come out that did not
go in, and each that went in comes out once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from m4nmt.documents import html
from m4nmt.documents.road import rounds
from m4nmt.documents.types import Limits, Meter, Open, Point, Rendering, Result
from m4nmt_serve import fragment


@dataclass(frozen=True, kw_only=True)
class Plain:
    """Text without markup."""


@dataclass(frozen=True, kw_only=True)
class Html:
    """A fragment of HTML; elements of the names in `ignored` are left alone."""

    ignored: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Xml:
    """A fragment of XML.

    Attributes:
        ignored: names of elements that are left alone.
        splitting: names of elements that no sentence crosses.
    """

    ignored: frozenset[str] = frozenset()
    splitting: frozenset[str] = frozenset()


Form = Plain | Html | Xml
HTML = Html()


class Markup:
    """A document; `texts` are those to translate, in order, each a block without its inline tags.

    `tagged`: there are inline tags, for which alignment is worth its price.

    Raises:
        DocumentError: more tags, or deeper ones, than people write.
    """

    def __init__(self, document: str, form: Html | Xml = HTML) -> None:
        self._document = document
        meter = Meter(Limits())
        match form:
            case Html():
                cut = html.split(document, meter, form.ignored)
            case Xml():
                cut = fragment.split(document, form.ignored, form.splitting, meter)
        self._slots = list(cut)
        self._contents = [content for slot in self._slots for content in slot.contents]
        self.tagged = any(isinstance(i, Open | Point) for c in self._contents for i in c)
        self.texts: tuple[str, ...] = tuple(next(rounds(self._contents)))

    def further(self, translations: Sequence[Rendering]) -> tuple[str, ...]:
        """Texts between placeholders, to be translated too where a translation lost some."""
        return self._through(translations)[0]

    def fill(
        self, translations: Sequence[Rendering], further: Mapping[str, Rendering] | None = None
    ) -> str:
        """The document with its texts replaced, in order, and escaped; those of `further` found
        by text, or left as they are."""
        _, results = self._through(translations, further or {})
        out, at = [], 0
        following = iter(results)
        for slot in self._slots:
            mine = [next(following) for _ in slot.contents]
            raw = self._document[slot.start : slot.end]
            out += [self._document[at : slot.start]]
            out += [slot.write(mine) if any(r.changed for r in mine) else raw]
            at = slot.end
        return "".join([*out, self._document[at:]])

    def _through(
        self, translations: Sequence[Rendering], known: Mapping[str, Rendering] | None = None
    ) -> tuple[tuple[str, ...], list[Result]]:
        """The texts of the second round, and the results where it is `known` or not needed."""
        road = rounds(self._contents)
        next(road)
        texts: list[str] = []
        try:
            texts = road.send(translations)
            if known is not None:
                road.send([known.get(text) or Rendering(text) for text in texts])
        except StopIteration as end:
            return tuple(texts), end.value
        return tuple(texts), []
