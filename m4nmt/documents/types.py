"""The words that formats and the road share: contents, slots, limits, errors.

A *content* is a run of text with what stands in it: tags that open and close, points (an image, a
line break), and units, whose text a translation must bear unchanged.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


class DocumentError(ValueError):
    """A document that is not translated; says what is wrong with it, where, and what helps."""


class CancelledError(Exception):
    """The caller no longer wants the translation."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a document may cost. What is larger is refused before it is read in full.

    Attributes:
        bytes: of the file.
        text: bytes of one text, or of one XML part of an archive.
        unpacked: bytes of all members of an archive together, counted while they are read.
        ratio: unpacked bytes for each byte of an archive that is larger than `text`.
        members: of an archive.
        depth: of elements in each other.
        segments: stretches of text.
        items: tags, placeholders and texts in all segments, or in one paragraph.
        paragraph: characters of one stretch of text.
        chars: to be translated.
    """

    bytes: int = 20_000_000
    text: int = 8_000_000
    unpacked: int = 200_000_000
    ratio: int = 100
    members: int = 5_000
    depth: int = 200
    segments: int = 40_000
    items: int = 80_000
    paragraph: int = 200_000
    chars: int = 4_000_000


@dataclass(frozen=True, slots=True)
class Open:
    """Begin of a pair of tags; `raw` is how the format writes it."""

    id: int
    raw: str


@dataclass(frozen=True, slots=True)
class Close:
    """End of the pair with the same number."""

    id: int
    raw: str


@dataclass(frozen=True, slots=True)
class Point:
    """Something without text that stands between texts; `spaced`: with spaces on both sides."""

    id: int
    raw: str
    spaced: bool = False


@dataclass(frozen=True, slots=True)
class Unit:
    """A text that a translator sees but must not change."""

    text: str
    raw: str


Item = str | Open | Close | Point | Unit
Content = tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """Characters [src, src_end) of a text and [tgt, tgt_end) of its translation belong together."""

    src: int
    src_end: int
    tgt: int
    tgt_end: int


@dataclass(frozen=True, slots=True)
class Rendering:
    """A translation of one text; without links it is guessed which words belong together."""

    text: str
    links: tuple[Link, ...] = ()

    def __len__(self) -> int:
        """What it costs to keep, in characters."""
        return len(self.text) + 8 * len(self.links)


@dataclass(frozen=True, slots=True)
class Result:
    """A content translated: the same tags, points and units, in other places.

    Attributes:
        changed: False where the translation is the text itself.
        doubt: why a person should look at it; empty where nothing went wrong.
    """

    content: Content
    changed: bool = True
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place [start, end) of a document, in characters or bytes, for the translation of contents.

    Where no translation differs from its text the document stays as it is, unless the place
    `fills` up beside the text, as a catalogue's does.
    """

    start: int
    end: int
    contents: tuple[Content, ...]
    write: Callable[[Sequence[Result]], str]
    fills: bool = False


class Meter:
    """Counts what a document holds, and stops reading it when that is too much."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._segments = 0
        self._items = 0
        self._chars = 0

    def add(self, contents: Iterable[Content]) -> None:
        """Raises: DocumentError."""
        for content in contents:
            self._segments += 1
            self._items += len(content)
            size = sum(len(item) for item in content if isinstance(item, str))
            self._chars += size
            self.paragraph(size)
            self.waiting(self._items)
        if self._segments > self.limits.segments:
            raise DocumentError(_too(self.limits.segments, "stretches of text"))
        if self._chars > self.limits.chars:
            raise DocumentError(_too(self.limits.chars, "characters to translate"))

    def paragraph(self, size: int) -> None:
        """Raises: DocumentError."""
        if size > self.limits.paragraph:
            raise DocumentError(
                f"a paragraph has more than {self.limits.paragraph} characters; break it into lines"
            )

    def waiting(self, items: int) -> None:
        """So many items are held for one paragraph.

        Raises:
            DocumentError: too many.
        """
        if items > self.limits.items:
            raise DocumentError(_too(self.limits.items, "tags and texts"))

    def depth(self, levels: int) -> None:
        """Raises: DocumentError."""
        if levels > self.limits.depth:
            raise DocumentError(
                f"elements are nested more than {self.limits.depth} deep; this is not a document "
                "that people write"
            )


def _too(limit: int, what: str) -> str:
    return f"the document holds more than {limit} {what}; cut it into several"
