"""Pairs of texts written in every format, packing and archive that the readers know."""

import bz2
import csv
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq

from m4nmt.data.formats import Faults, Row, Source, read
from m4nmt.data.read.types import Columnar, Csv, JsonLines, Kind, Lines, Po, Tmx, Tsv, Xliff

Pairs = Sequence[tuple[str, str]]
_XLIFF1 = 'xmlns="urn:oasis:names:tc:xliff:document:1.2" version="1.2"'
_XLIFF2 = 'xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" trgLang="fr"'


def xml(text: str) -> str:
    return escape(text, {"\r": "&#13;"})


def tmx(pairs: Pairs) -> bytes:
    units = "".join(
        f'<tu><tuv xml:lang="en-US"><seg>{xml(a)}</seg></tuv>'
        f'<tuv xml:lang="fr"><seg>{xml(b)}</seg></tuv></tu>\n'
        for a, b in pairs
    )
    head = '<?xml version="1.0"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx version="1.4">'
    return f'{head}<header srclang="en"/><body>\n{units}</body></tmx>'.encode()


def xliff1(pairs: Pairs) -> bytes:
    units = "".join(
        f"<trans-unit><source>{xml(a)}</source><target>{xml(b)}</target></trans-unit>\n"
        for a, b in pairs
    )
    file = '<file source-language="en" target-language="fr">'
    return f"<xliff {_XLIFF1}>{file}<body>{units}</body></file></xliff>".encode()


def xliff2(pairs: Pairs) -> bytes:
    units = "".join(
        f"<unit><segment><source>{xml(a)}</source><target>{xml(b)}</target></segment></unit>\n"
        for a, b in pairs
    )
    return f"<xliff {_XLIFF2}><file>{units}</file></xliff>".encode()


def po(pairs: Pairs) -> bytes:
    def quoted(text: str) -> str:
        for plain, written in (("\\", "\\\\"), ('"', '\\"'), ("\r", "\\r"), ("\t", "\\t")):
            text = text.replace(plain, written)
        return f'"{text}"'

    head = 'msgid ""\nmsgstr ""\n"Language: fr\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
    return (head + "".join(f"\nmsgid {quoted(a)}\nmsgstr {quoted(b)}\n" for a, b in pairs)).encode()


def table(pairs: Pairs, delimiter: str = ",", quoting: int = csv.QUOTE_ALL) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    writer.writerow(["en", "id", "fr"])
    writer.writerows([a, str(n), b] for n, (a, b) in enumerate(pairs))
    return out.getvalue().encode()


def tsv(pairs: Pairs) -> bytes:
    return "".join(f"{a}\t{n}\t{b}\n" for n, (a, b) in enumerate(pairs)).encode()


def jsonl(pairs: Pairs) -> bytes:
    return b"".join(json.dumps({"t": {"en": a, "fr": b}}).encode() + b"\n" for a, b in pairs)


def _arrow(pairs: Pairs) -> pa.Table:
    kind = pa.struct([("en", pa.string()), ("fr", pa.string())])
    both = pa.array([{"en": a, "fr": b} for a, b in pairs], kind)
    return pa.table({"translation": both, "id": pa.array(range(len(pairs)), pa.int64())})


def parquet(pairs: Pairs) -> bytes:
    out = io.BytesIO()
    pq.write_table(_arrow(pairs), out, row_group_size=3)
    return out.getvalue()


def arrow_file(pairs: Pairs) -> bytes:
    out, made = io.BytesIO(), _arrow(pairs)
    with pa.ipc.new_file(out, made.schema) as writer:
        writer.write_table(made, max_chunksize=3)
    return out.getvalue()


def arrow_stream(pairs: Pairs) -> bytes:
    out, made = io.BytesIO(), _arrow(pairs)
    with pa.ipc.new_stream(out, made.schema) as writer:
        writer.write_table(made, max_chunksize=3)
    return out.getvalue()


def lines(pairs: Pairs) -> bytes:
    return "".join(a + "\n" for a, _ in pairs).encode()


Format = tuple[Callable[[Pairs], bytes], Kind, tuple[int | str, ...], str]
SIDES = ("source", "target")
BOTH = ("translation.en", "translation.fr")
FORMATS: dict[str, Format] = {
    "lines": (lines, Lines(), (0,), "txt"),
    "lines in UTF-16": (lambda p: lines(p).decode().encode("utf-16"), Lines(), (0,), "txt"),
    "tsv": (tsv, Tsv(), (0, 2), "tsv"),
    "csv": (table, Csv(header=True), ("en", "fr"), "csv"),
    "csv with tabs": (lambda p: table(p, "\t"), Csv(delimiter="\t", header=True), (0, 2), "tsv"),
    "jsonl": (jsonl, JsonLines(), ("t.en", "t.fr"), "jsonl"),
    "parquet": (parquet, Columnar(), BOTH, "parquet"),
    "arrow file": (arrow_file, Columnar(), BOTH, "arrow"),
    "arrow stream": (arrow_stream, Columnar(), BOTH, "arrow"),
    "tmx": (tmx, Tmx(), ("eng_Latn", "fr"), "tmx"),
    "xliff 1.2": (xliff1, Xliff(), SIDES, "xlf"),
    "xliff 2": (xliff2, Xliff(), SIDES, "xlf"),
    "po": (po, Po(), SIDES, "po"),
}


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def zipped(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "what it is")
        archive.writestr(f"in/{name}", data)
    return out.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member, body in (("./LICENSE", b"CC0"), (f"./in/{name}", data)):
            info = tarfile.TarInfo(member)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def rows(source: Source, faults: Faults | None = None, limit: float = 0.001) -> list[Row]:
    return list(read(source, faults or Faults(), limit))
