"""The token store, against the text it was made of."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from data_made import config, lines, manifest, tree

from m4nmt.data import store as store_module
from m4nmt.data.columns.ragged import in_order
from m4nmt.data.columns.rows import PairRows
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import DirectionsConfig
from m4nmt.data.store import Store, StoreError
from m4nmt.data.stream.plan import Reader
from m4nmt.data.types import Direction

CODES = ("deu_Latn", "eng_Latn", "rus_Cyrl")
EN_DE = Direction("eng_Latn", "deu_Latn")


def corpora() -> dict[str, dict[str, list[str]]]:
    """Two training corpora with holes, and test sets."""
    wide = {code: lines(code, range(300)) for code in CODES}
    for place in range(0, 300, 7):
        wide["deu_Latn"][place] = ""
    for place in range(0, 300, 5):
        wide["rus_Cyrl"][place] = " "
    return {
        "wide.train": wide,
        "pair.train": {code: lines(code, range(300, 380)) for code in CODES[:2]},
        "wide.dev": {code: lines(code, range(400, 420)) for code in CODES},
        "a.test": {code: lines(code, range(420, 440)) for code in CODES},
        "b.test": {code: ["", *lines(code, range(441, 450))] for code in CODES[:2]},
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("store")
    path = manifest(folder, corpora())
    directions = DirectionsConfig(held_out=("deu_Latn-rus_Cyrl",))
    return prepare(config(path, directions), folder / "out")


def fresh(store: Store, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    for name, data in tree(store.out).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


def expected(direction: Direction) -> list[tuple[str, str]]:
    """The training pairs of a direction, by listing them."""
    pairs = []
    for name in ("wide.train", "pair.train"):
        columns = corpora()[name]
        if {direction.src, direction.tgt} <= set(columns):
            both = zip(columns[direction.src], columns[direction.tgt], strict=True)
            pairs += [(src, tgt) for src, tgt in both if src.strip() and tgt.strip()]
    return pairs


def test_directions(store: Store) -> None:
    assert store.languages == CODES
    assert store.held_out == (Direction("deu_Latn", "rus_Cyrl"),)
    assert len(store.directions) == 5
    assert list(store.directions) == sorted(store.directions)
    assert store.split_directions("train") == store.directions
    assert len(store.split_directions("dev")) == 6
    assert len(store.split_directions("test", "b")) == 2
    assert store.corpora("test") == ("a", "b")
    assert store.licences["wide.train"] == "CC0-1.0"


def test_examples_are_the_aligned_text(store: Store) -> None:
    for direction in store.directions:
        pairs = expected(direction)
        examples = store.examples(direction)
        assert len(examples) == store.size(direction) == len(pairs)
        numbers = np.random.default_rng(1).permutation(len(pairs))
        sides = examples.tokens(numbers)
        lengths = examples.lengths(numbers)
        for which, (ragged, length) in enumerate(zip(sides, lengths, strict=True)):
            assert ragged.values.dtype == length.dtype == np.int32
            assert np.array_equal(np.diff(ragged.offsets), length)
            ids = np.split(ragged.values, ragged.offsets[1:-1])
            texts = store.tokenizer.decode([row.tolist() for row in ids])
            assert texts == [pairs[number][which] for number in numbers]


def test_both_ways_are_the_same_pairs(store: Store) -> None:
    there, back = store.examples(EN_DE), store.examples(Direction("deu_Latn", "eng_Latn"))
    numbers = np.arange(len(there))
    (src, tgt), (other_src, other_tgt) = there.tokens(numbers), back.tokens(numbers)
    assert np.array_equal(src.values, other_tgt.values)
    assert np.array_equal(tgt.values, other_src.values)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_many_directions_are_read_together(store: Store, count: int) -> None:
    """Whatever the order in which they are asked, and from however many corpora."""
    directions = store.directions[-count:]
    many = store.many(directions)
    assert many.sizes_D.tolist() == [store.size(direction) for direction in directions]
    draw = np.random.default_rng(count)
    which = draw.integers(0, count, 400)
    number = draw.integers(0, 2**40, 400) % many.sizes_D[which]
    sides = [in_order(side) for side in many.tokens(which, number)]
    for side, lengths in zip(sides, many.lengths(which, number), strict=True):
        assert np.array_equal(np.diff(side.offsets), lengths)
    texts = [
        store.tokenizer.decode([ids.tolist() for ids in np.split(side.values, side.offsets[1:-1])])
        for side in sides
    ]
    lists = [expected(direction) for direction in directions]
    assert list(zip(*texts, strict=True)) == [
        lists[d][n] for d, n in zip(which, number, strict=True)
    ]


def test_a_look_at_each_corpus_serves_all_directions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: with thousands, looking at each is what a block would cost."""
    looks = []
    original = PairRows.select

    def select(self: PairRows, *given: np.ndarray) -> np.ndarray:
        looks.append(len(given[0]))
        return original(self, *given)

    monkeypatch.setattr(PairRows, "select", select)
    many = store.many(store.directions)
    which = np.arange(5).repeat(2)
    many.lengths(which, np.where(np.arange(10) % 2, many.sizes_D[which] - 1, 0))
    assert sum(looks) == 10
    assert len(looks) == 2


def test_what_is_read_together_is_there(store: Store) -> None:
    many = store.many([EN_DE, Direction("eng_Latn", "fra_Latn")])
    assert many.sizes_D.tolist() == [len(expected(EN_DE)), 0]
    for direction, number in ((0, -1), (0, len(expected(EN_DE))), (1, 0)):
        with pytest.raises(IndexError, match=f"no example {number}"):
            many.tokens(np.array([0, direction]), np.array([0, number]))


def test_readers_travel_without_their_files(store: Store) -> None:
    """To workers that are not forked: a plan is small, and opens the files anew."""
    reader = Reader(store, store.directions, "train")
    which, number = np.arange(5), np.zeros(5, np.int64)
    before = reader.lengths(which, number)
    sent = pickle.dumps(reader)
    assert len(sent) < 60_000
    assert np.array_equal(pickle.loads(sent).lengths(which, number), before)


def test_few_or_wrong_numbers(store: Store) -> None:
    examples = store.examples(EN_DE)
    none = examples.tokens(np.array([], np.int64))
    assert [len(side.values) for side in none] == [0, 0]
    for wrong in (-1, len(examples)):
        with pytest.raises(IndexError):
            examples.lengths(np.array([wrong]))
    nothing = store.examples(Direction("eng_Latn", "fra_Latn"))
    assert len(nothing) == 0


def test_text_of_test_sets(store: Store) -> None:
    src, tgt = store.text(EN_DE, "test")
    made = corpora()
    assert src == made["a.test"]["eng_Latn"] + made["b.test"]["eng_Latn"][1:]
    assert tgt == made["a.test"]["deu_Latn"] + made["b.test"]["deu_Latn"][1:]
    assert store.text(EN_DE, "test", "a")[0] == made["a.test"]["eng_Latn"]
    with pytest.raises(ValueError, match="not kept"):
        store.text(EN_DE, "train")


def test_views_are_of_the_file_not_copies(store: Store) -> None:
    column = store._corpora[0].column("eng_Latn")
    for array in (column.values, column.offsets, column.chars, column.keys):
        assert not array.flags.owndata
        assert not array.flags.writeable


def test_a_store_travels_to_workers(store: Store) -> None:
    again = pickle.loads(pickle.dumps(store))
    assert again.fingerprint == store.fingerprint
    rows = np.arange(5)
    assert np.array_equal(
        again.examples(EN_DE).tokens(rows)[0].values, store.examples(EN_DE).tokens(rows)[0].values
    )


def test_open_is_the_same_store(store: Store) -> None:
    again = Store.open(store.out)
    again.verify()
    assert again.directions == store.directions
    assert again.fingerprint == store.fingerprint


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no finished store; run m4nmt prepare"):
        Store.open(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "gone", "flipped", "flipped late"])
def test_damaged_files_are_named(
    store: Store, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = fresh(store, tmp_path)
    for name in sorted(json.loads((out / "store/store.json").read_text())["files"]):
        path = out / name
        whole = path.read_bytes()
        middle = len(whole) // 2
        if damage == "gone":
            path.unlink()
        elif damage == "cut":
            path.write_bytes(whole[:-1])
        else:
            path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :])
        if damage == "flipped late":
            # Large files are not hashed when a large store is opened; a full check finds them.
            monkeypatch.setattr(store_module, "_HASH_ALL", 0)
            monkeypatch.setattr(store_module, "_HASH_ALWAYS", 0)
            with pytest.raises(StoreError, match=path.name):
                Store.open(out).verify()
        else:
            with pytest.raises(StoreError, match=path.name):
                Store.open(out)
        path.write_bytes(whole)
    Store.open(out).verify()


def test_damaged_or_newer_list_of_files(store: Store, tmp_path: Path) -> None:
    path = fresh(store, tmp_path) / "store" / "store.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(StoreError, match=r"store\.json has format 99"):
        Store.open(tmp_path)
    path.write_text(json.dumps(about)[:-20])
    with pytest.raises(StoreError, match=r"store\.json: damaged"):
        Store.open(tmp_path)
