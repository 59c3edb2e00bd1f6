"""Records, catalogues and lines that are broken cost themselves alone; other files are named."""

import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from read_made import SIDES, parquet, put, rows

from m4nmt.data.formats import Faults, FormatError, Source
from m4nmt.data.read import columnar, lines, table, types
from m4nmt.data.read.recognise import recognise
from m4nmt.data.read.types import Columnar, Csv, JsonLines, Po, Tsv, Xliff

XLF = """<xliff version="1.2"><file><body>
<trans-unit><source>a</source><target state="needs-translation">A</target></trans-unit>
<trans-unit><source>b</source><target state="needs-review-translation">B</target></trans-unit>
<trans-unit><source>c</source><alt-trans><source>x</source><target>y</target></alt-trans></trans-unit>
<trans-unit><source>d<x id="1"/><g id="2">e</g></source><target state="final">D</target>
<note>no</note></trans-unit></body></file></xliff>"""


def test_states_of_xliff(tmp_path: Path) -> None:
    path, faults = put(tmp_path / "x.xlf", XLF.encode()), Faults()
    found = rows(Source(path, SIDES, Xliff()), faults)
    assert found == [("a", ""), ("b", "B"), ("c", ""), ("de", "D")]
    assert faults.counts == {
        'target not taken: state="needs-translation"': 1,
        'target taken: state="needs-review-translation"': 1,
    }


CATALOGUE = r"""
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=3; plural=n==1?0:n<5?1:2;\n"

#, fuzzy
msgid "a"
msgstr "A"

#~ msgid "old"
#~ msgstr "OLD"

msgctxt "menu"
msgid "one"
msgid_plural "many"
msgstr[0] "eins"
msgstr[1] "zwei"
msgstr[2] "viele"
msgid "wrapped "
"line\n"
msgstr ""
"\x41\102\"\\"
msgid broken
msgstr "B"

msgid "byte"
msgstr "\303\251"

msgid "last"
msgstr "L"
"""


def test_catalogues(tmp_path: Path) -> None:
    path, faults = put(tmp_path / "x.po", CATALOGUE.encode()), Faults()
    assert rows(Source(path, SIDES, Po()), faults) == [
        ("a", ""),
        ("one", "eins"),
        ("many", "viele"),
        (None, None),
        (None, None),
        ("last", "L"),
    ]
    assert faults.counts == {
        "not taken: fuzzy": 1,
        "not taken: obsolete": 1,
        "not an entry of a catalogue": 2,
    }


def test_other_encodings_of_catalogues_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "x.po", CATALOGUE.replace("=UTF-8", "=ISO-8859-2").encode())
    with pytest.raises(FormatError, match=r"x\.po:2: is not UTF-8 but ISO-8859-2; .* msgconv"):
        rows(Source(path, SIDES, Po()))
    path = put(tmp_path / "x.po", b"msgid\nmsgstr\n" * 5)
    with pytest.raises(FormatError, match=r"x\.po:1: not an entry .* not a gettext catalogue"):
        rows(Source(path, SIDES, Po()))


def test_an_endless_entry_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(types, "LONGEST_TEXT", 100)
    text = b'msgid "a"\nmsgstr ""\n' + b'"0123456789"\n' * 50 + b'\nmsgid "b"\nmsgstr "B"\n'
    path = put(tmp_path / "x.po", text)
    assert rows(Source(path, SIDES, Po())) == [(None, None), ("b", "B")]


RECORDS: dict[str, tuple[str, str]] = {
    "deep": ("[" * 100_000, "not a JSON object"),
    "cut off": ('{"en": "a"', "not a JSON object"),
    "a list": ('["a"]', "not a JSON object"),
    "half a pair": (r'{"en": "\ud83d", "fr": "b"}', "half a surrogate pair"),
    "missing": ('{"fr": "b"}', "no en"),
    "a number": ('{"en": 3, "fr": "b"}', "en is no text"),
    "too long": (json.dumps({"en": "é" * 600_000, "fr": "b"}), "a text over 1 MiB"),
    "long line": ('{"en": "a", "fr": "' + "b" * (1 << 20) + '"}', "a text over 1 MiB"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_bad_record_costs_itself_alone(name: str, tmp_path: Path) -> None:
    record, kind = RECORDS[name]
    good = b'{"en": "a", "fr": "b"}\n'
    path, faults = put(tmp_path / "x.jsonl", good + record.encode() + b"\n" + good), Faults()
    found = rows(Source(path, ("en", "fr"), JsonLines()), faults)
    assert (found[0], found[1][0], found[2]) == (("a", "b"), None, ("a", "b"))
    assert faults.samples == [f"{path}:2: {kind}"]


def test_null_is_no_text_and_other_files_no_records(tmp_path: Path) -> None:
    path = put(tmp_path / "x.jsonl", b'{"en": null, "fr": "b"}\n')
    assert rows(Source(path, ("en", "fr"), JsonLines())) == [("", "b")]
    put(path, b"a\nb\nc\n")
    with pytest.raises(FormatError, match=r"x\.jsonl:1: .* 3 of 3 rows: it is not JSON lines"):
        rows(Source(path, ("en", "fr"), JsonLines()))


TABLE = b'en,fr\na,b\n"never closed,d\n"e,1",f\n"g"h,i\nj\nk,l\n'


def test_quotes_that_are_never_closed_cost_one_row(tmp_path: Path) -> None:
    path, faults = put(tmp_path / "x.csv", TABLE), Faults()
    assert rows(Source(path, ("en", "fr"), Csv(header=True)), faults) == [
        ("a", "b"),
        (None, None),
        ("e,1", "f"),
        (None, None),
        (None, None),
        ("k", "l"),
    ]
    assert faults.samples == [
        f"{path}:3: quotes that do not match",
        f"{path}:5: quotes that do not match",
        f"{path}:6: wrong number of columns",
    ]
    path = put(tmp_path / "long.csv", b'a,b\n"open,c\n' + b"d,e\n" * 5000)
    assert rows(Source(path, (0, 1), Csv())) == [("a", "b"), (None, None), *[("d", "e")] * 5000]


def test_an_open_quote_looks_a_few_lines_ahead() -> None:
    taken = []

    def chunks() -> Iterator[bytes]:
        for number in range(1000):
            taken.append(number)
            yield b'"open,line\n' if number == 0 else b"some,line\n"

    source = Source(Path("x.csv"), (0, 1), Csv(width=2))
    assert next(table.read(chunks(), source, Faults())) == (None, None)
    assert len(taken) < 70


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    path = put(tmp_path / "x.tsv", b"en\ten\na\tb\n")
    with pytest.raises(FormatError, match="two columns are called 'en'; name it by its number"):
        rows(Source(path, ("en",), Tsv(header=True)))


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = ("translation.en", "translation.fr")
    path = put(tmp_path / "x.parquet", parquet([("a", "b")] * 20))
    assert len(rows(Source(path, both, Columnar()))) == 20
    put(path, parquet([("a", "b")] * 20)[:-30])
    with pytest.raises(FormatError, match=r"x\.parquet: cannot be read: .*; fetch it again"):
        rows(Source(path, both, Columnar()))
    for kind in (pa.binary(), pa.int8(), pa.list_(pa.string())):
        pq.write_table(pa.table({"en": pa.array([None], kind), "fr": ["b"]}), path)
        with pytest.raises(FormatError, match=r"its column 'en' holds .*, not text; name another"):
            rows(Source(path, ("en", "fr"), Columnar()))
    words = pa.array(["a"]).dictionary_encode()
    pq.write_table(pa.table({"en": words, "fr": pa.array([None], pa.null())}), path)
    assert rows(Source(path, ("en", "fr"), Columnar())) == [("a", "")]
    monkeypatch.setattr(columnar, "GROUP", 10)
    with pytest.raises(FormatError, match=r"group of rows 1 unpacks to .* with smaller ones"):
        rows(Source(path, ("en", "fr"), Columnar()))


def office(name: str, mark: str = "[Content_Types].xml") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr(mark, b"")
        made.writestr(name, b"")
    return out.getvalue()


FOREIGN: dict[str, tuple[str, bytes, str]] = {
    "PDF": ("x.txt", b"%PDF-1.7\n", "is a PDF. What can be read: plain lines, TSV"),
    "Word": (
        "x.docx",
        office("word/d.xml"),
        "a Word document",
    ),
    "Excel": (
        "x",
        office("xl/w.xml"),
        "an Excel file; save it",
    ),
    "OpenDocument": ("x.ods", office("content.xml", "mimetype"), "an OpenDocument file; save it"),
    "pickle": ("x.pkl", b"\x80\x04K\x01.", "a Python pickle, which can run code"),
    "7z": ("x.7z", b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    "other XML": ("x.xml", b"<?xml version='1.0'?><!-- <tmx> --><cesAlign/>", "<cesAlign> and"),
    "a list": ("x.json", b'[{"en": "a"}]', r"one JSON list, .* jq -c '\.\[\]'"),
    "one object": ("x.json", b'{\n "en": "a"\n}', r"x\.json:1: is no JSON object a line"),
    "UTF-16 without mark": (
        "x.txt",
        "ab\n".encode("utf-16-le") * 99,
        "UTF-16 without a byte order",
    ),
    "UTF-32": ("x.txt", "ab\n".encode("utf-32"), "is UTF-32; convert it: iconv -f UTF-32"),
    "binary": ("x.txt", bytes(range(8)) * 99 + bytes(4000), "is no text, or UTF-16"),
    "nothing there": ("y/x.txt", b"", "there is no such file"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    file, data, message = FOREIGN[name]
    path = tmp_path / file
    if path.parent == tmp_path:
        put(path, data)
    with pytest.raises(FormatError, match=message) as caught:
        recognise(Source(path))
    assert str(path) in str(caught.value)


def test_half_characters_of_utf16(tmp_path: Path) -> None:
    made = "a\n".encode("utf-16") + b"\x3d\xd8" + "b\nc\n".encode("utf-16-le")
    path, faults = put(tmp_path / "x.txt", made), Faults()
    assert rows(Source(path), faults, limit=1.0) == [("a",), (None,), ("c",)]
    assert faults.samples == [f"{path}:2: not UTF-8"]
    put(path, made + b"d")
    with pytest.raises(FormatError, match=r"x\.txt: is UTF-16 and ends in the middle"):
        rows(Source(path), limit=1.0)


def test_a_line_of_a_gigabyte_is_not_held() -> None:
    tracemalloc.start()
    chunks = (b"a" * (1 << 20) for _ in range(1 << 10))
    assert list(lines.split(chunks, "x")) == [None]
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
