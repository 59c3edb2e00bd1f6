"""A store that grows: new corpora and languages come beside what is there, which stays as it is."""

import dataclasses
import multiprocessing
import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
from data_made import config, lines, manifest, tree

from m4nmt.data.prepare import prepare
from m4nmt.data.settings import BlockConfig, DataConfig
from m4nmt.data.store import Store
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction

EN_DE = Direction("eng_Latn", "deu_Latn")
FIRST = ("deu_Latn", "eng_Latn")


def corpora(grown: bool) -> dict[str, dict[str, list[str]]]:
    """A corpus of two languages; then another corpus with a third language."""
    found = {
        "c.train": {code: lines(code, range(150)) for code in FIRST},
        "c.dev": {code: lines(code, range(9000, 9010)) for code in FIRST},
    }
    if grown:
        codes = (*FIRST, "fra_Latn")
        found["d.train"] = {code: lines(code, range(140, 260)) for code in codes}
    return found


def keeping(settings: DataConfig, out: Path) -> DataConfig:
    """The same, but with the tokenizer of a folder."""
    kept = dataclasses.replace(settings.tokenizer, path=str(out / "tokenizer"))
    return dataclasses.replace(settings, tokenizer=kept)


def identity(path: Path) -> tuple[int, int, bytes]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, path.read_bytes()


def roomy(path: Path) -> DataConfig:
    """The usual config, with room for a language that the tokenizer does not know."""
    return dataclasses.replace(config(path), blocks=BlockConfig(max_length=256))


def small_store(folder: Path) -> Path:
    return prepare(roomy(manifest(folder, corpora(False))), folder / "out").out


def grow(folder: Path) -> DataConfig:
    """The config of the grown store."""
    return keeping(roomy(manifest(folder, corpora(True))), folder / "out")


def sources(store: Store, direction: Direction) -> list[str]:
    side, _ = store.examples(direction).tokens(np.arange(store.size(direction)))
    ids = np.split(side.values, side.offsets[1:-1])
    return store.tokenizer.decode([row.tolist() for row in ids])


def test_a_store_grows_without_rewriting(tmp_path: Path) -> None:
    out = small_store(tmp_path)
    before = {path.name: identity(path) for path in (out / "store").glob("c.*.arrow")}
    old = Tokenizer.load(out / "tokenizer")
    assert len(before) == 8
    store = prepare(grow(tmp_path), out)
    assert {name: identity(out / "store" / name) for name in before} == before
    assert store.size(EN_DE) == 260  # ten rows of the new corpus are known
    assert sources(store, EN_DE) == lines("eng_Latn", [*range(150), *range(150, 260)])
    assert sources(store, Direction("fra_Latn", "eng_Latn")) == lines("fra_Latn", range(140, 260))
    new = store.tokenizer
    assert [new.tag(code) for code in FIRST] == [old.tag(code) for code in FIRST]
    assert new.tag("fra_Latn") == old.size == new.size - 1
    assert (new.text_sha256, new.late) == (old.text_sha256, ("<2fra_Latn>",))
    assert new.sha256 != old.sha256
    store.verify()


def test_growing_again_does_nothing(tmp_path: Path) -> None:
    out = small_store(tmp_path)
    settings = grow(tmp_path)
    prepare(settings, out)
    everything = [p for p in out.rglob("*") if p.is_file() and p.name != ".lock"]
    before = {path: identity(path) for path in everything}
    prepare(settings, out)
    assert {path: identity(path) for path in before} == before


def test_a_new_corpus_alone_leaves_the_tokenizer_alone(tmp_path: Path) -> None:
    out = small_store(tmp_path)
    model = identity(out / "tokenizer" / "tokenizer.model")
    more = corpora(False) | {"e.train": {code: lines(code, range(300, 340)) for code in FIRST}}
    store = prepare(keeping(roomy(manifest(tmp_path, more)), out), out)
    assert identity(out / "tokenizer" / "tokenizer.model") == model
    assert store.size(EN_DE) == 190


def test_the_tokenizer_of_another_folder_is_kept(tmp_path: Path) -> None:
    first = small_store(tmp_path / "a")
    other = tmp_path / "b"
    settings = keeping(roomy(manifest(other, corpora(True))), first)
    store = prepare(settings, other / "out")
    assert store.tokenizer.text_sha256 == Tokenizer.load(first / "tokenizer").text_sha256
    grown = prepare(grow(tmp_path / "a"), first)
    assert grown.fingerprint == store.fingerprint


def test_another_tokenizer_in_the_same_process_is_used(tmp_path: Path) -> None:
    """Text that changes the tokenizer changes all columns, in one process as in two."""
    path, out = manifest(tmp_path, corpora(False)), tmp_path / "out"
    prepare(config(path), out)
    bigger = config(path, vocab=420)
    again = prepare(bigger, out)
    fresh = prepare(bigger, tmp_path / "fresh")
    names = [f"store/c.train.{code}.arrow" for code in FIRST]
    for name in names:
        assert (again.out / name).read_bytes() == (fresh.out / name).read_bytes()


def killed_after(sync: int, settings: DataConfig, out: Path) -> int | None:
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
    return process.exitcode


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3))])
def test_killed_while_it_grows_it_ends_the_same(tmp_path: Path, seed: int) -> None:
    whole = small_store(tmp_path / "whole")
    expected = prepare(grow(tmp_path / "whole"), whole).fingerprint
    out = small_store(tmp_path / "out")
    settings, draw, deaths = grow(tmp_path / "out"), random.Random(seed), 0
    while killed_after(draw.randint(1, 90), settings, out) != 0:
        deaths += 1
        assert deaths < 60, "no progress between kills"
    assert deaths
    assert Store.open(out).fingerprint == expected
    names = {name for name in tree(out) if name.startswith(("store/c", "store/d", "tokenizer/"))}
    assert {name: tree(out)[name] for name in names} == {n: tree(whole)[n] for n in names}


def test_killed_between_two_tokenizers_it_finds_the_new_one(tmp_path: Path) -> None:
    out = small_store(tmp_path)
    settings = grow(tmp_path)
    expected = prepare(settings, tmp_path / "out").fingerprint
    (out / "tokenizer").rename(out / ".tokenizer.tmp")
    assert prepare(settings, out).fingerprint == expected
