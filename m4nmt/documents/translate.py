"""A document's bytes to the translated document's bytes.

Not its job: the formats themselves, decoding, files, HTTP.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import AnyStr, Protocol

from m4nmt.data.language import to_bcp47
from m4nmt.documents import docx
from m4nmt.documents.fill import Watch, Work
from m4nmt.documents.formats import TextFormat, WordFormat, XmlFormat, format_of
from m4nmt.documents.types import (
    DocumentError,
    Limits,
    Link,
    Meter,
    Rendering,
    Slot,
)

LIMITS = Limits()
_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


class Translated(Protocol):
    """What a translator gives for one text.

    `alignment` are links of characters: (begin and end in the text, begin and end in the
    translation). Where there are none it is guessed which words belong together.
    """

    @property
    def text(self) -> str: ...

    @property
    def alignment(self) -> Sequence[tuple[int, int, int, int]]: ...


class Translates(Protocol):
    """A translator: of each text its translations, best first."""

    def translate(
        self,
        texts: Sequence[str],
        src: str,
        tgt: str,
        *,
        align: bool,
        cancelled: Callable[[], bool] | None,
    ) -> Sequence[Sequence[Translated]]: ...


def translate_document(
    data: bytes,
    name: str,
    src: str,
    tgt: str,
    translator: Translates,
    limits: Limits = LIMITS,
    watch: Watch | None = None,
) -> bytes:
    """Translate a document; the structure, and every byte that is no text, stay.

    Args:
        data: of the file.
        name: of the file; its ending tells the format.
        src, tgt: languages as the translator takes them; `tgt` is also written into the document.

    Raises:
        DocumentError: what the document holds is not to be translated; says what and where.
        CancelledError: `watch.cancelled` said so between batches; within one the translator raises.
    """
    form = format_of(name)
    if len(data) > limits.bytes:
        raise DocumentError(
            f"the document has {len(data)} bytes; the limit is {limits.bytes}: cut it into several"
        )

    watch = watch or Watch()
    cancelled = watch.cancelled

    def render(texts: Sequence[str]) -> list[Rendering]:
        if not texts:
            return []
        found = translator.translate(texts, src, tgt, align=True, cancelled=cancelled)
        return [Rendering(b.text, tuple(Link(*x) for x in b.alignment)) for b, *_ in found]

    work = Work(render, Meter(limits), watch)
    code = to_bcp47(tgt)
    match form:
        case TextFormat():
            text, encoding = decoded(data, limits)
            text = form.language(text, code)
            work.expected = _count(text, form.passes, limits)
            for cut in form.passes:
                text = "".join(work.fill(text, list(cut(text, work.meter)), str))
            return text.encode(encoding)
        case XmlFormat():
            _checked(data, limits)
            data = form.language(data, code)
            return work.passes(data, form.passes)
        case WordFormat():
            archive, parts = docx.opened(data, limits)
            work.expected = sum(_count(part, form.passes, limits) for part in parts.values())
            done = {name: work.passes(part, form.passes) for name, part in parts.items()}
            return archive.rewritten({n: new for n, new in done.items() if new != parts[n]})


def _count(
    document: AnyStr,
    passes: Sequence[Callable[[AnyStr, Meter], Iterator[Slot]]],
    limits: Limits,
) -> int:
    """How many texts there are: so all is seen to be sound before any of it is translated."""
    meter = Meter(limits)
    return sum(len(slot.contents) for split in passes for slot in split(document, meter))


def decoded(data: bytes, limits: Limits) -> tuple[str, str]:
    """A text and its encoding: UTF-8, or UTF-16 if it says so.

    Raises:
        DocumentError: too large, another encoding, or no text.
    """
    _checked(data, limits)
    encoding = _MARKS.get(data[:2], "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DocumentError(
            f"the document is not {encoding.upper()}: byte {error.start} cannot be read "
            f"({error.reason}); convert it, e.g. with iconv"
        ) from error
    at = text.find("\0")
    if at >= 0:
        raise DocumentError(f"the document is not text: character {at} is NUL")
    return text, encoding


def _checked(data: bytes, limits: Limits) -> None:
    if len(data) > limits.text:
        raise DocumentError(
            f"the document has {len(data)} bytes of text; the limit is {limits.text}: cut it into "
            "several"
        )
