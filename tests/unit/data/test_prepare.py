"""Preparation: filters counted, a second run idle, a killed run whole."""

import dataclasses
import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_made import config, lines, manifest, tree, write_lines

from m4nmt.core.config import ConfigError
from m4nmt.core.files import FolderLockedError, folder_lock
from m4nmt.data import encode as encode_module
from m4nmt.data import prepare as prepare_module
from m4nmt.data import tally
from m4nmt.data.formats import FormatError
from m4nmt.data.identify import Identifier
from m4nmt.data.prepare import prepare
from m4nmt.data.sample import Sample, picks, quotas
from m4nmt.data.settings import BlockConfig, DataConfig, DirectionsConfig, FilterConfig
from m4nmt.data.store import Store, StoreError
from m4nmt.data.types import Direction

CODES = ("deu_Latn", "eng_Latn", "fra_Latn")
EN_DE = Direction("eng_Latn", "deu_Latn")


def small(folder: Path, rows: int = 120) -> Path:
    return manifest(
        folder,
        {
            "c.train": {code: lines(code, range(rows)) for code in CODES},
            "c.dev": {code: lines(code, range(9000, 9010)) for code in CODES},
        },
    )


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


def test_a_second_run_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(small(tmp_path))
    first = prepare(settings, tmp_path / "out")
    before = tree(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}

    def never(*_: Any) -> None:
        raise AssertionError("work was done again")

    monkeypatch.setattr(prepare_module._Job, "run", never)
    assert prepare(settings, tmp_path / "out").fingerprint == first.fingerprint
    assert tree(tmp_path / "out") == before
    assert {p: p.stat().st_mtime_ns for p in times if p.name != ".lock"} == {
        p: t for p, t in times.items() if p.name != ".lock"
    }


def remade(monkeypatch: pytest.MonkeyPatch, settings: DataConfig, out: Path) -> tuple[int, bool]:
    """How many columns a run encodes, and whether it trains a tokenizer."""
    encoded: list[Any] = []
    trained: list[Any] = []
    encode, train = encode_module.encode, prepare_module.tokenizer.train
    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "encode", lambda t: (encoded.append(t), encode(t))[1])
        patch.setattr(
            prepare_module.tokenizer, "train", lambda *a: (trained.append(a), train(*a))[1]
        )
        prepare(settings, out)
    return len(encoded), bool(trained)


def test_only_what_changed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = small(tmp_path), tmp_path / "out"
    settings = config(path)
    assert remade(monkeypatch, settings, out) == (6, True)
    first = Store.open(out).fingerprint
    ratio = dataclasses.replace(settings, filters=FilterConfig(max_ratio=2.0))
    assert remade(monkeypatch, ratio, out) == (0, False)
    assert Store.open(out).fingerprint != first
    longer = dataclasses.replace(settings, filters=FilterConfig(max_chars=3000))
    assert remade(monkeypatch, longer, out) == (3, False)
    assert remade(monkeypatch, settings, out) == (3, False)
    assert Store.open(out).fingerprint == first
    dev = tmp_path / "c" / "dev.eng_Latn.txt"
    write_lines(dev, lines("eng_Latn", range(2000, 2010)))
    assert remade(monkeypatch, settings, out) == (1, False)
    assert Store.open(out).fingerprint != first
    train = tmp_path / "c" / "train.eng_Latn.txt"
    write_lines(train, lines("eng_Latn", range(500, 620)))
    assert remade(monkeypatch, settings, out) == (6, True)
    assert remade(monkeypatch, settings, out) == (0, False)


def test_touched_but_equal_files_change_nothing(tmp_path: Path) -> None:
    settings = config(small(tmp_path))
    first = prepare(settings, tmp_path / "out").fingerprint
    before = tree(tmp_path / "out")
    os.utime(tmp_path / "c" / "train.eng_Latn.txt", ns=(1, 1))
    assert prepare(settings, tmp_path / "out").fingerprint == first
    after = tree(tmp_path / "out")
    assert before.pop("store/inputs.json") != after.pop("store/inputs.json")
    assert after == before


def test_damaged_columns_are_made_again(tmp_path: Path) -> None:
    settings = config(small(tmp_path))
    out = prepare(settings, tmp_path / "out").out
    before = tree(out)
    path = out / "store" / "c.train.eng_Latn.arrow"
    raw = path.read_bytes()
    path.write_bytes(raw[:1000] + b"?" + raw[1001:])
    (out / "tokenizer" / "identify.safetensors").unlink()
    prepare(settings, out)
    assert tree(out) == before


def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(small(tmp_path))
    alone = tree(prepare(settings, tmp_path / "alone", workers=1).out)
    monkeypatch.setattr(prepare_module, "_SMALL", 0)
    several = tree(prepare(settings, tmp_path / "several", workers=3).out)
    assert several.keys() == alone.keys()
    for name in alone.keys() - {"store/ledger.jsonl"}:
        assert several[name] == alone[name], name


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


def test_a_half_changed_store_is_none(tmp_path: Path) -> None:
    settings = config(small(tmp_path))
    prepare(settings, tmp_path / "out")
    longer = dataclasses.replace(settings, filters=FilterConfig(max_chars=3000))
    assert killed_at(8, longer, tmp_path / "out") == -signal.SIGKILL
    with pytest.raises(StoreError, match="no finished store"):
        Store.open(tmp_path / "out")


def test_two_preparations_of_one_folder(tmp_path: Path) -> None:
    settings = config(small(tmp_path))
    with folder_lock(tmp_path / "out"), pytest.raises(FolderLockedError, match="is in use by"):
        prepare(settings, tmp_path / "out")


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


def test_sampling_temperature() -> None:
    counts = {"big": 90_000, "small": 10_000, "none": 0}
    assert quotas(counts, 1000, 1.0) == {"big": 900, "small": 100, "none": 0}
    flat = quotas(counts, 1000, 100.0)
    assert abs(flat["big"] - flat["small"]) < 25
    five = quotas(counts, 1000, 5.0)
    assert five["big"] / five["small"] == pytest.approx(9 ** (1 / 5), rel=0.01)
    # What a small language cannot give goes to the others; nothing is given twice.
    assert quotas({"a": 10, "b": 1000}, 500, 100.0) == {"a": 10, "b": 490}
    assert quotas({"a": 10, "b": 20}, 500, 5.0) == {"a": 10, "b": 20}
    assert quotas({"a": 1, "b": 10**9}, 10, 1.0)["a"] == 1


def test_picks_are_spread_and_distinct() -> None:
    for total, wanted in ((116_000, 100_000), (7, 7), (10**6, 3), (5, 0), (0, 0)):
        found = picks(total, wanted, 1, "x")
        assert len(np.unique(found)) == wanted
        assert np.all((found >= 0) & (found < total))
        assert np.array_equal(found, picks(total, wanted, 1, "x"))
    thirds = np.histogram(picks(9000, 900, 2), 3, (0, 9000))[0]
    assert thirds.tolist() == [300, 300, 300]


def test_a_sample_gives_the_picked_lines(tmp_path: Path) -> None:
    write_lines(tmp_path / "a", ["0", "", "1", " ", "2"])
    write_lines(tmp_path / "b", ["3", "4"])
    columns = [(encode_module.Source(tmp_path / name), 0) for name in "ab"]
    sample = Sample(columns, np.array([0, 2, 3]))
    assert list(sample) == list(sample) == ["0", "2", "3"]


def killed_at(sync: int, settings: DataConfig, out: Path) -> int:
    """Prepare in a child that dies at its n-th fsync; its exit code."""

    def child() -> None:
        left, real = sync, os.fsync

        def fsync(handle: int) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            real(handle)

        os.fsync = fsync  # type: ignore[assignment]
        prepare(settings, out)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.parametrize("sync", [1, 3, 6, 10, 17, 29, 37, 43, 47])
def test_killed_anywhere_it_ends_the_same(
    sync: int, tmp_path: Path, whole: tuple[DataConfig, dict[str, bytes]]
) -> None:
    settings, expected = whole
    out = tmp_path / "out"
    assert killed_at(sync, settings, out) == -signal.SIGKILL
    with pytest.raises(StoreError, match="no finished store"):
        Store.open(out)
    prepare(settings, out).verify()
    assert tree(out) == expected


def test_a_run_killed_again_and_again_gets_there(
    tmp_path: Path, whole: tuple[DataConfig, dict[str, bytes]]
) -> None:
    settings, expected = whole
    out = tmp_path / "out"
    deaths = 0
    while killed_at(24, settings, out) != 0:
        deaths += 1
        assert deaths < 9, "no progress between kills"
    assert deaths > 1
    assert tree(out) == expected


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataConfig, dict[str, bytes]]:
    """A config, and what an undisturbed run makes of it."""
    folder = tmp_path_factory.mktemp("whole")
    settings = config(small(folder))
    prepare(settings, folder / "out")
    return settings, tree(folder / "out")
