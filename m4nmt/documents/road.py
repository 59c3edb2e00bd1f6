"""The road of contents through a translator, in at most two rounds.

First round: each text whole, placeholders and all. A translation that does not bear every unit
exactly once more is dropped, and in the second round what stands between the units is translated,
so that they come out unchanged whatever a model does. Such a result carries a doubt, as does a
text that came back empty, which stays as it was.

Not its job: what a document is, or which translator.
"""

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

from m4nmt.documents.place import joined, place, text_of
from m4nmt.documents.types import Content, Item, Link, Point, Rendering, Result, Unit
from m4nmt.documents.units import find, invents, with_units

_SPACES = re.compile(r"[ \t\r\n\f]+")
# No document can hold these, and no sentence should.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_SOFT_HYPHEN = "\u00ad"  # where a word could be broken: of the word that is translated
_MOST_UNITS = 100  # in one text; with more, no translation is likely to bear them all

Renderer = Callable[[Sequence[str]], Sequence[Rendering]]
Rounds = Generator[list[str], Sequence[Rendering], list[Result]]


def has_text(content: Content) -> bool:
    """Whether there is anything to translate: a letter outside tags and units."""
    return any(isinstance(item, str) and any(map(str.isalpha, item)) for item in content)


def run(rounds: Rounds, render: Renderer) -> list[Result]:
    """Drive `rounds` with a translator."""
    texts = next(rounds)
    while True:
        try:
            texts = rounds.send(render(texts))
        except StopIteration as end:
            results: list[Result] = end.value
            return results


def rounds(contents: Sequence[Content]) -> Rounds:
    """Yields texts to translate, is sent their renderings, and returns a result per content.

    An empty list is yielded where there is nothing to translate.
    """
    drafts = [_Draft.of(content) for content in contents]
    first = [d for d in drafts if has_text(d.content)]
    renderings = yield [text_of(d.content) for d in first]
    results: dict[int, Result] = {}
    again: list[_Draft] = []
    for draft, rendering in zip(first, renderings, strict=True):
        whole = draft.whole(rendering)
        if whole is None:
            again.append(draft)
        else:
            results[id(draft)] = whole
    if again:
        parts = [draft.parts() for draft in again]
        renderings = yield [text for texts in parts for text in texts]
        at = 0
        for draft, texts in zip(again, parts, strict=True):
            results[id(draft)] = draft.from_parts(renderings[at : at + len(texts)])
            at += len(texts)
    return [results.get(id(d)) or d.unchanged() for d in drafts]


@dataclass(frozen=True, eq=False)
class _Draft:
    """A content on its way: tidy, with white space at its edges put aside."""

    original: Content
    content: Content
    lead: str
    trail: str

    @classmethod
    def of(cls, content: Content) -> "_Draft":
        items = _tidy(content)
        texts = [i for i, item in enumerate(items) if isinstance(item, str | Unit)]
        lead = trail = ""
        if texts:
            begin = items[texts[0]]
            if isinstance(begin, str) and begin[:1] == " ":
                items[texts[0]], lead = begin[1:], " "
            end = items[texts[-1]]
            if isinstance(end, str) and end[-1:] == " ":
                items[texts[-1]], trail = end[:-1], " "
        return cls(content, with_units(joined(items)), lead, trail)

    def unchanged(self, doubt: str = "") -> Result:
        return Result(self.original, changed=False, doubt=doubt)

    def whole(self, rendering: Rendering) -> Result | None:
        """The result of the first round, if every unit is there."""
        target = _line(rendering)
        if not target.text:
            return self.unchanged("the translation was empty; the text is left as it was")
        units = [item for item in self.content if isinstance(item, Unit)]
        places = find(target.text, units) if len(units) <= _MOST_UNITS else None
        if places is None:
            return None
        if target.text == text_of(self.content):
            return self.unchanged()
        return self._placed(target, places, "")

    def parts(self) -> list[str]:
        """What stands between the units."""
        return [text.strip() for text, _ in self._gaps() if any(map(str.isalpha, text))]

    def from_parts(self, renderings: Sequence[Rendering]) -> Result:
        """The result of the second round; a part that invents a placeholder stays as it was."""
        out: list[str] = []
        places: list[tuple[int, int, int]] = []
        links: list[Link] = []
        at, read, number = 0, 0, 0
        following = iter(renderings)
        for text, unit in self._gaps():
            if any(map(str.isalpha, text)):
                lead = len(text) - len(text.lstrip())
                body = text.strip()
                target = _line(next(following))
                if not target.text or invents(target.text):
                    target = Rendering(body)
                tail = text[lead + len(body) :]
                links += _moved(target.links, read + lead, at + lead)
                piece = text[:lead] + target.text + tail
            else:
                piece = text
            out.append(piece)
            at += len(piece)
            read += len(text)
            if unit is not None:
                places.append((at, at + len(unit.text), number))
                out.append(unit.text)
                at, read, number = at + len(unit.text), read + len(unit.text), number + 1
        if "".join(out) == text_of(self.content):
            return self.unchanged()
        doubt = "a placeholder was lost or changed; the parts around it were translated alone"
        return self._placed(Rendering("".join(out), tuple(links)), places, doubt)

    def _gaps(self) -> list[tuple[str, Unit | None]]:
        """Texts with the unit that follows each; None after the last."""
        gaps: list[tuple[str, Unit | None]] = []
        text = ""
        for item in self.content:
            if isinstance(item, str):
                text += item
            elif isinstance(item, Unit):
                gaps.append((text, item))
                text = ""
        return [*gaps, (text, None)]

    def _placed(
        self, target: Rendering, places: Sequence[tuple[int, int, int]], doubt: str
    ) -> Result:
        content, good = place(self.content, target.text, places, target.links)
        if not good and not doubt:
            doubt = "a tag found no words to hold"
        items: list[Item] = [*map(_plain, content)]
        begin, end = self._edge(False), len(items) - self._edge(True)
        edged = [*items[:begin], self.lead, *items[begin:end], self.trail, *items[end:]]
        return Result(joined(edged), doubt=doubt)

    def _edge(self, last: bool) -> int:
        """How many points stand before the first text, or after the last: they stay there."""
        number = 0
        for item in reversed(self.content) if last else self.content:
            if not isinstance(item, Point):
                break
            number += 1
        return number if any(isinstance(i, str | Unit) for i in self.content) else 0


def _tidy(content: Content) -> list[Item]:
    """Without soft hyphens, and with one space for any white space, be there tags in it or not."""
    items: list[Item] = []
    open_space = False  # whether the text so far ends with a space
    points: list[int] = []  # since then
    for item in content:
        if isinstance(item, str):
            text = _SPACES.sub(" ", item.replace(_SOFT_HYPHEN, ""))
            if open_space and text[:1] == " ":
                text = text[1:]
                for i in points:
                    point = items[i]
                    assert isinstance(point, Point)
                    items[i] = replace(point, spaced=True)
            if text:
                open_space, points = text[-1] == " ", []
            items.append(text)
            continue
        if isinstance(item, Point):
            points.append(len(items))
        elif isinstance(item, Unit):
            open_space, points = False, []
        items.append(item)
    return items


def _plain(item: Item) -> Item:
    """Placeholders without a writing of their own are text again."""
    return item.text if isinstance(item, Unit) and not item.raw else item


def _line(rendering: Rendering) -> Rendering:
    """On one line, without white space at the edges; links move along."""
    text = _UNFIT.sub(" ", rendering.text)
    body = text.strip()
    cut = text.index(body) if body else 0
    return replace(rendering, text=body, links=_moved(rendering.links, 0, -cut))


def _moved(links: Sequence[Link], source: int, target: int) -> tuple[Link, ...]:
    return tuple(
        Link(x.src + source, x.src_end + source, x.tgt + target, x.tgt_end + target) for x in links
    )
