"""Manifests: what they say, where their files are, and what is refused."""

import re
from pathlib import Path

import pytest
from data_made import lines, manifest, write_lines

from m4nmt.core.config import ConfigError
from m4nmt.core.files import sha256_file
from m4nmt.data.formats import FormatError
from m4nmt.data.manifest import find, load, names, on_disk, parse
from m4nmt.data.preparing.inputs import inputs, look
from m4nmt.data.read.types import Tsv

TABLE = """
[[corpus]]
name = "t"
split = "train"
format = "tsv"
path = "t.tsv"
columns = ["en", "", "sw"]
header = true
"""


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "m.toml"
    path.write_text(text)
    return path


OURS = ("bible100", "multi30k", "seed", "tico19")
OTHERS = {
    "ccmatrix": 76,
    "ebible": 96,
    "flores200": 204,
    "multi30k-original": 4,
    "news-commentary": 11,
    "ntrex128": 122,
    "opus100": 99,
    "ted2020": 92,
    "tico19-original": 36,
    "wmt": 9,
}


def test_shipped_manifests() -> None:
    assert set(names()) == {*OURS, *OTHERS}
    for name in names():
        found = parse(find(name))
        assert found.name == name
        assert found.license
        assert found.url.startswith("https://")
    for name in OURS:
        for corpus in parse(find(name)).corpora:
            assert set(corpus.files.values()) == set(corpus.sha256)


@pytest.mark.parametrize(("name", "languages"), OTHERS.items())
def test_every_file_of_a_manifest_that_can_be_fetched_is_fetched(name: str, languages: int) -> None:
    found = parse(find(name))
    assert len({code for corpus in found.corpora for code in corpus.languages}) == languages
    wanted = {file for corpus in found.corpora for file in on_disk(corpus)}
    assert {item.file for item in found.fetches} == wanted
    assert len(found.fetches) == len(wanted)
    for item in found.fetches:
        pinned = re.fullmatch("[0-9a-f]{40}", item.dataset.get("revision", ""))
        assert item.url.startswith("https://") or (item.dataset["hub"] and pinned)
        assert not item.sha256 or re.fullmatch("[0-9a-f]{64}", item.sha256)


def test_test_sets_are_no_training_text() -> None:
    for name in ("flores200", "ntrex128", "tico19", "tico19-original"):
        assert not parse(find(name)).of("train")


def test_one_table_for_each(tmp_path: Path) -> None:
    text = """
    [[corpus]]
    name = "c-{x}"
    split = "train"
    format = "moses"
    path = "{x}.{lang}"
    languages = {en = "en", "{x}" = "{x}"}
    each = [{x = "de"}, {x = "fr"}]
    [[fetch]]
    file = "{x}.{x}"
    url = "https://example.org/{x}"
    each = [{x = "de"}]
    """
    found = parse(write(tmp_path, text))
    assert [corpus.key for corpus in found.corpora] == ["c-de.train", "c-fr.train"]
    assert dict(found.corpora[1].files) == {"eng_Latn": "fr.en", "fra_Latn": "fr.fr"}
    assert [(item.file, item.url) for item in found.fetches] == [
        ("de.de", "https://example.org/de")
    ]
    with pytest.raises(ConfigError, match="each is a list of tables"):
        parse(write(tmp_path, text.replace('{x = "de"}]', '"de"]')))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('file = "../x"\nurl = "https://e.org/x"', "path below the folder"),
        ('file = "/x"\nurl = "https://e.org/x"', "path below the folder"),
        ('file = "x"\nurl = "http://e.org/x"', "begin with https"),
        ('file = "x"\nurl = "file:///x"', "begin with https"),
        ('file = "x"\nurl = "http://localhost.e.org/x"', "begin with https"),
        ('file = "x"', "either url or dataset"),
        ('file = "x"\ndataset = {config = "a"}', "dataset is a table"),
        ('file = "x"\nurl = "https://e.org/x"\nsha256 = "aa00"', "has 64 hexadecimal digits"),
        ('file = "x"\nurl = "https://e.org/x"\nsize = "big"', "size is a whole number, not 'big'"),
    ],
)
def test_wrong_fetches(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, TABLE + f"[[fetch]]\n{line}\n")
    with pytest.raises(ConfigError, match=message):
        parse(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("corpus = [1]", r"corpus 1: is not a table but 1"),
        ('corpus = "x"', r"corpus is written \[\[corpus\]\]"),
        ("fetch = 3\n" + TABLE, r"fetch is written \[\[fetch\]\], once for each, not 3"),
        ("license = 3\n" + TABLE, "license is a text, not 3"),
        (TABLE + 'synthetic = "de"\n', "synthetic is a list of languages"),
        (TABLE + 'licenses = "x"\n', "licenses is a table"),
        (TABLE + 'sha256 = "abc"\n', "sha256 is a table"),
        (TABLE + 'lines = "many"\n', "lines is a whole number, not 'many'"),
        (TABLE + 'each = "de"\n', "each is a list of tables"),
    ],
)
def test_values_of_a_wrong_kind(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(write(tmp_path, text))


@pytest.mark.parametrize("name", ["bible100", "multi30k", "seed", "tico19"])
def test_shipped_manifests_fit_the_real_files(name: str, shared_data: Path) -> None:
    found = load(name, str(shared_data))
    assert found.corpora
    for corpus in found.corpora:
        code = corpus.languages[0]
        item = next(i for i in inputs(found, [corpus], [code]))
        assert look(item).rows == corpus.lines  # checks the hash too
    for corpus in found.corpora[:1]:
        for file, digest in corpus.sha256.items():
            assert sha256_file(found.root / file) == digest


def test_a_table(tmp_path: Path) -> None:
    write_lines(tmp_path / "t.tsv", ["english\tsource\tswahili", "a\tb\tc"])
    (corpus,) = load(str(write(tmp_path, TABLE))).corpora
    assert corpus.languages == ("eng_Latn", "swh_Latn")
    assert dict(corpus.fields) == {"eng_Latn": 0, "swh_Latn": 2}
    assert corpus.kind == Tsv(width=3, header=True)
    assert corpus.key == "t.train"


def test_file_names_may_use_other_codes(tmp_path: Path) -> None:
    write_lines(tmp_path / "x.en", ["a"])
    write_lines(tmp_path / "x.pt_br", ["a"])
    text = """
    [[corpus]]
    name = "x"
    split = "train"
    format = "moses"
    path = "x.{lang}"
    languages = {en = "en", pt-BR = "pt_br"}
    """
    (corpus,) = load(str(write(tmp_path, text))).corpora
    assert dict(corpus.files) == {"eng_Latn": "x.en", "por_Latn": "x.pt_br"}


def test_where_files_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("M4NMT_DATA", raising=False)
    text = 'folder = "made"\n' + TABLE
    path = write(tmp_path / "here", text)
    for place in ("here", "env", "given"):
        write_lines(tmp_path / place / "made" / "t.tsv", ["a\tb\tc"])
    assert load(str(path)).root == tmp_path / "here" / "made"
    monkeypatch.setenv("M4NMT_DATA", str(tmp_path / "env"))
    assert load(str(path)).root == tmp_path / "env" / "made"
    assert load(str(path), str(tmp_path / "given")).root == tmp_path / "given" / "made"
    (tmp_path / "env" / "made" / "t.tsv").unlink()
    assert load(str(path)).root == tmp_path / "here" / "made"


def test_missing_files_say_which_where_and_how_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M4NMT_DATA", str(tmp_path / "corpora"))
    with pytest.raises(ConfigError) as caught:
        load("multi30k")
    message = str(caught.value)
    assert "missing train.eng_Latn.txt.xz and 14 more" in message
    assert str(tmp_path / "corpora" / "multi30k") in message
    assert "M4NMT_DATA" in message
    assert "data.root" in message


def test_a_wrong_hash_is_refused_naming_the_file(tmp_path: Path) -> None:
    write_lines(tmp_path / "t.tsv", ["a\tb\tc"])
    digest = sha256_file(tmp_path / "t.tsv")
    good = load(str(write(tmp_path, TABLE + f'[corpus.sha256]\n"t.tsv" = "{digest}"\n')))
    (item,) = inputs(good, good.corpora, ["eng_Latn"])
    assert look(item).sha256 == digest
    write_lines(tmp_path / "t.tsv", ["a\tb\td"])
    with pytest.raises(FormatError, match=r"t\.tsv: its sha256 is .* the manifest says"):
        look(item)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("split =", "splt ="), "did you mean 'split'"),
        (('"train"', '"tran"'), "did you mean 'train'"),
        (('"tsv"', '"tvs"'), "did you mean 'tsv'"),
        (('"sw"', '"en"'), "same language"),
        (('"sw"', '"xq"'), "unknown language"),
        (('columns = ["en", "", "sw"]', ""), "give columns"),
        (('name = "t"', ""), "'name' is missing"),
        (("[[corpus]]", "[[corpus"), "not TOML"),
        (('path = "t.tsv"', 'path = "t.tsv"\npairs = "some"'), "pairs is"),
    ],
)
def test_wrong_manifests(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    write_lines(tmp_path / "t.tsv", ["a\tb\tc"])
    assert change[0] in TABLE
    path = write(tmp_path, TABLE.replace(*change))
    with pytest.raises(ConfigError, match=message):
        load(str(path))


def test_two_corpora_of_one_name_are_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "t.tsv", ["a\tb\tc"])
    with pytest.raises(ConfigError, match=r"two corpora are called t\.train"):
        load(str(write(tmp_path, TABLE * 2)))


def test_unknown_manifests_get_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'multi30k'"):
        load("multi30")
    with pytest.raises(ConfigError, match=r"path of a \.toml file"):
        load("../multi30k")


def test_pairs_may_be_left_out(tmp_path: Path) -> None:
    codes = ("eng_Latn", "deu_Latn", "fra_Latn")
    path = manifest(tmp_path, {"c.train": {code: lines(code, [1, 2]) for code in codes}})
    path.write_text(path.read_text() + 'pairs = ["eng_Latn-*"]\n')
    (corpus,) = load(str(path)).corpora
    assert corpus.allows("deu_Latn", "eng_Latn")
    assert corpus.allows("eng_Latn", "deu_Latn")
    assert not corpus.allows("deu_Latn", "fra_Latn")
    assert corpus.license == "CC0-1.0"
