"""Tables: texts between tabs as they are, or between delimiters and in quotes (RFC 4180).

A record that cannot be read costs its first line only: reading goes on at the next one. Not its
job: what a line is (lines.py).
"""

import csv
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from m4nmt.data.read import lines
from m4nmt.data.read.types import Csv, Faults, FormatError, Rows, Source, Tsv

COLUMNS = "wrong number of columns"
QUOTES = "quotes that do not match"
# A quoted text of more lines than this is a quote that was never closed.
_MOST_LINES = 64
_MOST_NAMES = 20
_LEFT_OUT = "left out: not "

# The number of a record's first line, and its texts; none where it cannot be read.
_Record = tuple[int, Sequence[str] | None]


def read(chunks: Iterator[bytes], source: Source, faults: Faults) -> Rows:
    """The wanted fields of every record.

    Raises:
        FormatError: the header lacks a field; names those there are.
    """
    kind = source.kind
    assert isinstance(kind, Tsv | Csv)
    numbered = lines.numbered(chunks, source, faults)
    if isinstance(kind, Tsv):
        records: Iterator[_Record] = ((n, t and t.split("\t")) for n, t in numbered)
        records = ((n, [""] if t == "" else t) for n, t in records)
    else:
        records = _quoted(numbered, kind.delimiter, source, faults)
    width = kind.width
    names: Sequence[str] = ()
    if kind.header:
        names = next(records, (1, None))[1] or ()
        width = width or len(names)
    wanted = [_column(source, field, names, width) for field in source.fields]
    where = {_column(source, name, names, width): text for name, text in source.where}
    for number, record in records:
        if not width and record is not None:
            width = len(record)
            for column in (*wanted, *where):
                _column(source, column, names, width)
        if record is None:
            yield source.nothing
        elif len(record) != width:
            faults.add(COLUMNS, f"{source}:{number}")
            yield source.nothing
        elif any(record[column] != text for column, text in where.items()):
            faults.add(left_out(source), f"{source}:{number}")
            yield source.nothing
        else:
            yield tuple(lines.one_line(record[column]) for column in wanted)


def left_out(source: Source) -> str:
    """What rows are called that are not those of `where`."""
    return _LEFT_OUT + ", ".join(f"{name} = {text}" for name, text in source.where)


def is_left_out(kind: str) -> bool:
    """Whether a kind of faults is that of rows which `where` does not want."""
    return kind.startswith(_LEFT_OUT)


def header(first: Mapping[str, int] | Sequence[str]) -> str:
    """Names of columns, for messages."""
    names = [repr(name) for name in list(first)[:_MOST_NAMES]]
    return ", ".join(names) + (" ..." if len(first) > _MOST_NAMES else "")


def _column(source: Source, field: int | str, names: Sequence[str], width: int) -> int:
    """The number of a field."""
    if isinstance(field, str):
        if field not in names:
            said = f"its header has {header(names)}" if names else "it has no header"
            raise FormatError(f"{source}: has no column {field!r}; {said}")
        if list(names).count(field) > 1:
            raise FormatError(f"{source}: two columns are called {field!r}; name it by its number")
        return list(names).index(field)
    if width and field >= width:
        raise FormatError(f"{source}: has {width} columns, no column {field + 1}")
    return field


def _quoted(
    numbered: Iterator[tuple[int, str | None]], delimiter: str, source: Source, faults: Faults
) -> Iterator[_Record]:
    """Records of one or, where a line end is in quotes, several lines."""
    feed = _Feed(numbered)
    while (first := feed.next()) is not None:
        number, text = first
        if text is None:
            yield number, None
        elif '"' not in text:
            yield number, text.split(delimiter) if text else [""]
        else:
            record = feed.record(text, delimiter)
            if record is None:
                faults.add(QUOTES, f"{source}:{number}")
            yield number, record


class _Feed:
    """Lines of which some were looked at and given back."""

    def __init__(self, numbered: Iterator[tuple[int, str | None]]) -> None:
        self._numbered = numbered
        self._back: deque[tuple[int, str | None]] = deque()

    def next(self) -> tuple[int, str | None] | None:
        """The next line; None at the end."""
        return self._back.popleft() if self._back else next(self._numbered, None)

    def record(self, text: str, delimiter: str) -> list[str] | None:
        """The record that begins with this line; None, with later lines given back, if none."""
        taken: list[tuple[int, str | None]] = []

        def more() -> Iterator[str]:
            yield text + "\n"
            while len(taken) < _MOST_LINES and (line := self.next()) is not None:
                taken.append(line)
                if line[1] is None:
                    return
                yield line[1] + "\n"

        try:
            record = next(csv.reader(more(), delimiter=delimiter, strict=True), None)
        except csv.Error:
            record = None
        if record is None:
            self._back.extendleft(reversed(taken))
        return record
