"""From bytes to lines, byte-exact about what a line is.

Lines end at b"\\n" and nowhere else; one b"\\r" before it is dropped. UTF-8 is strict; UTF-16 is
read where a byte order mark says it. A line that cannot be read is None, so that nothing after it
shifts, and one that is too long is never held. Not its job: what a line holds.
"""

import codecs
from collections.abc import Iterator

from m4nmt.data.read import types
from m4nmt.data.read.types import NOT_UTF8, TOO_LONG, Faults, FormatError, Rows, Skip, Source

_BOM = codecs.BOM_UTF8
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
# What Git keeps in place of a large file that was not fetched.
_POINTER = b"version https://git-lfs.github.com/"


def read(chunks: Iterator[bytes], source: Source, faults: Faults, skip: Skip) -> Rows:
    """A row of one text for each line; those passed over are neither decoded nor numbered."""
    for _, text in numbered(chunks, source, faults, skip):
        yield (text,)


def numbered(
    chunks: Iterator[bytes], source: Source, faults: Faults, skip: Skip | None = None
) -> Iterator[tuple[int, str | None]]:
    """The lines with their numbers, from 1; None for one that cannot be read."""
    for number, raw in enumerate(split(chunks, str(source), skip), start=1):
        text = None
        if raw is None:
            faults.add(TOO_LONG, f"{source}:{number}")
        else:
            try:
                text = raw.decode()
            except UnicodeDecodeError:
                faults.add(NOT_UTF8, f"{source}:{number}")
        yield number, text


def split(chunks: Iterator[bytes], name: str, skip: Skip | None = None) -> Iterator[bytes | None]:
    """Lines without their ends; None for one longer than LONGEST_TEXT.

    Raises:
        FormatError: not text in UTF-8 or, with its mark, UTF-16, or with carriage returns for line
            ends.
    """
    skip = skip or Skip()
    carry: list[bytes] = []
    size = 0
    ended = bool(skip.rows)  # whether any line ended
    for chunk in utf8(chunks, name):
        if skip.rows:
            chunk, passed = _after(chunk, skip)
            carry, size = ([], 0) if passed else (carry, size)
        *whole, rest = chunk.split(b"\n")
        ended = ended or bool(whole)
        for line in whole:
            if skip.rows:
                skip.rows -= 1
            else:
                size += len(line)
                yield _join(carry, line) if size <= types.LONGEST_TEXT else None
            carry, size = [], 0
        size += len(rest)
        if size <= types.LONGEST_TEXT:
            carry.append(rest)
        else:
            if not ended:
                _refuse_returns([*carry, rest], name)
            carry = []
    if not ended:
        _refuse_returns(carry, name)
    if size and not skip.rows:
        yield _join(carry, b"") if size <= types.LONGEST_TEXT else None


def _refuse_returns(first: list[bytes], name: str) -> None:
    """A file without one line end, but with several carriage returns, has these for line ends."""
    if sum(part.count(b"\r") for part in first) > 1:
        raise FormatError(
            f"{name}:1: its lines end in carriage returns alone (old Mac files do); convert it: "
            "tr '\\r' '\\n'"
        )


def _after(chunk: bytes, skip: Skip) -> tuple[bytes, bool]:
    """What follows the lines that are passed over, and whether one of them ended here."""
    ends = min(skip.rows, chunk.count(b"\n"))
    skip.rows -= ends
    # Cutting at the last end alone is a search from behind, and spares a list of all lines.
    if skip.rows:
        return chunk[chunk.rfind(b"\n") + 1 :], bool(ends)
    return chunk.split(b"\n", ends)[ends], bool(ends)


def utf8(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The same text as UTF-8 without a byte order mark. Broken UTF-8 stays what it is."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= len(_POINTER):
            break
    refuse_pointer(head, name)
    if head.startswith(_UTF32):
        raise FormatError(f"{name}: is UTF-32; convert it: iconv -f UTF-32 -t UTF-8")
    if head.startswith(_UTF16):
        yield from _from_utf16(head, chunks, name)
        return
    if 4 * head.count(0, 0, 1024) > len(head[:1024]):
        raise FormatError(
            f"{name}: is no text, or UTF-16 without a byte order mark; for that, convert it: "
            "iconv -f UTF-16LE -t UTF-8"
        )
    yield head.removeprefix(_BOM)
    yield from chunks


def refuse_pointer(head: bytes, name: str) -> None:
    """See that a file is not what Git keeps in place of one that was not fetched.

    Raises:
        FormatError: it is.
    """
    if head.startswith(_POINTER):
        raise FormatError(
            f"{name}: is a pointer of Git LFS, not the file itself; fetch that: git lfs pull"
        )


def _from_utf16(head: bytes, chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Half a surrogate pair becomes bytes that are not UTF-8, for the line to be put aside."""
    decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")
    yield decoder.decode(head).encode("utf-8", "surrogatepass")
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        raise FormatError(
            f"{name}: is UTF-16 and ends in the middle of a character; fetch it again"
        )


def _join(carry: list[bytes], line: bytes) -> bytes:
    if carry:
        line = b"".join([*carry, line])
    return line[:-1] if line.endswith(b"\r") else line


def one_line(text: str) -> str:
    """A text of a format whose texts may hold line ends, as one line."""
    return text.replace("\r\n", " ").replace("\n", " ") if "\n" in text else text
