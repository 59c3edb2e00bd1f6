"""Every format, in every packing and archive, is read to the same rows; any texts survive."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_made import FORMATS, PACKED, Pairs, arrow_file, put, rows, tarred, tsv, zipped

from m4nmt.data.formats import Faults, FormatError, Source
from m4nmt.data.read import unpack
from m4nmt.data.read.recognise import recognise
from m4nmt.data.read.types import Columnar, Csv, Dataset, JsonLines, Lines, Tsv

PAIRS = [
    ("Hello, world", "Bonjour le monde"),
    ('say "hi"', "dis « salut »"),
    ("line\u2028separators\x85in\x0bside", "a\u2029b\x0cc"),
    ("", "no source"),
    (" <b>&amp; ünï 中文 🙂 ", "\\n is no line end"),
    ("x" * 5000, "y"),
    ("last", "dernier"),
]
XML = [(a.replace("\x0b", "").replace("\x0c", ""), b.replace("\x0c", "")) for a, b in PAIRS]


def pairs_for(form: str) -> Pairs:
    if form.startswith(("tmx", "xliff")):
        return XML
    return [pair for pair in PAIRS if all(pair)] if form == "po" else PAIRS


def wanted(form: str, pairs: Pairs) -> list[tuple[str | None, ...]]:
    return [(a,) if form.startswith("lines") else (a, b) for a, b in pairs]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("place", ["alone", "zip", "tar", "tar packed"])
def test_every_format_packing_and_archive(
    form: str, suffix: str, place: str, tmp_path: Path
) -> None:
    write, kind, fields, ending = FORMATS[form]
    pairs = pairs_for(form)
    data, name = PACKED[suffix](write(pairs)), f"x.{ending}{suffix}"
    if place == "zip":
        data, name = zipped(name, data), "x.zip"
    elif place == "tar":
        data, name = tarred(name, data), "x.tar"
    elif place == "tar packed":
        data, name = PACKED[suffix](tarred(f"x.{ending}", write(pairs))), f"x.tar{suffix}"
    path = put(tmp_path / name, data)
    faults = Faults()
    assert rows(Source(path, fields, kind), faults) == wanted(form, pairs)
    assert not faults.counts
    assert type(recognise(Source(path)).kind) is (Tsv if form == "csv with tabs" else type(kind))
    if place != "alone":
        members = unpack.members(path)
        assert len(members) == 2
        assert rows(Source(path, fields, kind, members[1])) == wanted(form, pairs)


TEXT = st.text(
    st.one_of(
        st.sampled_from("ab \t\\\"',;<>&|#~\r\x0b\x0c\x1c\x85\u2028\u2029\u200d🙂"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\n\0\ufeff\ufdd0"),
    ),
    max_size=12,
)
FORBIDDEN = {chr(c) for c in range(32)} - set("\t\r") | {"\ufffe", "\uffff"}


def possible(form: str, text: str) -> str:
    """The text without what a format has no way to write."""
    if form.startswith(("tmx", "xliff")):
        return "".join(letter for letter in text if letter not in FORBIDDEN)
    if form == "tsv":
        text = text.replace("\t", "")
    return text.rstrip("\r") if form.startswith(("lines", "tsv")) else text


@pytest.mark.parametrize("form", FORMATS)
@given(given_pairs=st.lists(st.tuples(TEXT, TEXT), max_size=8), chunk=st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_any_texts_survive(
    form: str, chunk: int, tmp_path_factory: pytest.TempPathFactory, given_pairs: Pairs
) -> None:
    write, kind, fields, ending = FORMATS[form]
    pairs: Pairs = [(possible(form, a), possible(form, b)) for a, b in given_pairs]
    pairs = [pair for pair in pairs if pair[0] or form != "po"]
    path = put(tmp_path_factory.mktemp("any") / f"x.{ending}", write(pairs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpack, "CHUNK", chunk)
        assert rows(Source(path, fields, kind)) == wanted(form, pairs)


def test_line_ends_in_records_become_spaces(tmp_path: Path) -> None:
    path = put(tmp_path / "x.jsonl", b'{"en": "a\\nb", "fr": "c\\r\\nd"}\n')
    assert rows(Source(path, ("en", "fr"), JsonLines())) == [("a b", "c d")]
    path = put(tmp_path / "x.csv", b'en,fr\n"a\r\nb","c\n\nd"\ne,f\n')
    assert rows(Source(path, ("en", "fr"), Csv(header=True))) == [("a b", "c  d"), ("e", "f")]


def test_only_rows_that_are_asked_for(tmp_path: Path) -> None:
    made = b"lang\ten\tx\nfr\ta\tb\nde\tc\td\nfr\te\tf\n"
    path = put(tmp_path / "x.tsv", made)
    faults = Faults()
    source = Source(path, ("en", "x"), Tsv(header=True), where=(("lang", "fr"),))
    assert rows(source, faults) == [("a", "b"), (None, None), ("e", "f")]
    assert faults.counts == {"left out: not lang = fr": 1}
    with pytest.raises(FormatError, match=r"x\.tsv: has no column 'es'; its header has 'lang', "):
        rows(Source(path, ("en", "es"), Tsv(header=True)))


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet", "folder"])
def test_datasets(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", tmp_path / "cache")
    pairs = [("a\u2028b", "c"), ("d", ""), ("e", "f")]
    records = datasets.Dataset.from_list([{"t": {"en": a, "fr": b}} for a, b in pairs])
    path = tmp_path / name
    if name == "folder":
        records.save_to_disk(str(path))
    elif name == "x.jsonl":
        records.to_json(str(tmp_path / "in" / name))
        path = tmp_path / "in"
    else:
        records.to_parquet(str(tmp_path / "in" / name))
        path = tmp_path / "in"
    assert rows(Source(path, ("t.en", "t.fr"), Dataset())) == pairs
    with pytest.raises(FormatError, match=r"has no column 't\.de'; it has 't'"):
        rows(Source(path, ("t.en", "t.de"), Dataset()))


def test_datasets_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"a/b: give its revision, the commit of 40"):
        rows(Source(tmp_path, ("en",), Dataset(hub="a/b")))
    with pytest.raises(FormatError, match=r"none \(train\): `datasets` cannot read it: "):
        rows(Source(tmp_path / "none", ("en",), Dataset()))


def test_the_hub_is_streamed_at_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def load(*args: object, **options: object) -> list[dict[str, str]]:
        asked.append((args, options))
        return [{"en": "a", "fr": "b"}]

    monkeypatch.setattr(datasets, "load_dataset", load)
    kind = Dataset(hub="a/b", config="en-fr", split="dev", revision="0" * 40)
    assert rows(Source(tmp_path, ("en", "fr"), kind)) == [("a", "b")]
    options = {"split": "dev", "revision": "0" * 40, "streaming": True}
    assert asked == [(("a/b", "en-fr"), options)]


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = put(tmp_path / "x.arrow", arrow_file([("a", "b")]))
    with pytest.raises(FormatError, match=r"no column 'translation\.de'; it has 'translation', "):
        rows(Source(path, ("translation.en", "translation.de"), Columnar()))
    path = put(tmp_path / "x.tsv", tsv([("a", "b")]))
    with pytest.raises(FormatError, match=r"x\.tsv: has no column 'en'; it has no header"):
        rows(Source(path, ("en",), Tsv()))


def test_misnamed_packings_are_read_by_their_bytes(tmp_path: Path) -> None:
    path = put(tmp_path / "x.txt", PACKED[".zst"](b"a\nb\n"))
    assert rows(Source(path)) == [("a",), ("b",)]
    assert isinstance(recognise(Source(path)).kind, Lines)
