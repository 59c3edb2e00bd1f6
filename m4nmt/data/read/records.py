"""Texts out of records: JSON lines, and batches of Parquet, Arrow and `datasets`.

A field is a key, with dots into objects: "translation.en". Not its job: opening files.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from m4nmt.data.read import lines, types
from m4nmt.data.read.table import header, left_out
from m4nmt.data.read.types import TOO_LONG, Faults, FormatError, Row, Rows, Source

BROKEN = "not a JSON object"
NO_TEXT = "is no text"
_SURROGATES = "half a surrogate pair"
_MISSING = object()


def read(chunks: Iterator[bytes], source: Source, faults: Faults) -> Rows:
    """A row for each line of JSON."""
    for number, text in lines.numbered(chunks, source, faults):
        if text is None:
            yield source.nothing
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, Mapping):
            yield row(record, source, faults, f"{source}:{number}")
        else:
            faults.add(BROKEN, f"{source}:{number}")
            yield source.nothing


def row(record: Mapping[str, Any], source: Source, faults: Faults, where: str) -> Row:
    """The wanted texts of one record.

    Raises:
        FormatError: no first record with such a field; names those there are.
    """
    if not all(_is(_at(record, name), text) for name, text in source.where):
        faults.add(left_out(source), where)
        return source.nothing
    return tuple(_text(record, str(field), faults, where) for field in source.fields)


def _is(found: Any, text: str) -> bool:
    """Whether a value is the one of `where`, which is text whatever it stands for."""
    return found is not None and found is not _MISSING and str(found) == text


def check(names: Mapping[str, Any], source: Source) -> None:
    """See that columns which all records share hold the wanted fields.

    Raises:
        FormatError: one is missing; names those there are.
    """
    for name in [*source.fields, *(name for name, _ in source.where)]:
        if _at(names, str(name)) is _MISSING:
            raise FormatError(f"{source}: has no column {name!r}; it has {header(list(names))}")


def _at(record: Mapping[str, Any], field: str) -> Any:
    """What stands under a key, or under a path of keys."""
    if field in record:
        return record[field]
    found: Any = record
    for key in field.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return _MISSING
        found = found[key]
    return found


def _text(record: Mapping[str, Any], field: str, faults: Faults, where: str) -> str | None:
    """A text as one line; "" for null; None, counted, for anything else."""
    found = _at(record, field)
    if found is None:
        return ""
    if not isinstance(found, str):
        faults.add(f"no {field}" if found is _MISSING else f"{field} {NO_TEXT}", where)
        return None
    return sound(found, faults, where)


def sound(text: str, faults: Faults, where: str) -> str | None:
    """A text as one line; None, counted, where it is none that a file could hold, or too long."""
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        faults.add(_SURROGATES, where)
        return None
    if size > types.LONGEST_TEXT:
        faults.add(TOO_LONG, where)
        return None
    return lines.one_line(text)
