"""Readers: from files to rows of text, byte-exact about what a line is.

Lines end at b"\\n" and nowhere else; one b"\\r" before it is dropped; UTF-8 is strict. A row that
cannot be read is a row of None, so that nothing after it shifts. Not its job: judging the text.
"""

import bz2
import gzip
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from m4nmt.data.manifest import Corpus

Row = tuple[str | None, ...]
LONGEST_LINE = 1 << 20
MAX_INVALID = 0.001
_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".xz": lzma.open,
    ".bz2": bz2.open,
}


class FormatError(ValueError):
    """A file that cannot be read as what it is said to be; names file, line and mend."""


@dataclass(frozen=True)
class Source:
    """One file and the columns wanted of it.

    Attributes:
        path: of the file; .gz, .xz and .bz2 are opened.
        fields: the columns wanted, from 0.
        width: columns it has; 1 for plain lines.
        header: whether to pass over the first line.
    """

    path: Path
    fields: tuple[int, ...] = (0,)
    width: int = 1
    header: bool = False


@dataclass
class Faults:
    """Rows that could not be read: how many by kind, and where the first few are."""

    counts: Counter[str] = field(default_factory=Counter)
    samples: list[str] = field(default_factory=list)

    def add(self, kind: str, where: str) -> None:
        """One more row of this kind at "file:line"."""
        self.counts[kind] += 1
        if self.counts[kind] <= 5:
            self.samples.append(f"{where}: {kind}")


def sources(corpus: Corpus, root: Path) -> list[tuple[Source, tuple[str, ...]]]:
    """The files of a corpus with the languages of the columns of each."""
    by_file: dict[str, list[str]] = {}
    for code in corpus.languages:
        by_file.setdefault(corpus.files[code], []).append(code)
    return [
        (
            Source(
                root / file,
                tuple(corpus.fields[code] for code in codes),
                corpus.width,
                corpus.header,
            ),
            tuple(codes),
        )
        for file, codes in by_file.items()
    ]


def read(source: Source, faults: Faults, max_invalid: float = MAX_INVALID) -> Iterator[Row]:
    """The rows of a file, in order; None for a field that could not be read.

    Raises:
        FormatError: not a file of its kind, or more than `max_invalid` of its lines are not UTF-8.
    """
    number = invalid = 0
    for number, raw in enumerate(_lines(source.path), start=1):
        if number == 1 and source.header:
            continue
        where = f"{source.path}:{number}"
        text = _decode(raw)
        if text is None:
            kind = "a line over 1 MiB" if raw is None else "not UTF-8"
            faults.add(kind, where)
            invalid += raw is not None
            if invalid > max_invalid * max(number, 100_000):
                break
            yield (None,) * len(source.fields)
        elif source.width == 1:
            yield (text,)
        else:
            fields = text.split("\t")
            if len(fields) == source.width:
                yield tuple(fields[i] for i in source.fields)
            else:
                faults.add("wrong number of columns", where)
                yield (None,) * len(source.fields)
    if invalid > max_invalid * number:
        first = next(s for s in faults.samples if s.endswith("not UTF-8"))
        raise FormatError(
            f"{first}; so are {invalid} of its first {number} lines, more than "
            f"{max_invalid:.1%}. If it has another encoding, convert it: iconv -f LATIN1 -t UTF-8"
        )


def _decode(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _lines(path: Path) -> Iterator[bytes | None]:
    """Lines without their ends; None for one longer than LONGEST_LINE."""
    carry: list[bytes] = []
    size, first = 0, True
    for chunk in _chunks(path):
        if first and chunk.startswith(_UTF16):
            raise FormatError(f"{path}: is UTF-16; convert it: iconv -f UTF-16 -t UTF-8")
        chunk = chunk.removeprefix(_BOM) if first else chunk
        first = False
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            size += len(line)
            yield _join(carry, line) if size <= LONGEST_LINE else None
            carry, size = [], 0
        size += len(rest)
        if size <= LONGEST_LINE:
            carry.append(rest)
    if size:
        yield _join(carry, b"") if size <= LONGEST_LINE else None


def _join(carry: list[bytes], line: bytes) -> bytes:
    if carry:
        line = b"".join([*carry, line])
    return line[:-1] if line.endswith(b"\r") else line


def _chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, unpacked."""
    opener = _OPENERS.get(path.suffix, _open)
    try:
        with opener(path) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise FormatError(f"{path}: cannot be unpacked: {error}; fetch it again") from error


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")
