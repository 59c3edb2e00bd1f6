"""What a manifest leaves out is told from the files, or asked for by name."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from data_made import config, lines
from read_made import PACKED, jsonl, po, put, rows, tmx, xliff1, zipped

from m4nmt.core.config import ConfigError
from m4nmt.data.formats import FormatError, sources
from m4nmt.data.manifest import Corpus, Manifest, load, parse
from m4nmt.data.prepare import prepare
from m4nmt.data.preparing.inputs import check_rows, inputs, look, unchanged
from m4nmt.data.read.types import Csv, JsonLines, Lines, Tmx, Tsv
from m4nmt.data.types import Direction

PAIRS = [("one", "un"), ("two", "deux")]
EN_FR = {"eng_Latn", "fra_Latn"}


def written(folder: Path, *corpora: str) -> Path:
    text = "".join(
        f'[[corpus]]\nname = "c{n}"\nsplit = "train"\n{c}\n' for n, c in enumerate(corpora)
    )
    return put(folder / "m.toml", text.encode())


def loaded(folder: Path, *corpora: str) -> Manifest:
    return load(str(written(folder, *corpora)), str(folder))


def texts(made: Manifest, corpus: Corpus) -> dict[str, list[str | None]]:
    found: dict[str, Any] = {}
    for source, codes in sources(corpus, made.root):
        found |= dict(zip(codes, map(list, zip(*rows(source), strict=True)), strict=True))
    return found


FILES = {
    "x.tmx.gz": PACKED[".gz"](tmx(PAIRS)),
    "x.zip": zipped("x.tmx", tmx(PAIRS)),
    "x.xlf": xliff1(PAIRS),
    "x.jsonl.zst": PACKED[".zst"](jsonl(PAIRS)),
    "flat.jsonl": b'{"id": "x", "en": "one", "fr": "un"}\n{"id": "y", "en": "two", "fr": "deux"}\n',
    "x.tsv": b"en\tid\tfr\none\t1\tun\ntwo\t2\tdeux\n",
    "x.csv": b"en;fr\none;un\ntwo;deux\n",
    "sides.csv": b"src,tgt,src_lang,tgt_lang\none,un,en,fr\ntwo,deux,en,fr\n",
    "x.po": po(PAIRS).replace(b"Language: fr", b'X-Source-Language: en\\n"\n"Language: fr'),
}


@pytest.mark.parametrize("name", FILES)
def test_formats_and_languages_are_told(name: str, tmp_path: Path) -> None:
    put(tmp_path / name, FILES[name])
    made = loaded(tmp_path, f'path = "{name}"')
    (corpus,) = made.corpora
    assert texts(made, corpus) == {"eng_Latn": ["one", "two"], "fra_Latn": ["un", "deux"]}
    assert parse(tmp_path / "m.toml").corpora == ()


def test_several_directions_in_one_file(tmp_path: Path) -> None:
    put(tmp_path / "x.csv", FILES["sides.csv"] + b"drei,trois,de,fr\n")
    made = loaded(tmp_path, 'path = "x.csv"')
    assert dict(made.corpora[0].where) == {"src_lang": "en", "tgt_lang": "fr"}
    assert texts(made, made.corpora[0])["fra_Latn"] == ["un", "deux", None]


def test_a_folder_of_many_languages(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for code in ("en", "fr", "zh_Hant"):
        put(tmp_path / "d" / f"x.{code}.txt", b"1\n2\n")
    made = loaded(tmp_path, 'path = "d/x.{lang}.txt"')
    (corpus,) = made.corpora
    assert corpus.kind == Lines()
    assert set(corpus.languages) == EN_FR | {"zho_Hant"}
    put(tmp_path / "d" / "x.xqq.txt", b"1\n2\n")
    with pytest.raises(ConfigError, match=r"d/x\.xqq\.txt is called like .* unknown language"):
        loaded(tmp_path, 'path = "d/x.{lang}.txt"')
    with pytest.raises(ConfigError, match=r"no file is called like d/y\.\{lang\}; list languages"):
        loaded(tmp_path, 'path = "d/y.{lang}"')


def test_many_languages_in_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for code in ("en", "fr"):
            archive.writestr(f"news.en-fr.{code}", f"{code} 1\n{code} 2\n")
            archive.writestr(f"t/{code}.tsv", f"{code} 1\tx\n{code} 2\ty\n")
        archive.writestr("README", "nothing")
    made = loaded(
        tmp_path,
        'path = "a.zip!/news.en-fr.{lang}"',
        'path = "a.zip!/t/{lang}.tsv"\ncolumns = ["{lang}", ""]',
    )
    for corpus, kind in zip(made.corpora, (Lines(), Tsv(width=2)), strict=True):
        assert corpus.kind == kind
        assert texts(made, corpus) == {"eng_Latn": ["en 1", "en 2"], "fra_Latn": ["fr 1", "fr 2"]}
        found = inputs(made, [corpus], ["eng_Latn", "fra_Latn"])
        check_rows([(item, look(item)) for item in found])


def test_bilingual_files_become_corpora_of_their_own(tmp_path: Path) -> None:
    for code in ("en", "fr", "de"):
        data = xliff1(PAIRS).replace(b'target-language="fr"', f'target-language="{code}"'.encode())
        put(tmp_path / f"x.{code}.xlf", data)
        put(tmp_path / f"y.{code}.po", po(PAIRS))
    made = loaded(tmp_path, 'path = "x.{lang}.xlf"', 'path = "y.{lang}.po"\nsource = "en"')
    assert [(c.key, *c.languages) for c in made.corpora] == [
        ("c0-deu_Latn.train", "deu_Latn", "eng_Latn"),
        ("c0-fra_Latn.train", "eng_Latn", "fra_Latn"),
        ("c1-deu_Latn.train", "deu_Latn", "eng_Latn"),
        ("c1-fra_Latn.train", "eng_Latn", "fra_Latn"),
    ]
    with pytest.raises(
        ConfigError, match=r'y\.de\.po does not tell its source; give source = "en"'
    ):
        loaded(tmp_path, 'path = "y.{lang}.po"')


@pytest.mark.parametrize(
    ("name", "data", "more", "message"),
    [
        ("x.txt", b"a\nb\n", "", r"x\.txt has one text a line: give a path with \{lang\}"),
        ("x.csv", b"a,b\n1,2\n", "", r"its first line \(a \| b\) names .*; give columns"),
        ("x.tsv", b"src\ttgt\na\tb\n", "", r"tsv with src, tgt; give columns, such as \{en = "),
        ("x.jsonl", b'{"a": "b"}\n', "", r"jsonl with a; give columns, such as \{en = "),
        ("x.po", po(PAIRS), "", r'does not tell both languages; give languages = \["en", "sw"\]'),
        ("x.jsonl", jsonl(PAIRS), 'columns = ["en"]', r"give columns, such as \{en = "),
        ("x.csv", b"a,b\n", 'columns = {en = "a", fr = "b"}\ndelimiter = "ab"', "one character"),
        ("x.po", po(PAIRS), 'columns = {en = "msgid", fr = "b"}', '"source" and "target" alone'),
        ("x.tmx", tmx(PAIRS), 'format = "tmx"\nlanguages = ["en", "eng"]', "the same language"),
    ],
)
def test_what_is_not_told_is_asked_for(
    name: str, data: bytes, more: str, message: str, tmp_path: Path
) -> None:
    put(tmp_path / name, data)
    with pytest.raises(ConfigError, match=rf"corpus 1 \(c0\): .*{message}"):
        loaded(tmp_path, f'path = "{name}"\n{more}')


def test_what_is_said_wins(tmp_path: Path) -> None:
    put(tmp_path / "x.po", po(PAIRS))
    put(tmp_path / "x.csv", b"a,b\none,un\n")
    put(tmp_path / "x.tmx", tmx(PAIRS))
    put(tmp_path / "x.jsonl", jsonl(PAIRS))
    made = loaded(
        tmp_path,
        'path = "x.po"\nlanguages = ["en", "es"]',
        'path = "x.csv"\ncolumns = {en = "a", fr = "b"}',
        'path = "x.csv"\ncolumns = ["en", "fr"]',
        'path = "x.tmx"\nformat = "tmx"\nlanguages = {en = "en-US", fr = "FR"}',
        'path = "x.jsonl"\nformat = "jsonl"',
    )
    found = [texts(made, corpus) for corpus in made.corpora]
    assert found[0] == {"eng_Latn": ["one", "two"], "spa_Latn": ["un", "deux"]}
    assert found[1] == {"eng_Latn": ["one"], "fra_Latn": ["un"]}
    assert found[2] == {"eng_Latn": ["a", "one"], "fra_Latn": ["b", "un"]}
    assert found[3] == found[4] == {"eng_Latn": ["one", "two"], "fra_Latn": ["un", "deux"]}
    assert [type(corpus.kind) for corpus in made.corpora[1:]] == [Csv, Csv, Tmx, JsonLines]


def test_a_broken_file_is_named_when_the_manifest_is_read(tmp_path: Path) -> None:
    put(tmp_path / "x.gz", b"no gzip")
    with pytest.raises(FormatError, match=r"x\.gz: cannot be unpacked"):
        loaded(tmp_path, 'path = "x.gz"')
    with pytest.raises(ConfigError, match=r"missing y\.tmx; looked in"):
        loaded(tmp_path, 'path = "y.tmx"')


def test_preparing_what_was_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    english, french = (lines(code, range(90)) for code in ("eng_Latn", "fra_Latn"))
    both = list(zip(english, french, strict=True))
    put(tmp_path / "x.tmx.gz", PACKED[".gz"](tmx(both[:60])))
    put(tmp_path / "x.jsonl", jsonl(both[60:]) + b'{"t": {"en": "no partner"}}\n')
    path = written(tmp_path, 'path = "x.tmx.gz"', 'path = "x.jsonl"')
    store = prepare(config(path), tmp_path / "out")
    assert store.size(Direction("eng_Latn", "fra_Latn")) == 90
    shown = capsys.readouterr().err
    assert f"{tmp_path}/x.tmx.gz: TMX, 60 rows: eng_Latn 60, fra_Latn 60\n" in shown
    assert "x.jsonl: JSON lines, 31 rows: eng_Latn 31, fra_Latn 30; 1 no t.fr\n" in shown
    (fault,) = (
        f for f in json.loads((store.out / "report.json").read_text())["files"] if f["faults"]
    )
    assert fault["samples"] == [f"{tmp_path}/x.jsonl:31: no t.fr"]


def test_rows_that_are_not_wanted_do_not_count_as_unreadable(tmp_path: Path) -> None:
    pairs = zip(*(lines(code, range(80)) for code in ("eng_Latn", "fra_Latn")), strict=True)
    records = [json.dumps({"en": a, "fr": b, "ok": n % 2}) for n, (a, b) in enumerate(pairs)]
    put(tmp_path / "x.jsonl", "\n".join([*records, "{broken", ""]).encode())
    path = written(tmp_path, 'path = "x.jsonl"\nwhere = {ok = 1}')
    store = prepare(config(path), tmp_path / "out")
    for column in json.loads((store.out / "report.json").read_text())["columns"]:
        assert column["dropped"] == {"left_out": 40, "unreadable": 1}
        assert (column["in"], column["kept"]) == (81, 40)


def test_a_folder_of_datasets_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    put(tmp_path / "in" / "a.jsonl", jsonl(PAIRS))
    columns = 'format = "datasets"\ncolumns = {en = "t.en", fr = "t.fr"}'
    made = loaded(tmp_path, f'path = "in"\n{columns}')
    (item,) = inputs(made, made.corpora, ["eng_Latn", "fra_Latn"])
    before = look(item)
    assert (before.rows, before.present) == (2, (2, 2))
    assert unchanged(item, before)
    put(tmp_path / "in" / "b.jsonl", jsonl(PAIRS))
    assert not unchanged(item, before)
    assert look(item).sha256 != before.sha256
    hub = 'dataset = {hub = "a/b", revision = "x"}'
    made = loaded(tmp_path, f"{hub}\n{columns}")
    with pytest.raises(FormatError, match=r"a/b: give its revision"):
        look(*inputs(made, made.corpora, ["eng_Latn", "fra_Latn"]))
    with pytest.raises(ConfigError, match="did you mean 'revision'"):
        loaded(tmp_path, f'dataset = {{revison = "x"}}\npath = "in"\n{columns}')
