"""Preparation: every filter counted, directions chosen, formats mixed."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_made import CODES, config, lines, manifest, small, tree, write_lines

from m4nmt.core.config import ConfigError
from m4nmt.data.formats import FormatError
from m4nmt.data.identify import Identifier
from m4nmt.data.prepare import prepare
from m4nmt.data.preparing import tally
from m4nmt.data.settings import BlockConfig, DirectionsConfig, FilterConfig
from m4nmt.data.store import Store
from m4nmt.data.types import Direction

EN_DE = Direction("eng_Latn", "deu_Latn")


def report(out: Path) -> Any:
    return json.loads((out / "report.json").read_text())


def dropped(out: Path, kind: str, name: str) -> dict[str, int]:
    """Drops of the training corpus in one column or pair."""
    key = {"columns": "language", "pairs": "pair"}[kind]
    (item,) = (i for i in report(out)[kind] if i[key] == name and i["corpus"].endswith("train"))
    assert item["kept"] == item["in"] - sum(item["dropped"].values())
    return dict(item["dropped"])


def sources(store: Store, direction: Direction) -> list[str]:
    side, _ = store.examples(direction).tokens(np.arange(store.size(direction)))
    ids = np.split(side.values, side.offsets[1:-1])
    return store.tokenizer.decode([row.tolist() for row in ids])


def test_every_drop_is_counted(tmp_path: Path) -> None:
    text = {code: lines(code, range(100)) for code in CODES}
    text["deu_Latn"][3] = "  "
    text["eng_Latn"][4] = "ga " * 900  # too many characters
    text["eng_Latn"][5] = "12345678 " * 30  # few characters, many pieces
    text["deu_Latn"][6] = text["eng_Latn"][6].upper()  # a copy
    text["fra_Latn"][7] = "uy"  # far too short
    for code in ("deu_Latn", "eng_Latn"):
        text[code][50] = text[code][10]  # the same pair again, but not in French
    for code in CODES:
        text[code][60] = text[code][11]  # the same row again
    text["fra_Latn"][20] = lines("fra_Latn", [1003])[0].upper()  # known from the dev set
    path = manifest(
        tmp_path,
        {
            "c.train": text,
            "c.dev": {code: lines(code, range(1000, 1010)) for code in CODES},
        },
    )
    store = prepare(config(path), tmp_path / "out")
    out = store.out
    assert dropped(out, "columns", "deu_Latn") == {"empty": 1, "overlap": 1}
    assert dropped(out, "columns", "fra_Latn") == {"overlap": 1}
    assert dropped(out, "columns", "eng_Latn") == {"max_chars": 1, "max_tokens": 1, "overlap": 1}
    assert dropped(out, "pairs", "deu_Latn-eng_Latn") == {"identical": 1, "duplicates": 2}
    assert dropped(out, "pairs", "eng_Latn-fra_Latn") == {"max_ratio": 1, "duplicates": 1}
    assert store.size(EN_DE) == 100 - 4 - 3
    left = set(range(100)) - {3, 4, 5, 6, 20, 50, 60}
    assert sources(store, EN_DE) == [text["eng_Latn"][row] for row in sorted(left)]
    samples = report(out)["samples"]["c.train"]
    assert samples["overlap"] == [f"fra_Latn 21: {text['fra_Latn'][20]}"]
    assert samples["identical"][0].startswith("deu_Latn-eng_Latn 7: ")
    columns = report(out)["columns"]
    (eng,) = (i for i in columns if i["language"] == "eng_Latn" and i["corpus"] == "c.train")
    assert eng["samples"]["max_chars"][0].startswith("5: ga ga")


def test_each_filter_can_be_turned_off(tmp_path: Path) -> None:
    text = {code: lines(code, range(40)) for code in CODES[:2]}
    text["deu_Latn"][6] = text["eng_Latn"][6]
    text["deu_Latn"][7] = "io"
    for code in text:
        text[code][8] = text[code][9]
        text[code][10] = lines(code, [1000])[0]
    corpora = {"c.train": text, "c.dev": {code: lines(code, [1000]) for code in text}}
    path = manifest(tmp_path, corpora)
    off = FilterConfig(
        max_chars=0, max_tokens=0, max_ratio=0, identical=False, duplicates=False, overlap=False
    )
    assert prepare(config(path, filters=off), tmp_path / "out").size(EN_DE) == 40
    assert prepare(config(path), tmp_path / "out").size(EN_DE) == 36
    for name, value in {
        "max_ratio": 0,
        "identical": False,
        "duplicates": False,
        "overlap": False,
    }.items():
        filters = dataclasses.replace(FilterConfig(), **{name: value})
        assert prepare(config(path, filters=filters), tmp_path / "out").size(EN_DE) == 37


def test_duplicates_across_corpora(tmp_path: Path) -> None:
    both = {
        f"{name}.train": {code: lines(code, rows) for code in CODES[:2]}
        for name, rows in {"one": range(30), "two": range(20, 50)}.items()
    }
    store = prepare(config(manifest(tmp_path, both)), tmp_path / "out")
    assert store.size(EN_DE) == 50
    assert [store.size(EN_DE, corpus=name) for name in ("one", "two")] == [30, 20]


def test_test_sets_are_not_filtered(tmp_path: Path) -> None:
    dev = {code: lines(code, range(1000, 1010)) for code in CODES[:2]}
    dev["deu_Latn"][0] = dev["eng_Latn"][0]
    dev["deu_Latn"][1] = "io"
    dev["eng_Latn"][2] = "12345678 " * 30
    path = manifest(
        tmp_path, {"c.train": {code: lines(code, range(60)) for code in CODES[:2]}, "c.dev": dev}
    )
    store = prepare(config(path), tmp_path / "out")
    assert store.text(EN_DE, "dev") == (dev["eng_Latn"], dev["deu_Latn"])
    assert store.size(EN_DE, "dev") == 9  # the one that no batch can hold has no example


def test_directions_of_a_recipe(tmp_path: Path) -> None:
    path = small(tmp_path)
    out = tmp_path / "out"
    centric = DirectionsConfig(pairs="centric", centre="en", held_out=("de-fr", "fra_Latn-eng_*"))
    store = prepare(config(path, centric), out)
    assert [str(d) for d in store.directions] == [
        "deu_Latn-eng_Latn",
        "eng_Latn-deu_Latn",
        "eng_Latn-fra_Latn",
    ]
    assert [str(d) for d in store.held_out] == ["deu_Latn-fra_Latn", "fra_Latn-eng_Latn"]
    assert len(store.split_directions("dev")) == 5
    only = DirectionsConfig(only=("eng_Latn-*",), languages=("en", "fr"))
    store = prepare(config(path, only), out)
    assert [str(d) for d in store.directions] == ["eng_Latn-fra_Latn"]
    assert store.languages == ("eng_Latn", "fra_Latn")
    assert store.tokenizer.languages == ("eng_Latn", "fra_Latn")
    assert not list(out.glob("store/*deu_Latn*"))
    for wrong, message in (
        (DirectionsConfig(languages=("en", "sw")), "unknown language 'swh_Latn'"),
        (DirectionsConfig(only=("eng_Latn-swh_Latn",)), "unknown language 'swh_Latn'"),
        (DirectionsConfig(only=("english",)), "no direction"),
        (DirectionsConfig(held_out=("*-*",)), "no direction is left to train"),
    ):
        with pytest.raises(ConfigError, match=message):
            prepare(config(path, wrong), out)


def test_blocks_of_rows_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = {code: lines(code, [n % 90 for n in range(120)]) for code in CODES}
    text["deu_Latn"][5:100:9] = text["eng_Latn"][5:100:9]
    text["fra_Latn"][3:110:7] = ["uy"] * len(text["fra_Latn"][3:110:7])
    dev = {code: lines(code, range(40, 45)) for code in CODES}
    settings = config(manifest(tmp_path, {"c.train": text, "c.dev": dev}))
    at_once = tree(prepare(settings, tmp_path / "at_once").out)
    monkeypatch.setattr(tally, "_BLOCK", 16)
    in_blocks = tree(prepare(settings, tmp_path / "in_blocks").out)
    assert dropped(tmp_path / "at_once", "pairs", "deu_Latn-fra_Latn").keys() == {
        "duplicates",
        "max_ratio",
    }
    assert in_blocks == at_once


def test_unequal_columns_are_refused(tmp_path: Path) -> None:
    path = small(tmp_path)
    write_lines(tmp_path / "c" / "train.fra_Latn.txt", lines("fra_Latn", range(113)))
    with pytest.raises(FormatError, match=r"fra_Latn\.txt has 113 lines, .*_Latn\.txt has 120"):
        prepare(config(path), tmp_path / "out")


def test_a_bad_line_is_dropped_on_both_sides(tmp_path: Path) -> None:
    path = small(tmp_path, rows=1200)
    broken = tmp_path / "c" / "train.deu_Latn.txt"
    raw = broken.read_bytes().split(b"\n")
    broken.write_bytes(b"\n".join([*raw[:5], b"\xff\xfe\xfd", *raw[6:]]))
    roomy = dataclasses.replace(config(path), blocks=BlockConfig(max_length=256))
    store = prepare(roomy, tmp_path / "out")
    english = lines("eng_Latn", range(1200))
    assert sources(store, EN_DE) == english[:5] + english[6:]
    assert sources(store, Direction("eng_Latn", "fra_Latn")) == english
    (fault,) = (item for item in report(store.out)["files"] if item["faults"])
    assert fault["faults"] == {"not UTF-8": 1}
    assert fault["samples"] == [f"{broken}:6: not UTF-8"]
    assert dropped(store.out, "columns", "deu_Latn") == {"unreadable": 1}


def test_a_table_and_a_moses_pair(tmp_path: Path) -> None:
    english, german = (lines(code, range(80)) for code in ("eng_Latn", "deu_Latn"))
    table = [f"{i}\t{en}\t{de}" for i, (en, de) in enumerate(zip(english, german, strict=True))]
    table[7] = table[7].replace(" ", "\t", 1)
    write_lines(tmp_path / "t.tsv", ["id\ten\tde", *table[:40]])
    write_lines(tmp_path / "m.en", english[40:])
    write_lines(tmp_path / "m.de", german[40:])
    path = tmp_path / "manifest.toml"
    path.write_text("""
        [[corpus]]
        name = "table"
        split = "train"
        format = "tsv"
        path = "t.tsv"
        columns = ["", "en", "de"]
        header = true
        [[corpus]]
        name = "pair"
        split = "train"
        format = "moses"
        path = "m.{lang}"
        languages = {en = "en", de = "de"}
        """)
    store = prepare(config(path), tmp_path / "out")
    assert sources(store, EN_DE) == english[:7] + english[8:]
    assert sources(store, Direction("deu_Latn", "eng_Latn")) == german[:7] + german[8:]
    (fault,) = (item for item in report(store.out)["files"] if item["faults"])
    assert fault["samples"] == [f"{tmp_path / 't.tsv'}:9: wrong number of columns"]


def test_an_imported_tokenizer(tmp_path: Path) -> None:
    path = small(tmp_path)
    first = prepare(config(path), tmp_path / "one")
    model = tmp_path / "one" / "tokenizer" / "tokenizer.model"
    settings = config(path)
    imported = dataclasses.replace(settings.tokenizer, path=str(model))
    second = prepare(dataclasses.replace(settings, tokenizer=imported), tmp_path / "two")
    assert sources(second, EN_DE) == sources(first, EN_DE)
    absent = dataclasses.replace(settings.tokenizer, path=str(tmp_path / "none.model"))
    with pytest.raises(ConfigError, match=r"there is no file .*none\.model"):
        prepare(dataclasses.replace(settings, tokenizer=absent), tmp_path / "two")


def test_the_identifier_is_there(tmp_path: Path) -> None:
    out = prepare(config(small(tmp_path)), tmp_path / "out").out
    identifier = Identifier.load(out / "tokenizer" / "identify.safetensors")
    assert identifier.languages == CODES
    for code in CODES:
        assert identifier.identify(lines(code, [7000]))[0][0] == code


def test_two_corpora_may_read_one_file(tmp_path: Path) -> None:
    path = small(tmp_path, rows=40)
    first = path.read_text()
    again = first[first.index("[[corpus]]") :].replace('name = "c"', 'name = "again"')
    path.write_text(first + "\n" + again)
    made = config(path)
    prepare(made, tmp_path / "out")
    rows = {
        item["corpus"]: (item["in"], item["kept"])
        for item in report(tmp_path / "out")["pairs"]
        if item["pair"] == "deu_Latn-eng_Latn" and item["corpus"].endswith("train")
    }
    assert rows == {"c.train": (40, 40), "again.train": (40, 0)}, "the second ones are duplicates"
