"""Readers: from files to rows of text, whatever format they are in.

A row that cannot be read is a row of None, counted with its place, so that nothing after it shifts;
a file of which too much cannot be read is refused. Nothing grows with the corpus. Not its job:
judging the text.
"""

from collections.abc import Callable, Iterator
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
    Source,
    Tmx,
    Tsv,
    Xliff,
)
from m4nmt.data.read.xliff import XliffReader

__all__ = ["Faults", "FormatError", "Kind", "Row", "Source", "read", "sources"]

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
    Lines: lines.read,
    Tsv: table.read,
    Csv: table.read,
    JsonLines: records.read,
    Po: po.read,
    Tmx: lambda chunks, source, faults: xml.read(chunks, str(source), TmxReader(source, faults)),
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


def read(source: Source, faults: Faults, max_invalid: float = MAX_INVALID) -> Iterator[Row]:
    """The rows of a file, in order; None for a field that could not be read.

    Raises:
        FormatError: not a file of its kind, or more than `max_invalid` of its lines are not UTF-8.
    """
    own = Faults()
    number = 0
    try:
        for number, row in enumerate(_rows(source, own), start=1):
            if own.counts and _invalid(own) > max_invalid * max(number, _FEW):
                break
            yield row
        _judge(own, number, max_invalid)
    finally:
        faults.merge(own)


def _rows(source: Source, faults: Faults) -> Rows:
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
    for kind, what in _BROKEN.items():
        if faults.counts[kind] > _MAX_BROKEN * number:
            first = next(s for s in faults.samples if s.endswith(kind))
            raise FormatError(
                f"{first}; so are {faults.counts[kind]} of {number} rows: it is not {what}; give "
                "its format"
            )
