"""Large files are made in parts: nothing changes by it, and a kill costs the parts at hand."""

import dataclasses
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from data_made import CODES, config, lines, manifest, tree
from read_made import FORMATS, PACKED, put, rows

from m4nmt.core.files import FolderLockedError
from m4nmt.data import prepare as prepare_module
from m4nmt.data.columns.column import read_arrow, write_arrow
from m4nmt.data.filters.features import Wanted
from m4nmt.data.filters.settings import FilterChain
from m4nmt.data.formats import FormatError, Forward, read
from m4nmt.data.prepare import prepare
from m4nmt.data.preparing import checked as checked_module
from m4nmt.data.preparing import encode as encode_module
from m4nmt.data.preparing import inputs as inputs_module
from m4nmt.data.preparing import join as join_module
from m4nmt.data.preparing import parts as parts_module
from m4nmt.data.preparing.clean import Limits
from m4nmt.data.preparing.encode import EncodeTask, Part, merged
from m4nmt.data.preparing.join import join
from m4nmt.data.preparing.parts import _Encoder
from m4nmt.data.read import types, unpack, xml
from m4nmt.data.read.tmx import TmxReader
from m4nmt.data.read.types import Dataset, Source
from m4nmt.data.settings import DataConfig

ROWS, PART = 100, 16
SLOW = pytest.mark.slow
PARTS = 3 * 7 + 3  # of three files; dev files are a part each


def settings_in(folder: Path) -> DataConfig:
    """Three files of seven parts with lines that are dropped, a dev set, filters with features."""
    text = {code: lines(code, range(ROWS)) for code in CODES}
    for row in (3, 17, 18, 60, 99):
        text["deu_Latn"][row] = "x" * 2000
    text["eng_Latn"][40] = " "
    dev = {code: lines(code, range(9000, 9010)) for code in CODES}
    path = manifest(folder, {"c.train": text, "c.dev": dev})
    return dataclasses.replace(config(path), filters=FilterChain())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataConfig, dict[str, bytes]]:
    """A config, and what is made of files that are encoded whole."""
    folder = tmp_path_factory.mktemp("whole")
    settings = settings_in(folder)
    return settings, tree(prepare(settings, folder / "out").out)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, whole: Any) -> None:
    monkeypatch.setattr(encode_module, "PART_ROWS", PART)
    monkeypatch.setattr(prepare_module, "_SMALL", 0)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The parts that this process encodes, by file and first row."""
    made: list[tuple[str, int]] = []
    encode = parts_module.encode

    def noted(task: EncodeTask, part: Part, rows: Any) -> None:
        made.append((task.source.path.name, part.first))
        encode(task, part, rows)

    monkeypatch.setattr(parts_module, "encode", noted)
    return made


@pytest.mark.parametrize("workers", [pytest.param(1, marks=SLOW), 3])
def test_parts_change_nothing(
    workers: int, tmp_path: Path, whole: tuple[DataConfig, dict[str, bytes]]
) -> None:
    settings, expected = whole
    prepare(settings, tmp_path, workers=workers).verify()
    assert tree(tmp_path) == expected


def in_child(work: Callable[[], Any]) -> int | None:
    """Do it in a process of its own; its exit code."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    return process.exitcode


def dying(call: int, module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process be killed in this call of a function."""
    real, left = getattr(module, name), call

    def fatal(*given: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given)

    monkeypatch.setattr(module, name, fatal)


@pytest.mark.parametrize("part", [pytest.param(1, marks=SLOW), 12])
def test_killed_within_a_file_only_what_is_missing_is_made(
    part: int,
    tmp_path: Path,
    whole: tuple[DataConfig, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    encoded: list[tuple[str, int]],
) -> None:
    settings, expected = whole
    with monkeypatch.context() as patch:
        dying(part, parts_module, "encode", patch)
        assert in_child(lambda: prepare(settings, tmp_path, 1)) == -signal.SIGKILL
    prepare(settings, tmp_path, 1)
    assert len(encoded) == len(set(encoded)) == PARTS - (part - 1)
    assert tree(tmp_path) == expected


@pytest.mark.parametrize(
    ("module", "name", "call"),
    [(join_module, "write_arrow", 1), pytest.param(parts_module, "join", 4, marks=SLOW)],
)
def test_killed_while_parts_are_joined_none_is_made_again(
    module: Any,
    name: str,
    call: int,
    tmp_path: Path,
    whole: tuple[DataConfig, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    encoded: list[tuple[str, int]],
) -> None:
    settings, expected = whole
    with monkeypatch.context() as patch:
        dying(call, module, name, patch)
        assert in_child(lambda: prepare(settings, tmp_path, 1)) == -signal.SIGKILL
    prepare(settings, tmp_path, 1)
    assert encoded == []
    assert tree(tmp_path) == expected


def unlocked(settings: DataConfig, out: Path) -> None:
    """Prepare as soon as the workers of a killed run are gone."""
    for _ in range(100):
        try:
            prepare(settings, out, 1)
            return
        except FolderLockedError:
            time.sleep(0.1)
    raise AssertionError("the workers outlive their parent")


def test_workers_die_with_their_parent_and_lose_what_is_in_their_hands(
    tmp_path: Path,
    whole: tuple[DataConfig, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    encoded: list[tuple[str, int]],
) -> None:
    settings, expected = whole
    add, left = prepare_module.Ledger.add, 12

    def fatal(self: Any, name: str, key: str) -> None:
        nonlocal left
        add(self, name, key)
        left -= name.endswith(".part")
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(prepare_module.Ledger, "add", fatal)
        assert in_child(lambda: prepare(settings, tmp_path, 2)) == -signal.SIGKILL
    unlocked(settings, tmp_path)
    names = [json.loads(line)[0] for line in (tmp_path / "store" / "ledger.jsonl").open()]
    assert not any(name.endswith(".part") for name in names)
    dev = sum(file.startswith("dev") for file, _ in encoded)
    assert len(encoded) - dev == 3 * 7 - 6, "of each part two files were noted"
    assert tree(tmp_path) == expected


@SLOW
def test_a_damaged_part_is_made_again(
    tmp_path: Path,
    whole: tuple[DataConfig, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    encoded: list[tuple[str, int]],
) -> None:
    settings, expected = whole
    with monkeypatch.context() as patch:
        dying(1, parts_module, "join", patch)
        in_child(lambda: prepare(settings, tmp_path, 1))
    path = tmp_path / "store" / ".c.train.eng_Latn.arrow.32.part"
    path.write_bytes(path.read_bytes()[:-200] + bytes(200))
    prepare(settings, tmp_path, 1)
    assert encoded == [("train.eng_Latn.txt", 32)]
    assert tree(tmp_path) == expected


@pytest.mark.parametrize("count", [pytest.param(ROWS - 1, marks=SLOW), ROWS + 1])
def test_a_file_that_changes_meanwhile_is_told_of(
    count: int,
    tmp_path: Path,
    whole: tuple[DataConfig, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_in(tmp_path)
    path = tmp_path / "c" / "train.eng_Latn.txt"
    encode_all = parts_module.encode_all

    def changed(*given: Any) -> None:
        path.write_text("".join(f"{line}\n" for line in lines("eng_Latn", range(count))))
        encode_all(*given)

    monkeypatch.setattr(prepare_module, "encode_all", changed)
    with pytest.raises(FormatError, match=r"eng_Latn\.txt: no longer has 100 rows.*prepare again"):
        prepare(settings, tmp_path / "out", 1)


def test_killed_while_files_are_checked_it_knows_those_it_has_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    monkeypatch.setattr(checked_module, "_NOTE_EVERY", 0.0)
    with monkeypatch.context() as patch:
        dying(4, inputs_module, "look", patch)
        assert in_child(lambda: prepare(settings, tmp_path / "out", 1)) == -signal.SIGKILL
    seen: list[str] = []
    look = inputs_module.look
    monkeypatch.setattr(inputs_module, "look", lambda item: (seen.append(item.file), look(item))[1])
    prepare(settings, tmp_path / "out", 1)
    assert len(seen) == len(set(seen)) == 3, "three of six were noted"


def task(name: str, rows: int, kind: types.Kind | None = None) -> EncodeTask:
    source = Source(Path(name), kind=kind or types.Lines())
    path = Path(f"{name}.arrow")
    return EncodeTask(
        source=source,
        rows=rows,
        columns=(path,),
        languages=("eng_Latn",),
        tokenizer=Path("t"),
        sha256="",
        limits=Limits(0, 9),
        filters=(),
        features=Wanted(),
        keep_text=False,
    )


def test_the_rows_of_a_file_in_parts() -> None:
    assert [(p.first, p.rows) for p in task("a", 40).parts] == [(0, 16), (16, 16), (32, 8)]
    assert task("a", 16).parts == [Part(0, 16, True)]
    assert task("a", 0).parts == [Part(0, 0, True)]
    assert task("a", 40, Dataset(hub="a/b")).parts == [Part(0, 40, True)], "it is fetched once"
    assert len(task("a", 40, Dataset()).parts) == 3


def test_a_worker_stays_with_its_file_and_then_helps() -> None:
    tasks = [task("a", 40), task("b", 80), task("c", 10)]
    one = _Encoder(tasks, [t.parts for t in tasks])

    def take(worker: int) -> tuple[int, int]:
        one._mine = worker
        number, part = one._take()
        return number, part.first

    assert [take(-1), take(-1), take(-1)] == [(1, 0), (0, 0), (2, 0)], "the largest first"
    assert [take(0), take(0)] == [(0, 16), (0, 32)]
    assert [take(0), take(2), take(1), take(2)] == [(1, 16), (1, 32), (1, 48), (1, 64)]


@pytest.mark.parametrize("packing", ["", ".gz"])
@pytest.mark.parametrize("form", FORMATS)
def test_reading_forward_with_gaps(
    form: str, packing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "CHUNK", 97)
    monkeypatch.setattr(xml, "_STEP", 97)
    monkeypatch.setattr(types, "LONGEST_TEXT", 150)
    write, kind, fields, ending = FORMATS[form]
    draw = random.Random(form)
    texts = [(f"{n} {'é' * draw.choice([0, 3, 40, 70])}", f"{n} b") for n in range(60)]
    data = write(texts)
    if form == "lines":
        data = data[:-1].replace(b"\n", b"\r\n", 9) + b"x" * 200  # the last is too long, and open
    source = Source(put(tmp_path / f"x.{ending}{packing}", PACKED[packing](data)), fields, kind)
    expected = rows(source, limit=1)
    assert len(expected) == 60
    for seed in range(20):
        cuts = sorted(random.Random(seed).sample(range(61), 8))
        reader = Forward(source)
        for first, end in list(pairwise(cuts))[::2]:
            assert reader.reaches(source, first)
            assert list(reader.rows(first, end - first)) == expected[first:end]
        assert not reader.reaches(source, cuts[6])
        assert reader.ended() == (cuts[7] == 60)


def test_units_that_are_passed_over_are_counted_as_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where ends of units stand in comments and texts, and units in units."""
    monkeypatch.setattr(xml, "_STEP", 97)
    monkeypatch.setattr(xml, "_DEPTH", 8)
    unit = '<tu><tuv xml:lang="en"><seg>{0}</seg></tuv>{1}<tuv xml:lang="fr"><seg>{0} b</seg>{2}'
    wild = [
        ("a", "", "</tuv></tu>"),
        ("<![CDATA[</tu>]]> &nbsp; &amp;", "<!-- </tu> -->", "</tuv></tu>"),
        ("c", '<tu><tuv xml:lang="en"><seg>i</seg></tuv></tu>', "</tuv></tu>"),
        ("d <tu></tu> e", "", "</tuv></tu>"),
        ("f", '<note a="&lt;/tu>"><tu/></note>', '<x:tu xmlns:x="x"/></tuv></tu>'),
        ("g", "", "</tuv><tu/></tu>"),
        ("h" * 300, "", "</tuv></tu>"),
        ("", "", "</tuv></tu>"),
    ]
    draw = random.Random(1)
    units = [unit.format(*draw.choice(wild)) for _ in range(80)]
    units.insert(20, unit.format("", "", "</tuv><tuv xml:lang='de'><seg>only</seg></tuv></tu>"))
    path = tmp_path / "x.tmx"
    head = '<!DOCTYPE tmx SYSTEM "a.dtd"><tmx version="1.4"><header/>'
    path.write_text(f"{head}<body>{chr(10).join(units)}</body></tmx>")
    source = Source(path, ("eng_Latn", "fra_Latn", "deu_Latn"), types.Tmx())
    expected = rows(source, limit=1)
    told, start = [0], TmxReader.start
    monkeypatch.setattr(
        TmxReader, "start", lambda *given: (told.__setitem__(0, told[0] + 1), start(*given))[1]
    )
    list(read(source, types.Faults()))
    every, told[0] = told[0], 0
    reader = Forward(source)
    assert list(reader.rows(len(expected) - 5, 5)) == expected[-5:]
    assert reader.ended()
    assert told[0] < every / 4
    for seed in range(8):
        cuts = sorted(random.Random(seed).sample(range(len(expected) + 1), 8))
        reader = Forward(source)
        for first, end in list(pairwise(cuts))[::2]:
            assert list(reader.rows(first, end - first)) == expected[first:end]


def test_joined_files_are_as_if_written_at_once(tmp_path: Path) -> None:
    def batch(numbers: range) -> pa.RecordBatch:
        texts = ["é" * (n % 3) for n in numbers]
        lists = [list(range(n % 4)) for n in numbers]
        pairs = [[n, n + 1] for n in numbers]
        columns = {
            "text": pa.array(texts, pa.large_string()),
            "lists": pa.array(lists, pa.large_list(pa.uint16())),
            "pairs": pa.array(pairs, pa.list_(pa.float16(), 2)),
            "number": pa.array(list(numbers), pa.uint64()),
        }
        return pa.record_batch(list(columns.values()), names=list(columns))

    cuts = (0, 5, 5, 12, 13)  # a part without rows, and one without texts and lists
    parts = [tmp_path / f"{n}" for n in range(4)]
    for path, (first, end) in zip(parts, pairwise(cuts), strict=True):
        write_arrow(path, batch(range(first, end)), {})
    join(parts, tmp_path / "joined", {"a": 1})
    write_arrow(tmp_path / "at once", batch(range(13)), {"a": 1})
    assert (tmp_path / "joined").read_bytes() == (tmp_path / "at once").read_bytes()
    assert read_arrow(tmp_path / "joined")[0].equals(batch(range(13)))
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2", "3", "joined", "at once"}


def test_counts_of_parts_are_merged() -> None:
    counts = [
        {"rows": 5, "dropped": {"a": n}, "samples": {"a": [f"{n} {i}" for i in range(n)]},
         "scripts": {"Latn": 7, f"S{n}": 1}}
        for n in (2, 3)
    ]  # fmt: skip
    assert merged(counts) == {
        "rows": 10,
        "dropped": {"a": 5},
        "samples": {"a": ["2 0", "2 1", "3 0"]},
        "scripts": {"Latn": 14, "S2": 1, "S3": 1},
    }
    assert merged([{}, {}]) == {}
