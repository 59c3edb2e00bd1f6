"""Files as people's programs leave them: what is meant is read, what cannot be is named."""

from pathlib import Path

import pytest
from read_made import po, put, rows, tmx

from m4nmt.core.config import ConfigError
from m4nmt.data.formats import Faults, FormatError, Source
from m4nmt.data.manifest import load
from m4nmt.data.read import types
from m4nmt.data.read.recognise import recognise
from m4nmt.data.read.types import Columnar, Csv, JsonLines, Lines, Tmx, Tsv

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 1234567\n"


def test_line_ends_of_old_macs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of such a file the whole text would be one line: one row, or none."""
    path = put(tmp_path / "x.txt", b"a\rb\rc")
    with pytest.raises(FormatError, match=r"x\.txt:1: its lines end in carriage returns .* tr"):
        rows(Source(path))
    monkeypatch.setattr(types, "LONGEST_TEXT", 100)
    put(path, b"some words\r" * 100)
    with pytest.raises(FormatError, match="carriage returns alone"):
        rows(Source(path))
    for text in (b"a\rb\rc\n", b"a\n\rb\rc", b"a\rb"):
        put(path, text)
        rows(Source(path), Faults(), limit=1.0)


@pytest.mark.parametrize("kind", [Lines(), Tsv(), Csv(), JsonLines(), Tmx(), Columnar()])
def test_pointers_of_git_are_named(kind: types.Kind, tmp_path: Path) -> None:
    path = put(tmp_path / "x", POINTER)
    with pytest.raises(FormatError, match=r"x: is a pointer of Git LFS.*git lfs pull"):
        rows(Source(path, (0,) if isinstance(kind, Lines | Tsv | Csv) else ("en",), kind))


def test_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"is a folder; name a file in it"):
        rows(Source(tmp_path))
    with pytest.raises(FormatError, match=r"is a folder; name a file in it"):
        recognise(Source(tmp_path))


def test_records_that_hold_no_text_are_refused(tmp_path: Path) -> None:
    path = put(
        tmp_path / "x.jsonl", b'{"en": ["a"], "fr": "b"}\n' * 3 + b'{"en": "a", "fr": "b"}\n'
    )
    with pytest.raises(FormatError, match=r":1: en is no text; so are 3 of 4 rows; name another"):
        rows(Source(path, ("en", "fr"), JsonLines()))
    put(path, b'{"en": ["a"], "fr": "b"}\n' + b'{"en": "a", "fr": "b"}\n' * 3)
    assert rows(Source(path, ("en", "fr"), JsonLines()), Faults())[0] == (None, "b")


def test_rows_are_chosen_by_values_that_are_no_text(tmp_path: Path) -> None:
    lines = b'{"en": "a", "ok": 1}\n{"en": "b", "ok": 0}\n{"en": "c", "ok": null}\n{"en": "d"}\n'
    path = put(tmp_path / "x.jsonl", lines)
    for value, wanted in (("1", "a"), ("0", "b")):
        found = rows(Source(path, ("en",), JsonLines(), where=(("ok", value),)))
        assert [row for row in found if row != (None,)] == [(wanted,)]
    assert set(rows(Source(path, ("en",), JsonLines(), where=(("ok", "None"),)))) == {(None,)}


def test_bars_between_columns(tmp_path: Path) -> None:
    found = recognise(Source(put(tmp_path / "x.csv", b"en|fr\na, b|c\n")))
    assert found.kind == Csv(header=True, delimiter="|")
    assert list(found.fields) == ["eng_Latn", "fra_Latn"]


def test_a_catalogue_that_tells_one_side_is_told_the_other(tmp_path: Path) -> None:
    head = '[[corpus]]\nname = "c"\nsplit = "train"\npath = "x.po"\n'
    put(tmp_path / "x.po", po([("one", "un")]))
    manifest = str(put(tmp_path / "m.toml", f'{head}source = "en"\n'.encode()))
    (corpus,) = load(manifest, str(tmp_path)).corpora
    assert corpus.fields == {"eng_Latn": "source", "fra_Latn": "target"}
    for wrong in ("", 'source = "fr"\n'):
        put(tmp_path / "m.toml", (head + wrong).encode())
        with pytest.raises(ConfigError, match="does not tell both languages"):
            load(manifest, str(tmp_path))


def test_units_of_several_varieties_go_into_one_column(tmp_path: Path) -> None:
    text = tmx([("a", "A"), ("b", "B"), ("c", "C")]).decode()
    text = text.replace("en-US", "EN", 1).replace("en-US", "en_GB", 1)
    path = put(tmp_path / "x.tmx", text.encode())
    assert list(recognise(Source(path)).fields) == ["eng_Latn", "fra_Latn"]
    found = rows(Source(path, ("eng_Latn", "fra_Latn"), Tmx()))
    assert found == [("a", "A"), ("b", "B"), ("c", "C")]
