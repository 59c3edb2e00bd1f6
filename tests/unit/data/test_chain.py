"""The chain through `prepare`: counts add up, order and workers change nothing; the report."""

import dataclasses
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_made import config, manifest, tree
from filters_made import sentence

from m4nmt.core.config import ConfigError, canonical_json, from_dict, override, to_dict
from m4nmt.data import prepare
from m4nmt.data.filters import settings as filters
from m4nmt.data.filters import view
from m4nmt.data.filters.settings import FilterChain
from m4nmt.data.preparing import clean, report_page, tally
from m4nmt.data.settings import BlockConfig, DataConfig, FilterConfig
from m4nmt.data.store import Store

ONE, TWO, THREE = "aaa_Latn", "bbb_Latn", "rus_Cyrl"
_NAMES = {ONE: "one", TWO: "two", THREE: "three"}
# The languages are made up: nothing can be said of their scripts' real users.
CHAIN = FilterChain(
    lines=tuple(one for one in FilterChain().lines if type(one) is not filters.WrongLanguage)
)


def long_line(name: str) -> str:
    return " ".join(sentence(n, name) for n in (90_001, 90_003))


def noisy(folder: Path, rows: int = 420) -> DataConfig:
    """Two training corpora and a dev set in three languages, with every kind of noise."""
    text = {code: [sentence(n, name) for n in range(rows)] for code, name in _NAMES.items()}
    text[ONE][5] = "<b>" + text[ONE][5]
    text[TWO][6] = text[TWO][6] + "\x01"
    text[THREE][7] = text[ONE][7]
    text[TWO][8] = text[ONE][8]
    text[ONE][9] = ""
    text[TWO][10] = "ba be bi " * 20
    text[TWO][11] = text[TWO][11][:9]
    text[TWO][12] = text[TWO][12] + " Ã©tÃ©"
    for code, name in _NAMES.items():
        text[code][20] = text[code][30]
        text[code][40] = text[code][50].replace(".", " so")
        text[code][60] = sentence(90_000, name)
        text[code][61] = long_line(name) + " so"
        text[code][13] += " 123"
        text[code][310] = text[code][13]
    text[ONE][13] += "456"  # dropped for its numbers, so that row 310 is nobody's duplicate
    text[THREE][100:130] = text[THREE][101:131]
    dev = {code: [sentence(90_000, name), long_line(name)] for code, name in _NAMES.items()}
    second = {code: [sentence(n, _NAMES[code]) for n in range(390, 450)] for code in (ONE, TWO)}
    path = manifest(folder, {"c.train": text, "d.train": second, "c.dev": dev})
    return dataclasses.replace(config(path), filters=CHAIN, blocks=BlockConfig(max_length=220))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataConfig, Path]:
    folder = tmp_path_factory.mktemp("noisy")
    settings = noisy(folder)
    return settings, prepare.prepare(settings, folder / "out").out


def report(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return found


def test_counts_add_up(made: tuple[DataConfig, Path]) -> None:
    _, out = made
    found = report(out)
    store = Store.open(out)
    for item in [*found["columns"], *found["pairs"]]:
        assert item["in"] == item["kept"] + sum(item["dropped"].values())
        assert all(count > 0 for count in item["dropped"].values())
    by_direction = {str(d): store.size(d) for d in store.directions}
    for pair in {item["pair"] for item in found["pairs"]}:
        kept = sum(
            i["kept"] for i in found["pairs"] if i["pair"] == pair and "dev" not in i["corpus"]
        )
        assert by_direction[pair] == kept
    columns = {(i["corpus"], i["language"]): i for i in found["columns"]}
    first = columns["c.train", ONE]
    assert sum(first["lengths"]) == first["in"] == 420
    assert first["scripts"]["LATIN"] > 5000


def test_each_kind_is_counted_under_its_name(made: tuple[DataConfig, Path]) -> None:
    found = report(made[1])
    columns = {(i["corpus"], i["language"]): i["dropped"] for i in found["columns"]}
    assert columns["c.train", ONE]["markup"] == 1
    assert columns["c.train", TWO]["controls"] == 1
    assert columns["c.train", TWO]["repetition"] == 1
    assert columns["c.train", TWO]["mojibake"] == 1
    assert columns["c.train", THREE]["wrong_script"] == 1
    for code in _NAMES:
        assert columns["c.train", code]["overlap"] == 1
        assert columns["c.train", code]["partial_overlap"] == 1
    pairs = {(i["corpus"], i["pair"]): i["dropped"] for i in found["pairs"]}
    dropped = pairs["c.train", f"{ONE}-{TWO}"]
    assert dropped["identical"] == dropped["duplicates"] == dropped["near_duplicates"] == 1
    assert dropped["numbers"] == 1
    assert pairs["d.train", f"{ONE}-{TWO}"]["duplicates"] == 30
    assert any("alignment" in i["learned"] for i in found["pairs"])
    assert found["samples"]["c.train"]["partial_overlap"][0].startswith(f"{ONE} 62: ")
    # A test set is never filtered.
    assert "c.dev" not in {i["corpus"] for i in found["pairs"] if i["dropped"]}


def test_a_language_leaks_through_another(tmp_path: Path) -> None:
    """The dev set has two of the three languages; rows that hold its lines in either are gone."""
    text = {code: [sentence(n, name) for n in range(60)] for code, name in _NAMES.items()}
    text[ONE][3] = sentence(500, "one")
    text[TWO][4] = sentence(501, "two")[:-1] + " zu"
    dev = {code: [sentence(n, _NAMES[code]) for n in (500, 501, 502)] for code in (ONE, TWO)}
    # Of a dev line that no batch can hold training lines may still hold a part.
    dev[TWO][2] = " ".join(
        [sentence(501, "two")[:-1], *(sentence(n, "two") for n in range(600, 620))]
    )
    dev[TWO][1] = sentence(502, "two")
    path = manifest(tmp_path, {"c.train": text, "c.dev": dev})
    chain = FilterChain(lines=(), rows=(filters.Overlap(), filters.PartialOverlap(n=3)), pairs=())
    settings = dataclasses.replace(config(path), filters=chain, blocks=BlockConfig(max_length=160))
    out = prepare.prepare(settings, tmp_path / "out").out
    columns = {i["language"]: i["dropped"] for i in report(out)["columns"] if i["in"] == 60}
    # Also in the language that the dev set does not have.
    assert columns[THREE] == columns[ONE] == {"overlap": 1, "partial_overlap": 1}


def test_order_changes_no_row(made: tuple[DataConfig, Path], tmp_path: Path) -> None:
    settings, out = made
    draw = random.Random(4)
    shuffled = [list(part) for part in (CHAIN.lines, CHAIN.rows, CHAIN.pairs)]
    for part in shuffled:
        draw.shuffle(part)
    other = FilterChain(lines=tuple(shuffled[0]), rows=tuple(shuffled[1]), pairs=tuple(shuffled[2]))
    assert other.pairs != CHAIN.pairs
    mixed = prepare.prepare(dataclasses.replace(settings, filters=other), tmp_path / "out").out
    for name in sorted(path.name for path in out.glob("store/*")):
        if ".keep" in name or ".pairs" in name:
            assert (mixed / "store" / name).read_bytes() == (out / "store" / name).read_bytes()
    totals = [sum(i["kept"] for i in report(o)["pairs"]) for o in (out, mixed)]
    assert totals[0] == totals[1]
    names = [{n for i in report(o)["pairs"] for n in i["dropped"]} for o in (out, mixed)]
    assert "alignment" in names[0] | names[1]


def test_workers_and_blocks_change_nothing(
    made: tuple[DataConfig, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, out = made
    monkeypatch.setattr(prepare, "_SMALL", 0)
    monkeypatch.setattr(tally, "_BLOCK", 32)
    monkeypatch.setattr(view, "BLOCK", 32)
    again = prepare.prepare(settings, tmp_path / "out", workers=3).out
    # The ledger tells when each file was done.
    ours, theirs = (
        {name: data for name, data in tree(one).items() if "ledger" not in name}
        for one in (out, again)
    )
    assert ours == theirs


def test_a_second_run_makes_nothing(made: tuple[DataConfig, Path]) -> None:
    settings, out = made
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    prepare.prepare(settings, out)
    (out / "store" / "store.json").unlink()
    prepare.prepare(settings, out)
    for path, time in before.items():
        if path.suffix in (".features", ".arrow"):
            assert path.stat().st_mtime_ns == time or ".keep" in path.name or ".pairs" in path.name


def test_changed_filters_reach_what_was_encoded(tmp_path: Path) -> None:
    settings = noisy(tmp_path, rows=320)
    few = dataclasses.replace(CHAIN, pairs=(filters.Numbers(),))
    lengths = (filters.MaxChars(), filters.MaxTokens())
    fewer = dataclasses.replace(few, lines=(*lengths, filters.Mojibake()))
    for chain, names in ((few, {"markup", "mojibake"}), (fewer, {"mojibake"})):
        out = prepare.prepare(dataclasses.replace(settings, filters=chain), tmp_path / "out").out
        dropped = {name for item in report(out)["columns"] for name in item["dropped"]}
        assert names == dropped & {"markup", "mojibake"}


def test_the_page_opens_and_holds_the_numbers(made: tuple[DataConfig, Path]) -> None:
    found = report(made[1])
    page = (made[1] / "report.html").read_text(encoding="utf-8")
    assert page == report_page.to_html(found)
    assert not re.search(r"https?:", page)
    text = re.sub(r"<[^>]+>", " ", page)
    for item in found["pairs"]:
        row = f"{item['corpus']} {item['pair']} {item['in']:,} {item['kept']:,}"
        assert row in re.sub(r"\s+", " ", text)
    assert "<script" not in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page  # samples are text, not markup
    # The shifted stretch of one language is suspected in both its pairs, and shown.
    suspected = {i["pair"]: i["regions"] for i in found["pairs"] if "regions" in i}
    assert set(suspected) == {f"{ONE}-{THREE}", f"{TWO}-{THREE}"}
    for (region,) in suspected.values():
        assert abs(region["first"] - 101) <= 3
        assert abs(region["last"] - 130) <= 3
        assert f"rows {region['first']} to {region['last']}" in page
    less = [{k: v for k, v in i.items() if k != "regions"} for i in found["pairs"]]
    assert "No region of any file is suspected" in report_page.to_html({**found, "pairs": less})
    plain = [{k: v for k, v in i.items() if k != "learned"} for i in less]
    assert "Not looked for" in report_page.to_html({**found, "pairs": plain})


def test_the_default_is_what_it_was() -> None:
    """Hashes of recipes and stores rest on this spelling; it may only change on purpose."""
    assert canonical_json(FilterConfig()) == (
        '{"duplicates":true,"identical":true,"kind":"FilterConfig","max_chars":2000,'
        '"max_ratio":3.0,"max_tokens":250,"overlap":true}'
    )
    assert DataConfig(manifest="x").filters == FilterConfig()
    assert clean.chain(FilterConfig()) == FilterChain(
        lines=(filters.MaxChars(most=2000), filters.MaxTokens(most=250)),
        rows=(filters.Overlap(),),
        pairs=(filters.Identical(), filters.MaxRatio(most=3.0), filters.Duplicates()),
    )
    off = FilterConfig(
        max_chars=0, max_tokens=0, max_ratio=0, identical=False, duplicates=False, overlap=False
    )
    assert clean.chain(off) == FilterChain(lines=(), rows=(), pairs=())


def test_chains_are_set_from_the_command_line() -> None:
    data = DataConfig(manifest="x")
    thorough = override(data, ["filters=FilterChain"])
    assert thorough.filters == FilterChain()
    changed = override(data, ["filters=FilterChain", "filters.pairs.5.least=0.9"])
    assert isinstance(changed.filters, FilterChain)
    assert filters.Alignment(least=0.9) in changed.filters.pairs
    assert from_dict(DataConfig, to_dict(changed)) == changed
    own = override(data, ["filters=FilterChain", 'filters.lines=[{"kind":"Links","most":0.2}]'])
    assert own.filters == FilterChain(lines=(filters.Links(most=0.2),))
    named = override(data, ["filters=FilterChain", "filters.pairs.Alignment.least=0.9"])
    assert named == changed
    with pytest.raises(
        ConfigError, match=r"'Aligment' is not an index of 8 items \(or \*, Identical"
    ):
        override(data, ["filters=FilterChain", "filters.pairs.Aligment.least=0.9"])
    with pytest.raises(ConfigError, match="did you mean 'Links'"):
        override(data, ["filters=FilterChain", 'filters.lines=[{"kind":"Link"}]'])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("max_chars=-1", r"filters: need max_chars"),
        ("max_ratio=0.5", r"max_ratio >= 1"),
        ("lines.Digits.most=50", r"filters\.lines\[6\]: need 0 <= most <= 1"),
        ("lines.Repetition.n=0", r"need n >= 1"),
        ("lines.WrongLanguage.sure=98", r"need 0 <= sure <= 1"),
        ("rows.PartialOverlap.least=0", r"0 < least <= 1"),
        ("pairs.MaxRatio.most=0.3", r"need most >= 1"),
        ("pairs.UnusualRatio.most=-1", r"need most > 0"),
        ("pairs.Alignment.least=1.9", r"filters\.pairs\[5\]: need least and region in 0 to 1"),
        ("pairs.Alignment.window=0", r"need sample >= 1 and window >= 1"),
        ("pairs.NearDuplicates.least=80", r"need 0 < least <= 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(change: str, message: str) -> None:
    kind = ["filters=FilterChain"] if "." in change.partition("=")[0] else []
    with pytest.raises(ConfigError, match=message):
        override(DataConfig(manifest="x"), [*kind, f"filters.{change}"])


def test_every_filter_has_a_name_under_which_it_is_counted() -> None:
    names = {clean.name(one) for one in (*FilterChain().lines, filters.PackagedLanguage())}
    rows = {clean.name(one) for one in FilterChain().rows}
    given = {"", "unreadable", "empty"}
    assert set(clean.LINE_FILTERS) == given | names | rows
    pairs = {clean.name(one) for one in (*FilterChain().pairs, filters.EmbeddingScore())}
    assert set(clean.PAIR_FILTERS) == {""} | pairs
    assert len(set(clean.LINE_FILTERS)) == len(clean.LINE_FILTERS) < 256
    flags = np.array([clean.OVERLAP, clean.PARTIAL_OVERLAP], np.uint8)
    assert [clean.LINE_FILTERS[i] for i in flags] == ["overlap", "partial_overlap"]
