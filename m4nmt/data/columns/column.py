"""One column of a corpus on disk: the lines of one language as pieces, memory-mapped Arrow.

A column file holds a single record batch, so that offsets and values are flat arrays without a
copy. It is written by streaming through raw files: memory does not grow with the corpus. Not its
job: knowing which rows are used (rows.py).
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m4nmt.core.files import atomic
from m4nmt.data.leakage import Keys

_META = b"m4nmt"
_PARTS: dict[str, Any] = {
    "values": None,
    "offsets": np.int64,
    "chars": np.int32,
    "key": np.uint64,
    "flag": np.uint8,
    "text": np.uint8,
    "text_offsets": np.int64,
}


class StoreError(RuntimeError):
    """A store that is not there, not whole or not ours; says which file and how to mend it."""


class Lines(NamedTuple):
    """Some consecutive rows: pieces (none where left out), characters, keys, flags, raw text."""

    pieces: Sequence[Sequence[int]]
    chars: Sequence[int]
    keys: Sequence[int]
    flags: Sequence[int]
    texts: Sequence[str]


class ColumnWriter:
    """Appends rows, then turns them into one Arrow file that is whole or absent."""

    def __init__(self, path: Path, vocab: int, keep_text: bool) -> None:
        self._path, self._keep_text = path, keep_text
        self._folder = path.with_name(f".{path.name}.{os.getpid()}.parts")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._dtypes = _PARTS | {"values": np.uint16 if vocab <= 1 << 16 else np.int32}
        self._files = {name: (self._folder / name).open("wb") for name in self._dtypes}
        self._ends = {"offsets": 0, "text_offsets": 0}
        for name in self._ends:
            self._put(name, [0])

    def _put(self, name: str, values: Any) -> None:
        self._files[name].write(np.asarray(values, self._dtypes[name]).tobytes())

    def _put_ends(self, name: str, lengths: Sequence[int]) -> None:
        ends = self._ends[name] + np.cumsum(np.asarray(lengths, np.int64))
        self._put(name, ends)
        self._ends[name] = int(ends[-1]) if len(ends) else self._ends[name]

    def append(self, lines: Lines) -> None:
        """Add rows at the end."""
        self._put("values", [piece for pieces in lines.pieces for piece in pieces])
        self._put_ends("offsets", [len(pieces) for pieces in lines.pieces])
        self._put("chars", lines.chars)
        self._put("key", lines.keys)
        self._put("flag", lines.flags)
        if self._keep_text:
            raw = [text.encode() for text in lines.texts]
            self._files["text"].write(b"".join(raw))
            self._put_ends("text_offsets", [len(text) for text in raw])

    def finish(self, meta: Mapping[str, Any]) -> None:
        """Write the Arrow file, durably, and remove the raw ones."""
        for stream in self._files.values():
            stream.close()
        parts = {name: self._map(name) for name in self._dtypes}
        columns = {
            "pieces": pa.LargeListArray.from_arrays(pa.array(parts["offsets"]), parts["values"]),
            "chars": pa.array(parts["chars"]),
            "key": pa.array(parts["key"]),
            "flag": pa.array(parts["flag"]),
        }
        if self._keep_text:
            buffers = [None, pa.py_buffer(parts["text_offsets"]), pa.py_buffer(parts["text"])]
            columns["text"] = pa.LargeStringArray.from_buffers(len(parts["chars"]), *buffers[1:])
        batch = pa.record_batch(list(columns.values()), names=list(columns))
        write_arrow(self._path, batch, meta)
        self.abandon()

    def _map(self, name: str) -> NDArray[Any]:
        path, dtype = self._folder / name, self._dtypes[name]
        if path.stat().st_size == 0:
            return np.empty(0, dtype)
        return np.memmap(path, dtype, "r")

    def abandon(self) -> None:
        """Remove the raw files."""
        for stream in self._files.values():
            stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def write_arrow(path: Path, batch: pa.RecordBatch, meta: Mapping[str, Any]) -> None:
    """One batch as an Arrow IPC file, whole or absent, with JSON metadata."""
    text = json.dumps(dict(meta), sort_keys=True, ensure_ascii=False)
    batch = batch.replace_schema_metadata({_META: text.encode()})
    with atomic(path) as stream, pa.ipc.new_file(stream, batch.schema) as writer:
        writer.write_batch(batch)


def read_arrow(path: Path) -> tuple[pa.RecordBatch, dict[str, Any]]:
    """The memory-mapped batch and its metadata.

    Raises:
        StoreError: absent or damaged; names the file.
    """
    try:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            return reader.get_batch(0), json.loads(reader.schema.metadata[_META])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read: {error}; run prepare again") from error


class Column:
    """A column file, mapped. Arrays are views of the file.

    Attributes:
        values, offsets: pieces; line i is values[offsets[i] : offsets[i + 1]].
        chars: characters of each line.
        keys: `leakage.key` of each line; 0 where there is no text.
        flags: index into `clean.LINE_FILTERS`.
        meta: what the writer recorded.
    """

    def __init__(self, path: Path) -> None:
        batch, self.meta = read_arrow(path)
        pieces = batch.column("pieces")
        self.values: NDArray[Any] = pieces.values.to_numpy()
        self.offsets: NDArray[np.int64] = pieces.offsets.to_numpy()
        self.chars: NDArray[np.int32] = batch.column("chars").to_numpy()
        self.keys: Keys = batch.column("key").to_numpy()
        self.flags: NDArray[np.uint8] = batch.column("flag").to_numpy()
        self._text = batch.column("text") if "text" in batch.schema.names else None

    def __len__(self) -> int:
        return len(self.chars)

    def text(self, rows: NDArray[np.int64]) -> list[str]:
        """Raw lines (dev and test columns alone keep them)."""
        if self._text is None:
            raise ValueError("the text of training lines is not kept in the store")
        texts: list[str] = self._text.take(pa.array(rows)).to_pylist()
        return texts
