"""Parquet, Arrow files and Arrow streams, batch by batch. Not its job: fields (records.py)."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from m4nmt.data.read import lines, records, unpack
from m4nmt.data.read.types import Faults, FormatError, Rows, Source

PARQUET, FILE, STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
# What must be held at once: a group of rows of Parquet, a batch of Arrow.
GROUP = 2 << 30
_ROWS = 256
# A broken length can ask for more memory than there is.
_BROKEN = (pa.ArrowException, OSError, MemoryError, SystemError, UnicodeDecodeError)
_SAME = 1024  # first bytes that tell a file from what is packed in it


def read(source: Source, faults: Faults) -> Rows:
    """A row for each row of the table.

    Raises:
        FormatError: not such a file, columns that are missing or hold no text, groups of rows too
            large to hold.
    """
    try:
        with ExitStack() as stack:
            stream = _seekable(source, stack)
            start = stream.read(64)
            stream.seek(0)
            batches = _batches(stream, start, source)
            yield from _rows(batches, source, faults)
    except _BROKEN as error:
        raise FormatError(f"{source}: cannot be read: {error}; fetch it again") from error


def names(source: Source) -> dict[str, Any]:
    """Names of the columns, and of what is in them.

    Raises:
        FormatError: not such a file.
    """
    try:
        with ExitStack() as stack:
            stream = _seekable(source, stack)
            start = stream.read(8)
            stream.seek(0)
            if start.startswith(PARQUET):
                return _nested(pq.ParquetFile(stream).schema_arrow)
            opened = pa.ipc.open_file if start.startswith(FILE) else pa.ipc.open_stream
            return _nested(opened(stream).schema)
    except _BROKEN as error:
        raise FormatError(f"{source}: cannot be read: {error}; fetch it again") from error


def _rows(batches: Iterator[pa.RecordBatch], source: Source, faults: Faults) -> Rows:
    number = 0
    for batch in batches:
        try:
            batch.validate(full=True)  # what its lengths and texts say is used without a check
        except pa.ArrowException as error:
            raise FormatError(
                f"{source}:{number + 1}: here or in the next {len(batch):,} rows: {error}; write "
                "the file anew"
            ) from error
        for first in range(0, len(batch), _ROWS):
            for record in batch.slice(first, _ROWS).to_pylist():
                number += 1
                yield records.row(record, source, faults, f"{source}:{number}")


def _batches(stream: IO[bytes], start: bytes, source: Source) -> Iterator[pa.RecordBatch]:
    if start.startswith(PARQUET):
        yield from _parquet(stream, source)
    elif start.startswith(FILE):
        table = pa.ipc.open_file(stream)
        keep = _columns(table.schema, source)
        for number in range(table.num_record_batches):
            yield table.get_batch(number).select(keep)
    elif start.startswith(STREAM):
        table = pa.ipc.open_stream(stream)
        keep = _columns(table.schema, source)
        for batch in table:
            yield batch.select(keep)
    else:
        lines.refuse_pointer(start, str(source))
        raise FormatError(f"{source}: is neither Parquet nor Arrow")


def _parquet(stream: IO[bytes], source: Source) -> Iterator[pa.RecordBatch]:
    table = pq.ParquetFile(stream)
    keep = _columns(table.schema_arrow, source)
    for number in range(table.num_row_groups):
        group = table.metadata.row_group(number)
        columns = (group.column(i) for i in range(group.num_columns))
        size = sum(
            c.total_uncompressed_size for c in columns if c.path_in_schema.split(".")[0] in keep
        )
        if size > GROUP:
            raise FormatError(
                f"{source}: its group of rows {number + 1} unpacks to {size >> 20:,} MiB, which "
                "must be held at once; write it anew with smaller ones (row_group_size=100000)"
            )
    yield from table.iter_batches(_ROWS, columns=keep, use_threads=False)


def _columns(schema: pa.Schema, source: Source) -> list[str]:
    """The columns that hold the wanted fields."""
    records.check(_nested(schema), source)
    for name in map(str, source.fields):
        if not _is_text(kind := _type(schema, name)):
            raise FormatError(f"{source}: its column {name!r} holds {kind}, not text; name another")
    wanted = [str(f) for f in source.fields] + [name for name, _ in source.where]
    return list(dict.fromkeys(w if w in schema.names else w.split(".")[0] for w in wanted))


def _type(schema: pa.Schema, field: str) -> pa.DataType:
    """What a column holds, or what is in a column of structs."""
    if field in schema.names:
        return schema.field(field).type
    first, *rest = field.split(".")
    kind = schema.field(first).type
    for name in rest:
        kind = kind.field(name).type
    return kind


def _is_text(kind: pa.DataType) -> bool:
    """Whether values are texts; a column without any value may become one."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return kind in (pa.string(), pa.large_string(), pa.string_view(), pa.null())


def _nested(fields: Any) -> dict[str, Any]:
    """Names of columns, and of what is in them."""
    return {
        field.name: _nested(field.type) if pa.types.is_struct(field.type) else None
        for field in fields
    }


def _seekable(source: Source, stack: ExitStack) -> IO[bytes]:
    """The file itself, or a nameless copy of what it unpacks to."""
    chunks = unpack.chunks(source)
    first = next(chunks, b"")
    plain = stack.enter_context(source.path.open("rb"))
    if plain.read(_SAME) == first[:_SAME]:
        plain.seek(0)
        return plain
    copy: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    copy.write(first)
    for chunk in chunks:
        copy.write(chunk)
    copy.seek(0)
    return copy
