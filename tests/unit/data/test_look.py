"""Looking into a store."""

from pathlib import Path

import numpy as np
import pytest
from data_made import CODES, config, lines, small, tree

from m4nmt.data import look
from m4nmt.data.prepare import prepare
from m4nmt.data.store import Store, StoreError
from m4nmt.data.types import Direction

EN_DE = Direction("eng_Latn", "deu_Latn")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("store")
    return prepare(config(small(folder)), folder / "out")


@pytest.fixture
def copy(store: Store, tmp_path: Path) -> Path:
    for name, data in tree(store.out).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


def bad(out: Path) -> dict[str, str]:
    return {name: what for name, what in look.damages(out) if what}


def test_a_whole_store(store: Store) -> None:
    assert bad(store.out) == {}
    assert {name for name, _ in look.damages(store.out)} == set(store.files)


def test_one_flipped_bit_is_found_wherever_it_is(copy: Path) -> None:
    random = np.random.default_rng(1)
    for name, (size, _) in look.read_about(copy)["files"].items():
        path = copy / name
        whole = path.read_bytes()
        raw = bytearray(whole)
        raw[int(random.integers(size))] ^= 1 << int(random.integers(8))
        path.write_bytes(raw)
        assert bad(copy) == {name: "not the bytes that were written"}
        path.write_bytes(whole)
    assert bad(copy) == {}


def test_missing_and_short_files_are_named(copy: Path) -> None:
    (copy / "store" / "c.train.deu_Latn.arrow").unlink()
    path = copy / "store" / "c.dev.eng_Latn.arrow"
    path.write_bytes(path.read_bytes()[:-1])
    size = path.stat().st_size
    assert bad(copy) == {
        "store/c.train.deu_Latn.arrow": "is missing",
        "store/c.dev.eng_Latn.arrow": f"has {size} bytes instead of {size + 1}",
    }


def test_what_is_no_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="run m4nmt prepare"):
        list(look.damages(tmp_path))


def test_shards(store: Store) -> None:
    found = look.shards(store)
    assert [(s.corpus, s.language) for s in found] == [
        (corpus, code) for corpus in ("c.train", "c.dev") for code in CODES
    ]
    one = found[1]
    assert (one.split, one.lines, one.good, one.licence) == ("train", 120, 120, "CC0-1.0")
    examples = store.examples(EN_DE).tokens(np.arange(120))[0]
    assert one.pieces == len(examples.values)
    assert one.bytes == (store.out / "store" / "c.train.eng_Latn.arrow").stat().st_size
    facts = look.facts(store)
    assert (facts["languages"], facts["directions"], facts["examples"]) == (3, 6, 720)
    assert facts["bytes"] == sum((store.out / name).stat().st_size for name in store.files)


def test_some_examples(store: Store) -> None:
    rows = look.examples(store, EN_DE, "train", 7, seed=1)
    assert len({number for number, _, _ in rows}) == 7
    for number, source, target in rows:
        assert source == f"<2deu_Latn> {lines('eng_Latn', [number])[0]}"
        assert target == lines("deu_Latn", [number])[0]
    assert rows == look.examples(store, EN_DE, "train", 7, seed=1)
    assert rows != look.examples(store, EN_DE, "train", 7, seed=2)
    assert len(look.examples(store, EN_DE, "dev", 99, seed=1)) == 10
    with pytest.raises(ValueError, match="no test example of eng_Latn-deu_Latn"):
        look.examples(store, EN_DE, "test", 1, seed=1)
    unknown = Direction("eng_Latn", "deu_Latn", tags=("bt",))
    with pytest.raises(ValueError, match=r"no train example of .*\+bt; it has eng_Latn-deu_Latn$"):
        look.examples(store, unknown, "train", 1, seed=1)
    with pytest.raises(ValueError, match="ask for 1 or more"):
        look.examples(store, EN_DE, "train", -1, seed=1)
