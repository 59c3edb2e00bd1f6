"""Slots of a document filled with translations, chunk by chunk.

Not its job: which slots there are (the formats), or what files hold.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import AnyStr

from m4nmt.documents.place import text_of
from m4nmt.documents.road import Renderer, rounds, run
from m4nmt.documents.types import CancelledError, Content, Meter, Result, Slot

_CHUNK = 20_000  # characters that are translated between two looks at the caller


@dataclass(frozen=True)
class Doubt:
    """A text that a person should look at, and why."""

    text: str
    why: str


@dataclass
class Watch:
    """What a caller hears of a translation on its way, and how it ends it.

    Attributes:
        progress: told (texts done, texts in all as far as is known) now and then.
        cancelled: asked now and then.
        doubts: filled with what was not sure.
    """

    progress: Callable[[int, int], None] = lambda done, total: None
    cancelled: Callable[[], bool] = lambda: False
    doubts: list[Doubt] = field(default_factory=list)


@dataclass
class Work:
    """A translator at work on a document."""

    render: Renderer
    meter: Meter
    watch: Watch
    expected: int = 0
    done: int = 0

    def passes(
        self, data: bytes, splits: Sequence[Callable[[bytes, Meter], Iterator[Slot]]]
    ) -> bytes:
        """The bytes after each pass."""
        for split in splits:
            data = b"".join(self.fill(data, list(split(data, self.meter)), str.encode))
        return data

    def fill(
        self, document: AnyStr, slots: Sequence[Slot], write: Callable[[str], AnyStr]
    ) -> Iterator[AnyStr]:
        """The pieces of a document with its slots filled."""
        at = 0
        for slot, new in self._written(slots):
            yield document[at : slot.start]
            yield document[slot.start : slot.end] if new is None else write(new)
            at = slot.end
        yield document[at:]

    def _written(self, slots: Sequence[Slot]) -> Iterator[tuple[Slot, str | None]]:
        """Each slot with its new text; None where it stays."""
        results = iter(self._results([c for slot in slots for c in slot.contents]))
        for slot in slots:
            mine = [next(results) for _ in slot.contents]
            changed = slot.fills or any(result.changed for result in mine)
            yield slot, slot.write(mine) if changed else None

    def _results(self, contents: Sequence[Content]) -> Iterator[Result]:
        total = max(self.expected, self.done + len(contents))
        for chunk in _chunks(contents):
            if self.watch.cancelled():
                raise CancelledError
            results = run(rounds(chunk), self.render)
            for content, result in zip(chunk, results, strict=True):
                if result.doubt:
                    self.watch.doubts.append(Doubt(text_of(content), result.doubt))
            self.done += len(chunk)
            self.watch.progress(self.done, total)
            yield from results


def _chunks(contents: Sequence[Content]) -> Iterator[list[Content]]:
    chunk: list[Content] = []
    size = 0
    for content in contents:
        chunk.append(content)
        size += len(text_of(content))
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
