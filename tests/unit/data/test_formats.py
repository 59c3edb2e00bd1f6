"""Readers: what a line is, what is put aside, and what is refused."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.data import formats
from m4nmt.data.formats import Faults, FormatError, Source, read
from m4nmt.data.manifest import Corpus
from m4nmt.data.preparing.inputs import Facts, Input, check_rows
from m4nmt.data.read import types, unpack
from m4nmt.data.read.types import Tsv

# Everything that some library or other takes for the end of a line.
SEPARATORS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def texts(path: Path) -> list[str | None]:
    return [row[0] for row in read(Source(path), Faults())]


def pair(one: Path, other: Path, limit: float = 1.0) -> tuple[list[tuple[str, str]], int, Faults]:
    """Usable pairs of two files, rows in all, and faults."""
    faults = Faults()
    sides = [[row[0] for row in read(Source(path), faults, limit)] for path in (one, other)]
    rows = list(zip(*sides, strict=True))
    good = [(a, b) for a, b in rows if a and b and a.strip() and b.strip()]
    return good, len(rows), faults


@given(
    st.lists(st.text(st.sampled_from("ab \t" + SEPARATORS), max_size=6), max_size=12),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.integers(1, 40),
)
@settings(max_examples=150, deadline=None)
def test_only_newlines_end_lines(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[str], end: str, last: bool, chunk: int
) -> None:
    # A "\r" that ends a line's own text cannot be told from one of "\r\n".
    wanted = [line.rstrip("\r") for line in wanted]
    if wanted and not last and not wanted[-1]:
        wanted = wanted[:-1]  # an empty line without its end is no line
        last = True
    path = tmp_path_factory.mktemp("lines") / "x"
    path.write_bytes((end.join(wanted) + (end if last and wanted else "")).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpack, "CHUNK", chunk)
        assert texts(path) == wanted


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)],
)
def test_packed_files(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"x.txt{suffix}"
    path.write_bytes(pack("\ufeffeins\nzwei\n".encode()))
    assert texts(path) == ["eins", "zwei"]


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)]
)
def test_truncated_packed_files_are_named(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"x.txt{suffix}"
    path.write_bytes(pack(b"line\n" * 5000)[:-9])
    with pytest.raises(FormatError, match=r"x\.txt.*cannot be unpacked"):
        texts(path)
    path.write_bytes(b"not packed at all")
    with pytest.raises(FormatError, match=r"x\.txt"):
        texts(path)


def test_only_the_first_byte_order_mark_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "CHUNK", 5)
    path = tmp_path / "x"
    path.write_bytes("\ufeffa\n\ufeffb\n".encode())
    assert texts(path) == ["a", "\ufeffb"]


def test_only_one_carriage_return_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\r\r\nb\rc\r\n\r\n")
    assert texts(path) == ["a\r", "b\rc", ""]


def test_a_bad_line_is_put_aside_on_both_sides(tmp_path: Path) -> None:
    good = b"a good line\n" * 2000
    (tmp_path / "one").write_bytes(good + b"bad \xff\n" + good)
    (tmp_path / "other").write_bytes(good + b"its partner\n" + good)
    usable, rows, faults = pair(tmp_path / "one", tmp_path / "other", formats.MAX_INVALID)
    assert (len(usable), rows) == (4000, 4001)
    assert faults.counts == {"not UTF-8": 1}
    assert faults.samples == [f"{tmp_path / 'one'}:2001: not UTF-8"]


def test_too_many_bad_lines_end_it_naming_the_first(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"good\n" * 500 + b"\xe9t\xe9\n" + b"good\n" * 400)
    with pytest.raises(FormatError, match=r"x:501: not UTF-8.*1 of its first 901 lines.*iconv"):
        texts(path)


def test_a_large_file_of_another_encoding_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\xe9t\xe9\n" * 300_000)
    faults = Faults()
    with pytest.raises(FormatError, match="not UTF-8"):
        list(read(Source(path), faults))
    assert faults.counts["not UTF-8"] < 1000


def test_very_long_lines_are_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(types, "LONGEST_TEXT", 100)
    monkeypatch.setattr(unpack, "CHUNK", 64)
    path = tmp_path / "x"
    path.write_bytes(b"a\n" + b"b" * 1000 + b"\nc\n" + b"d" * 100 + b"\n" + b"e" * 101)
    assert texts(path) == ["a", None, "c", "d" * 100, None]


def test_rows_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_bytes(b'en\tid\tsw\n"a\t1\tb"\r\nc\t2\nd\t\te\n')
    faults = Faults()
    rows = list(read(Source(path, (0, 2), Tsv(width=3, header=True)), faults))
    assert rows == [('"a', 'b"'), (None, None), ("d", "e")]
    assert faults.samples == [f"{path}:3: wrong number of columns"]


def fact(path: str, rows: int, lines: int = 0) -> tuple[Input, Facts]:
    corpus = Corpus(name="c", split="train", format="moses", files={}, fields={}, lines=lines)
    facts = Facts(0, 0, "", rows, (rows,), {}, ())
    return Input(corpus, path, Source(Path(path)), ("eng_Latn",)), facts


def test_unequal_files_are_refused_naming_both_counts() -> None:
    check_rows([fact("a.en", 200), fact("a.fr", 200)])
    with pytest.raises(FormatError, match=r"a\.fr has 193 lines, a\.en has 200"):
        check_rows([fact("a.en", 200), fact("a.fr", 193)])
    with pytest.raises(FormatError, match=r"a\.en has 200 lines, the manifest says 201"):
        check_rows([fact("a.en", 200, lines=201)])


# name, records and usable pairs as `expected.tsv` beside the files says
WILD = [("crlf", 200, 200), ("bom", 200, 200), ("nofinalnl", 200, 200), ("blank", 200, 162)]
WILD += [("unicode_linesep", 200, 200), ("badutf8", 200, 190), ("utf16", 200, 200)]


@pytest.mark.parametrize(("name", "records", "usable"), WILD)
def test_wild_pairs(name: str, records: int, usable: int, shared_data: Path) -> None:
    edge = shared_data / "wild" / "edge"
    good, rows, _ = pair(edge / f"{name}.en", edge / f"{name}.fr")
    assert (rows, len(good)) == (records, usable)
    assert not any(side.endswith("\r") or side.startswith("\ufeff") for p in good for side in p)


def test_wild_line_ends_change_no_text(shared_data: Path) -> None:
    edge = shared_data / "wild" / "edge"
    plain = pair(edge / "nofinalnl.en", edge / "nofinalnl.fr")[0]
    for name in ("crlf", "bom"):
        assert pair(edge / f"{name}.en", edge / f"{name}.fr")[0] == plain


def test_wild_files_that_are_refused(shared_data: Path) -> None:
    edge = shared_data / "wild" / "edge"
    for name, message in (
        ("latin1.fr", "not UTF-8.*LATIN1"),
        ("badutf8.fr", "not UTF-8"),
    ):
        with pytest.raises(FormatError, match=rf"{name}.*{message}"):
            texts(edge / name)
    counts = [len(texts(edge / f"unbalanced.{side}")) for side in ("en", "fr")]
    assert counts == [200, 193]


def test_wild_table(shared_data: Path) -> None:
    faults = Faults()
    path = shared_data / "wild" / "edge" / "tabs.tsv"
    rows = list(read(Source(path, (0, 1), Tsv(width=2)), faults))
    assert len(rows) == 200
    assert sum(row != (None, None) for row in rows) == 173
    assert faults.counts == {"wrong number of columns": 27}


def test_wild_moses(shared_data: Path) -> None:
    moses = shared_data / "wild" / "moses"
    sides = [texts(moses / f"val.{side}.gz") for side in ("en", "de", "fr", "cs")]
    assert [len(side) for side in sides] == [1014] * 4
    assert all(text for side in sides for text in side)
