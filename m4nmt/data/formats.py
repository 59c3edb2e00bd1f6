"""Readers: from files to rows of text, whatever format they are in.

A row that cannot be read is a row of None, counted with its place, so that nothing after it shifts;
a file of which too much cannot be read is refused. Nothing grows with the corpus. Not its job:
judging the text.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from math import inf
from pathlib import Path

from m4nmt.data.manifest import Corpus
from m4nmt.data.read import columnar, hub, lines, po, records, table, unpack, xml
from m4nmt.data.read.tmx import TmxReader
from m4nmt.data.read.types import (
    INSIDE,
    NOT_UTF8,
    Columnar,
    Csv,
    Dataset,
    Faults,
    FormatError,
    JsonLines,
    Kind,
    Lines,
    Po,
    Row,
    Rows,
    Skip,
    Source,
    Tmx,
    Tsv,
    Xliff,
)
from m4nmt.data.read.xliff import XliffReader

__all__ = ["Faults", "FormatError", "Forward", "Kind", "Row", "Source", "read", "sources"]

MAX_INVALID = 0.001
_FEW = 100_000  # lines after which a share of bad ones is judged while reading
# Of a format whose records can be broken, more than this share of them is another format.
_MAX_BROKEN = 0.5
_BROKEN = {
    records.BROKEN: "JSON lines",
    po.BROKEN: "a gettext catalogue",
    table.COLUMNS: "such a table",
    table.QUOTES: "CSV",
}
_ENCODING = (NOT_UTF8, xml.BAD_CHARACTERS)
_READERS: dict[type[Kind], Callable[[Iterator[bytes], Source, Faults], Rows]] = {
    Tsv: table.read,
    Csv: table.read,
    JsonLines: records.read,
    Po: po.read,
    Xliff: lambda chunks, source, faults: xml.read(
        chunks, str(source), XliffReader(source, faults)
    ),
}


def sources(corpus: Corpus, root: Path) -> list[tuple[Source, tuple[str, ...]]]:
    """The files of a corpus with the languages of the fields of each."""
    by_file: dict[str, list[str]] = {}
    for code in corpus.languages:
        by_file.setdefault(corpus.files[code], []).append(code)
    return [
        (
            Source(
                root / file.partition(INSIDE)[0],
                tuple(corpus.fields[code] for code in codes),
                corpus.kind,
                file.partition(INSIDE)[2],
                tuple(corpus.where.items()),
            ),
            tuple(codes),
        )
        for file, codes in by_file.items()
    ]


class Forward:
    """The rows of a file that was looked at before, from front to back, with gaps.

    What is between is passed over as cheaply as the format allows.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._at, self._skip = 0, Skip()
        self._rows = read(source, Faults(), inf, self._skip)

    def reaches(self, source: Source, first: int) -> bool:
        """Whether a row of a source is still ahead."""
        return source == self.source and first >= self._at

    def rows(self, first: int, count: int) -> Iterator[Row]:
        """At most `count` rows from this one on, to be taken before any further ones."""
        self._skip.rows = first - self._at
        self._at = first + count
        return islice(self._rows, count)

    def ended(self) -> bool:
        """Whether there is nothing further; reads on."""
        return next(self._rows, None) is None


def read(
    source: Source, faults: Faults, max_invalid: float = MAX_INVALID, skip: Skip | None = None
) -> Iterator[Row]:
    """The rows of a file, in order; None for a field that could not be read.

    Args:
        source: what to read.
        faults: gets what was amiss.
        max_invalid: share of rows that may not be UTF-8.
        skip: rows to pass over; what is amiss with them may go unnoticed.

    Raises:
        FormatError: not a file of its kind, or more than `max_invalid` of its lines are not UTF-8.
    """
    own, skip = Faults(), skip or Skip()
    number = 0
    try:
        for number, row in enumerate(_rows(source, own, skip), start=1):
            if skip.rows:
                skip.rows -= 1
                continue
            if own.counts and _invalid(own) > max_invalid * max(number, _FEW):
                break
            yield row
        _judge(own, number, max_invalid)
    finally:
        faults.merge(own)


def _rows(source: Source, faults: Faults, skip: Skip) -> Rows:
    if isinstance(source.kind, Lines):
        return lines.read(unpack.chunks(source), source, faults, skip)
    if isinstance(source.kind, Tmx):
        return xml.read(unpack.chunks(source), str(source), TmxReader(source, faults), skip)
    if isinstance(source.kind, Dataset):
        return hub.read(source, faults)
    if isinstance(source.kind, Columnar):
        return columnar.read(source, faults)
    return _READERS[type(source.kind)](unpack.chunks(source), source, faults)


def _invalid(faults: Faults) -> int:
    return sum(faults.counts[kind] for kind in _ENCODING)


def _judge(faults: Faults, number: int, max_invalid: float) -> None:
    """Refuse a file of which too much could not be read."""
    invalid = _invalid(faults)
    if invalid > max_invalid * number:
        first = next(s for s in faults.samples if s.endswith(_ENCODING))
        raise FormatError(
            f"{first}; so are {invalid} of its first {number} lines, more than "
            f"{max_invalid:.1%}. If it has another encoding, convert it: iconv -f LATIN1 -t UTF-8"
        )
    for kind, count in faults.counts.items():
        if kind.endswith(records.NO_TEXT) and count > _MAX_BROKEN * number:
            first = next(s for s in faults.samples if s.endswith(kind))
            raise FormatError(f"{first}; so are {count} of {number} rows; name another column")
    for kind, what in _BROKEN.items():
        if faults.counts[kind] > _MAX_BROKEN * number:
            first = next(s for s in faults.samples if s.endswith(kind))
            raise FormatError(
                f"{first}; so are {faults.counts[kind]} of {number} rows: it is not {what}; give "
                "its format"
            )
