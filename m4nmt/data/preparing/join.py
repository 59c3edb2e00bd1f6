"""Several Arrow files of one batch each, one after another, as one such file.

Columns of lines and their features are made part by part (parts.py) and joined here. Streams
through raw files: memory does not grow with the corpus. Not its job: knowing what the files hold.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from m4nmt.data.columns.column import read_arrow, write_arrow


def join(parts: Sequence[Path], path: Path, meta: Mapping[str, Any]) -> None:
    """Write the rows of all parts as one file, whole or absent.

    Args:
        parts: with the same columns: numbers, lists of numbers, or text; no nulls.
        path: of the file to write.
        meta: its JSON metadata.

    Raises:
        StoreError: a part is absent or damaged; names it.
    """
    schema = read_arrow(parts[0])[0].schema
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent) as at:
        columns = [_Joined(field.type, Path(at) / field.name) for field in schema]
        for part in parts:
            batch, _ = read_arrow(part)
            for column, array in zip(columns, batch.columns, strict=True):
                column.append(array)
        arrays = [column.whole() for column in columns]
        write_arrow(path, pa.record_batch(arrays, names=schema.names), meta)


class _Joined:
    """One column of all batches: its values in a raw file, and where lengths vary their ends."""

    def __init__(self, kind: pa.DataType, path: Path) -> None:
        self._kind, self._rows, self._end = kind, 0, 0
        self._text = pa.types.is_large_string(kind)
        self._item: pa.DataType = pa.uint8() if self._text else getattr(kind, "value_type", kind)
        self._values: IO[bytes] = path.with_suffix(".values").open("w+b")
        self._ends: IO[bytes] | None = None
        if self._text or pa.types.is_large_list(kind):
            self._ends = path.with_suffix(".ends").open("w+b")
            self._ends.write(np.zeros(1, np.int64).tobytes())

    def append(self, array: pa.Array) -> None:
        """All rows of a batch."""
        items = len(array) * getattr(self._kind, "list_size", 1)
        if self._ends is not None:
            ends = np.frombuffer(array.buffers()[1], np.int64)[: len(array) + 1]
            self._ends.write((ends[1:] + self._end).tobytes())
            items = int(ends[-1])
            self._end += items
        size = items * self._item.bit_width // 8
        if size:
            self._values.write(memoryview(array.buffers()[-1])[:size])
        self._rows += len(array)

    def whole(self) -> pa.Array:
        """The column, mapped; its files may have lost their names."""
        values = [None, _mapped(self._values)]
        outer = [None] if self._ends is None else [None, _mapped(self._ends)]
        if self._text:
            return pa.Array.from_buffers(self._kind, self._rows, [*outer, values[1]])
        if self._item is self._kind:
            return pa.Array.from_buffers(self._kind, self._rows, values)
        count = values[1].size * 8 // self._item.bit_width
        items = pa.Array.from_buffers(self._item, count, values)
        return pa.Array.from_buffers(self._kind, self._rows, outer, children=[items])


def _mapped(stream: IO[bytes]) -> pa.Buffer:
    with stream:
        stream.flush()
        if not stream.tell():
            return pa.py_buffer(b"")
        return pa.py_buffer(np.memmap(stream, np.uint8, "r"))
