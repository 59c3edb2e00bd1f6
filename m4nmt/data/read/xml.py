"""XML as a stream of elements and texts, with the parts that attack a reader refused.

Entities may not be declared, nothing is fetched, depth and the length of a tag are bounded. A
document type is passed over: many translation memories name one. Bytes and characters that XML
does not allow become MARK, so that they cost one record and not the file. Not its job: what
elements mean.
"""

import codecs
import re
from collections.abc import Callable, Iterator
from html.entities import html5
from pyexpat import ErrorString, ExpatError, ParserCreate
from typing import Any, Protocol

from m4nmt.data.read.lines import refuse_pointer
from m4nmt.data.read.types import FormatError, Rows, Skip

# A character that XML allows and no text has; what holds it is put aside.
MARK = "\ufdd0"
BAD_CHARACTERS = "bytes or characters that are not allowed in XML"
_DEPTH = 200
TAG = 8 << 20
_STEP = 1 << 16
_DECLARED = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._:-]+)["']""")
_KNOWN = re.compile(
    r"utf-?8|utf-?16(le|be)?|(us-)?ascii|(iso|windows|cp|koi8|mac|tis)[-_a-z0-9:]*|latin-?\d"
    r"|gb[-_a-z0-9]*|big5[-a-z]*|shift[-_]jis|sjis|euc[-_](jp|kr|cn|tw)",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile(r"&#(?:x([0-9a-fA-F]+)|([0-9]+));")
_TAIL = 16  # a reference may be cut in two


class Reader(Protocol):
    """Makes rows of what it is told.

    Attributes:
        row: the element that is a row and hangs on nothing before it, so that it can be passed
            over; "" where there is none.
    """

    row: str

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        """An element begins; names come without prefix, but for `xml:lang`."""

    def end(self, name: str) -> None:
        """The element ends."""

    def text(self, text: str) -> None:
        """Some more text of the innermost element."""

    def take(self) -> Rows:
        """The rows that are complete."""

    def passed(self) -> None:
        """It is not told of the rows that follow, nor of more of the one that is begun."""

    def finish(self) -> None:
        """The file has ended well."""


def read(chunks: Iterator[bytes], name: str, reader: Reader, skip: Skip | None = None) -> Rows:
    """Tell a reader what is in a file, and pass its rows on.

    Where many rows are passed over, the XML is parsed as ever, but nobody is told of what is in it.

    Raises:
        FormatError: broken, or made to attack; with file and line.
    """
    parser = ParserCreate("UTF-8")
    parser.buffer_text = True
    pass_over = _attach(parser, name, reader)
    fed = 0
    try:
        for text in _legal(_decoded(chunks, name)):
            data = text.encode()
            for first in range(0, len(data), _STEP):
                if skip and skip.rows:
                    pass_over(skip)
                parser.Parse(part := data[first : first + _STEP], False)
                fed += len(part)
                yield from reader.take()
                if fed - max(0, parser.CurrentByteIndex) > TAG:
                    line = parser.CurrentLineNumber
                    raise FormatError(f"{name}:{line}: a tag of over {TAG >> 10} KiB")
        parser.Parse(b"", True)
    except ExpatError as error:
        raise FormatError(
            f"{name}:{error.lineno}: broken XML: {ErrorString(error.code)} at column "
            f"{error.offset}; mend it there, or fetch it again"
        ) from error
    yield from reader.take()
    reader.finish()


def _attach(parser: Any, name: str, reader: Reader) -> Callable[[Skip], None]:
    """Have a reader told of what is parsed; returns what stops that for some rows."""
    depth = 0
    outside = _DEPTH  # depth between rows, as soon as one was seen

    def where() -> str:
        return f"{name}:{parser.CurrentLineNumber}"

    def start(element: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEPTH:
            raise FormatError(f"{where()}: elements in elements, over {_DEPTH} deep")
        reader.start(element.rpartition(":")[2], attributes, parser.CurrentLineNumber)

    def end(element: str) -> None:
        nonlocal depth, outside
        depth -= 1
        local = element.rpartition(":")[2]
        reader.end(local)
        if local == reader.row:
            outside = min(outside, depth)

    def entity(*_: object) -> None:
        raise FormatError(
            f"{where()}: declares an entity, which can expand without end or read other files; "
            "remove the declaration"
        )

    def skipped(entity_name: str, parameter: bool) -> None:
        if not parameter:
            reader.text(html5.get(f"{entity_name};", MARK))

    def listen() -> None:
        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = reader.text

    def pass_over(skip: Skip) -> None:
        nonlocal depth
        if outside == _DEPTH:  # no row was seen, so the head of the file may not be over
            return

        def ended(element: str) -> None:
            if element.rpartition(":")[2] == reader.row:
                skip.rows -= 1
                if not skip.rows:
                    listen()

        reader.passed()
        depth = outside
        parser.StartElementHandler = parser.CharacterDataHandler = None
        parser.EndElementHandler = ended

    listen()
    parser.EntityDeclHandler = entity
    parser.SkippedEntityHandler = skipped
    return pass_over


def encoding(head: bytes, name: str) -> str:
    """The encoding of a document, by its byte order mark or declaration.

    Raises:
        FormatError: one that is not known.
    """
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise FormatError(f"{name}:1: is UTF-32; convert it: iconv -f UTF-32 -t UTF-8")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    for codec in ("utf-16-le", "utf-16-be"):
        if head.startswith("<?".encode(codec)):
            return codec
    found = _DECLARED.match(head.lstrip())
    declared = found.group(1).decode() if found else "utf-8"
    if not _KNOWN.fullmatch(declared) or declared.lower().startswith("utf-16"):
        raise FormatError(
            f"{name}:1: declares the encoding {declared!r}, which is not its own or not known; "
            "correct the declaration, or convert it: iconv -f ENCODING -t UTF-8"
        )
    return declared


def _decoded(chunks: Iterator[bytes], name: str) -> Iterator[str]:
    """Text; bytes that are none become MARK."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= _STEP:
            break
    refuse_pointer(head, name)
    declared = encoding(head, name)
    try:
        decoder = codecs.getincrementaldecoder(declared)("m4nmt-mark")
    except LookupError as error:
        raise FormatError(
            f"{name}:1: declares the encoding {declared!r}, which is not known; convert it: "
            "iconv -f ENCODING -t UTF-8"
        ) from error
    yield decoder.decode(head)
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", True)


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return MARK, error.end


codecs.register_error("m4nmt-mark", _mark)


def _legal(texts: Iterator[str]) -> Iterator[str]:
    """The text with characters that XML forbids, written out or as &#x1F;, as MARK."""
    carry = ""
    for text in texts:
        text = carry + text
        cut = text.rfind("&", max(0, len(text) - _TAIL))
        text, carry = (text, "") if cut < 0 else (text[:cut], text[cut:])
        yield _cleaned(text)
    yield _cleaned(carry)


def _cleaned(text: str) -> str:
    text = _FORBIDDEN.sub(MARK, text)
    return _REFERENCE.sub(_referenced, text) if "&#" in text else text


def _referenced(match: re.Match[str]) -> str:
    """A reference to a character, or MARK where XML forbids it."""
    digits = match.group(1) or match.group(2)
    code = int(digits, 16 if match.group(1) else 10) if len(digits) <= 7 else -1
    legal = 0 < code < 0x110000 and not _FORBIDDEN.match(chr(code))
    return match.group() if legal else MARK
