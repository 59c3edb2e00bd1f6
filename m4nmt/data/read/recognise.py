"""What a file is, told from its first bytes, and which languages it says it has.

Names of files decide only between formats that look alike. What cannot be read is named. Not its
job: reading on (the other files of this folder).
"""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from m4nmt.data.language import normalise
from m4nmt.data.read import archive, columnar, lines, unpack, xml
from m4nmt.data.read.types import (
    Columnar,
    Csv,
    FormatError,
    JsonLines,
    Kind,
    Lines,
    Po,
    Source,
    Tmx,
    Tsv,
    Xliff,
)

READABLE = (
    "plain lines, TSV, CSV, JSON lines, Parquet, Arrow, TMX, XLIFF and PO, each as it is, in gz, "
    "bz2, xz or zst, or in a zip or tar archive"
)
_NOT_OURS = {
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"\x04\x22\x4d\x18": "packed with lz4; unpack it",
    b"\x1f\x9d": "packed with compress; unpack it",
    b"\xd0\xcf\x11\xe0": "an old Word or Excel file; save it as text or CSV",
    b"\x80\x04": "a Python pickle, which can run code and is never read",
    b"\x93NUMPY": "a NumPy array",
    b"\xde\x12\x04\x95": "a compiled gettext catalogue; unpack it: msgunfmt",
    b"\x95\x04\x12\xde": "a compiled gettext catalogue; unpack it: msgunfmt",
    b"{\\rtf": "a rich text document; save it as text",
}
_OFFICE = {
    "word/": "a Word document; save it as text",
    "xl/": "an Excel file; save it as CSV",
    "content.xml": "an OpenDocument file; save it as CSV or text",
}
_OFFICE_MARKS = {"[Content_Types].xml", "mimetype"}
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_HEAD = 1 << 18
_SIDES = (
    ("src", "tgt"),
    ("source", "target"),
    ("sourceString", "targetString"),
    ("source_text", "target_text"),
    ("src_text", "tgt_text"),
)
_LABELS = (
    ("src_lang", "tgt_lang"),
    ("source_lang", "target_lang"),
    ("sourceLang", "targetLang"),
    ("source_language", "target_language"),
)
_ELEMENT = re.compile(r"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)")
_LANG = re.compile(r"""<tuv\b[^>]*?\b(?:xml:)?lang\s*=\s*["']([^"']+)["']""")
_MSGID = re.compile(r'^msgid[ \t]*"', re.MULTILINE)
# Of names beside others only these are taken for languages: "src", "url" and "id" are codes too.
_PLAIN = re.compile(r"(?!id$)[A-Za-z]{2}([_-].*)?$|[a-z]{3}[_-][A-Z][a-z]{3}$")
_CODE = re.compile(r"[A-Za-z]{2,3}([_-][A-Za-z]{4})?([_-]([A-Za-z]{2}|\d{3}))?")


@dataclass(frozen=True)
class Recognised:
    """What a file is.

    Attributes:
        kind: its format.
        fields: language -> field, where the file says so.
        where: field -> text, of files that mix several directions: those of its first record.
        names: the fields it has, where they have names.
        cells: of a table without such names, what stands in its first line.
    """

    kind: Kind
    fields: Mapping[str, str | int] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    names: Sequence[str] = ()
    cells: Sequence[str] = ()


def recognise(source: Source) -> Recognised:
    """What a source is; its kind and fields are not looked at.

    Raises:
        FormatError: nothing that can be read; says what it is, where that can be told.
    """
    source = _inside(source)
    raw = b""
    for chunk in unpack.chunks(source):
        raw += chunk
        if len(raw) >= _HEAD:
            break
    for magic, what in _NOT_OURS.items():
        if raw.startswith(magic):
            raise FormatError(f"{source}: is {what}. What can be read: {READABLE}")
    if raw.startswith((columnar.PARQUET, columnar.FILE, columnar.STREAM)):
        return _of_columns(columnar.names(source))
    if raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") or b"<\0?" in raw[:8]:
        return _of_xml(raw, source)
    text = b"".join(lines.utf8(iter([raw]), str(source))).decode("utf-8", "replace")
    return _of_text(text, source, len(raw) < _HEAD)


def _inside(source: Source) -> Source:
    """The source with its name in the archive, if it is in one.

    Raises:
        FormatError: the archive is an office document, or has several files to choose from.
    """
    if source.member:
        return source
    names = unpack.members(source.path)
    for folder, what in _OFFICE.items():
        if _OFFICE_MARKS.intersection(names) and any(name.startswith(folder) for name in names):
            raise FormatError(f"{source}: is {what}. What can be read: {READABLE}")
    if not names:
        return source
    return replace(source, member=archive.choose(source.path, "", dict.fromkeys(names, "")))


def _of_xml(raw: bytes, source: Source) -> Recognised:
    text = raw.decode(xml.encoding(raw, str(source)), "replace")
    body = re.sub(r"<!--.*?-->|<\?.*?\?>|<![^>\[]*(\[.*?\])?[^>]*>", "", text, flags=re.DOTALL)
    root = _ELEMENT.search(body)
    name = root.group(1) if root else ""
    if name == "tmx":
        labels = dict.fromkeys(_LANG.findall(text))
        codes = dict.fromkeys(code for label in labels if (code := _code(label)))
        return Recognised(Tmx(), {code: code for code in codes})
    if name == "xliff":
        sides = [_attribute(body, name) for name in ("source-language", "target-language")]
        newer = [_attribute(body, name) for name in ("srcLang", "trgLang")]
        both = [_code(a or b) for a, b in zip(sides, newer, strict=True)]
        # Of a file from a language to itself, the source counts.
        pairs = zip(reversed(both), ("target", "source"), strict=True)
        return Recognised(Xliff(), {code: side for code, side in pairs if code})
    raise FormatError(
        f"{source}: is XML, but <{name}> and neither TMX nor XLIFF. What can be read: {READABLE}"
    )


def _attribute(text: str, name: str) -> str:
    found = re.search(rf"""\b{name}\s*=\s*["']([^"']*)["']""", text)
    return found.group(1) if found else ""


def _of_text(text: str, source: Source, whole: bool) -> Recognised:
    name = PurePosixPath(source.member or source.path.name)
    while name.suffix.lower() in _PACKED:
        name = name.with_suffix("")
    suffix = name.suffix.lower()
    some = text.split("\n")
    some = some if whole else some[:-1]
    some = [line.removesuffix("\r") for line in some if line.strip()][:1000]
    if not some:
        return Recognised(Lines())
    if some[0].startswith("{") and (suffix in (".json", ".jsonl", ".ndjson") or _is_json(some[0])):
        return _of_json(some[0], source)
    if some[0].startswith("[") and suffix == ".json":
        raise FormatError(
            f"{source}: is one JSON list, which cannot be read piece by piece; write an object a "
            "line: jq -c '.[]'"
        )
    if suffix in (".po", ".pot") or (_MSGID.search(text) and "\nmsgstr" in text):
        target = _code(re.sub(r"[@.].*", "", _header(text, "Language")))
        origin = _code(_header(text, "X-Source-Language"))
        sides = {origin: "source", target: "target"}
        return Recognised(Po(), {code: side for code, side in sides.items() if code})
    if suffix == ".csv":
        counts = {sign: some[0].count(sign) for sign in (",", ";", "\t", "|")}
        sign = max(counts, key=lambda sign: counts[sign])
        rows = list(csv.reader(some[:2], delimiter=sign))
        named = _of_header(rows)
        made = Csv(header=bool(named.names), delimiter=sign)
        return replace(named, kind=made)
    tabs = {line.count("\t") for line in some}
    if suffix in (".tsv", ".tab") or (len(tabs) == 1 and tabs != {0}):
        named = _of_header([line.split("\t") for line in some[:2]])
        return replace(named, kind=Tsv(header=bool(named.names)))
    return Recognised(Lines())


def _header(text: str, name: str) -> str:
    """A field of a catalogue's header, as it is written in the file."""
    found = re.search(rf'"{name}:[ \t]*([^"\\]*)', text)
    return found.group(1).strip() if found else ""


def _is_json(line: str) -> bool:
    with suppress(ValueError, RecursionError):
        return isinstance(json.loads(line), dict)
    return False


def _of_json(line: str, source: Source) -> Recognised:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"{source}:1: is no JSON object a line: {error}; one object over several lines is "
            "written on one: jq -c ."
        ) from error
    return _of_record(record, JsonLines())


def _of_record(record: Mapping[str, Any], kind: Kind) -> Recognised:
    """Which fields of a record are languages: by their keys, or by what stands beside them."""
    nested = {
        f"{key}.{code}": code
        for key, value in record.items()
        if isinstance(value, Mapping)
        for code in value
    }
    flat = {key: key for key, value in record.items() if _is_text(value) and _PLAIN.match(key)}
    for keys in (nested, flat):
        fields = {code: key for key, name in keys.items() if (code := _code(name))}
        if len(fields) > 1:
            return Recognised(kind, fields, names=list(record))
    for sides, labels in ((s, b) for s in _SIDES for b in _LABELS):
        if all(name in record for name in (*sides, *labels)):
            codes = [_code(str(record[name])) for name in labels]
            if all(codes):
                where = {name: str(record[name]) for name in labels}
                fields = dict(zip(codes, sides, strict=True))
                return Recognised(kind, fields, where, list(record))
    return Recognised(kind, names=list(record))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and any(letter.isalpha() for letter in value)


def _of_header(rows: Sequence[Sequence[str]]) -> Recognised:
    """A first line is a header if it names languages, or sides of a pair."""
    names = rows[0]
    below = rows[1] if len(rows) > 1 and len(rows[1]) == len(names) else names
    found = _of_record(dict(zip(names, below, strict=True)), Tsv())
    if found.fields or any(set(sides) <= set(names) for sides in _SIDES):
        return Recognised(Tsv(), found.fields, found.where, list(names))
    return Recognised(Tsv(), cells=list(names))


def _of_columns(names: Mapping[str, Any]) -> Recognised:
    """Names of columns alone: what stands in them is not looked at."""
    record = {name: inner if inner else "text" for name, inner in names.items() if name != "id"}
    found = _of_record(record, Columnar())
    return Recognised(Columnar(), {} if found.where else found.fields, names=list(names))


def _code(label: str) -> str:
    """The language that a label names; "" for none."""
    if not _CODE.fullmatch(label):
        return ""
    with suppress(ValueError):
        return normalise(label)
    return ""
