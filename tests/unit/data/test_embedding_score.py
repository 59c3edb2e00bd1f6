"""The filter EmbeddingScore through `prepare`: what it drops, what is made again, kills."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_made import config, manifest, tree
from embedding_made import bag_of_words
from filters_made import sentence

from m4nmt.core.config import ConfigError
from m4nmt.data.filters import settings as filters
from m4nmt.data.filters.embedding import Embedder
from m4nmt.data.filters.settings import EmbeddingScore, FilterChain
from m4nmt.data.prepare import prepare
from m4nmt.data.preparing import scoring
from m4nmt.data.settings import BlockConfig, DataConfig
from m4nmt.data.store import Store

ONE, TWO = "aaa_Latn", "bbb_Latn"
NAMES = {ONE: "one", TWO: "two", "rus_Cyrl": "three"}
ROWS = 150
SHUFFLED = range(60, 90)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bag_of_words(tmp_path_factory.mktemp("model"), tuple(NAMES.values()))


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "WINDOW", 32)


def data(folder: Path, model: Path, *, codes: Sequence[str] = (ONE, TWO)) -> DataConfig:
    """Two training corpora, in the first a stretch in another order, and a dev set."""
    text = {code: [sentence(n, NAMES[code]) for n in range(ROWS)] for code in codes}
    order = [*SHUFFLED[7:], *SHUFFLED[:7]]
    text[ONE][SHUFFLED.start : SHUFFLED.stop] = [text[ONE][n] for n in order]
    text[ONE][7] = text[TWO][9] = " "
    second = {code: [sentence(n, NAMES[code]) for n in range(500, 540)] for code in (ONE, TWO)}
    dev = {code: [sentence(n, NAMES[code]) for n in (900, 901)] for code in codes}
    path = manifest(folder, {"c.train": text, "d.train": second, "c.dev": dev})
    chain = FilterChain(lines=(), rows=(), pairs=(EmbeddingScore(model=str(model), least=0.5),))
    return dataclasses.replace(config(path), filters=chain, blocks=BlockConfig(max_length=220))


def with_pairs(settings: DataConfig, *pairs: filters.PairFilter) -> DataConfig:
    return dataclasses.replace(settings, filters=FilterChain(lines=(), rows=(), pairs=pairs))


def report(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return {(i["corpus"], i["pair"]): i | {"samples": found["samples"]} for i in found["pairs"]}


def watched(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[], object]
) -> list[tuple[str, list[str]]]:
    """Language and lines of each call of the model in a run."""
    asked: list[tuple[str, list[str]]] = []
    real = Embedder.embed

    def embed(self: Embedder, texts: Sequence[str], language: str) -> Any:
        asked.append((language, list(texts)))
        return real(self, texts, language)

    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "embed", embed)
        run()
    return asked


def test_shuffled_rows_are_dropped_counted_and_shown(tmp_path: Path, model: Path) -> None:
    out = prepare(data(tmp_path, model), tmp_path / "out").out
    found = report(out)["c.train", f"{ONE}-{TWO}"]
    assert found["in"] == ROWS - 2 == found["kept"] + found["dropped"]["embedding_score"]
    store = Store.open(out)
    (direction,) = (d for d in store.directions if str(d) == f"{ONE}-{TWO}")
    assert store.size(direction) == found["kept"] + report(out)["d.train", f"{ONE}-{TWO}"]["kept"]
    # All that were moved and next to none of the others.
    assert len(SHUFFLED) - 2 <= found["dropped"]["embedding_score"] <= len(SHUFFLED) + 2
    shown = found["samples"]["c.train"]["embedding_score"]
    assert " ||| " in shown[0]
    learned = found["learned"]["embedding_score"]
    assert learned["mean"] > 0.7 > 0.3 > learned["thrown"]
    assert learned["thrown_kept"] < 0.05
    assert "c.dev" not in {key for key, item in report(out).items() if item["dropped"]}
    store.verify()


def test_every_line_is_embedded_once(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = data(tmp_path, model, codes=tuple(NAMES))
    asked = watched(monkeypatch, lambda: prepare(settings, tmp_path / "out"))
    assert max(len(texts) for _, texts in asked) <= 32  # memory does not grow with the corpus
    assert sum(len(texts) for _, texts in asked) == 3 * ROWS - 2 + 2 * 40
    names = {path.name.rsplit(".", 2)[0] for path in (tmp_path / "out").rglob("*.scores")}
    three = {f"{ONE}-{TWO}", f"{ONE}-rus_Cyrl", f"{TWO}-rus_Cyrl"}
    assert names == {f"d.train.{ONE}-{TWO}", *(f"c.train.{pair}" for pair in three)}


def test_only_what_changed_is_embedded_again(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, out = data(tmp_path, model), tmp_path / "out"
    prepare(settings, out)
    first = Store.open(out).fingerprint
    kept = report(out)["c.train", f"{ONE}-{TWO}"]["kept"]
    # Thresholds, other filters and the tokenizer.
    asked = EmbeddingScore(model=str(model), least=0.95)
    stricter = with_pairs(settings, asked, filters.Identical())
    assert watched(monkeypatch, lambda: prepare(stricter, out)) == []
    assert Store.open(out).fingerprint != first
    assert report(out)["c.train", f"{ONE}-{TWO}"]["kept"] < kept - 10
    other = dataclasses.replace(
        settings, tokenizer=dataclasses.replace(settings.tokenizer, vocab=350)
    )
    assert watched(monkeypatch, lambda: prepare(other, out)) == []
    # One corpus changed: its lines, and no others.
    changed = tmp_path / "d" / f"train.{ONE}.txt"
    changed.write_text("".join(sentence(n, "one") + "\n" for n in range(501, 541)))
    texts = watched(monkeypatch, lambda: prepare(other, out))
    assert sum(len(some) for _, some in texts) == 2 * 40
    # What the filter asks of the model.
    shorter = with_pairs(settings, EmbeddingScore(model=str(model), least=0.5, tokens=4))
    texts = watched(monkeypatch, lambda: prepare(shorter, out))
    assert sum(len(some) for _, some in texts) == 2 * ROWS - 2 + 2 * 40


def test_another_model_in_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = bag_of_words(tmp_path / "model")
    settings, out = data(tmp_path, here), tmp_path / "out"
    first = prepare(settings, out).fingerprint
    columns = {p: p.stat().st_mtime_ns for p in out.rglob(f"*.{ONE}.arrow")}
    assert len(columns) == 3
    assert watched(monkeypatch, lambda: prepare(settings, out)) == []
    bag_of_words(here, seed=1)
    assert len(watched(monkeypatch, lambda: prepare(settings, out))) > 4
    assert Store.open(out).fingerprint != first
    assert {p: p.stat().st_mtime_ns for p in columns} == columns
    # A store is used where its model is not, and another threshold needs no model either.
    here.rename(tmp_path / "gone")
    assert prepare(settings, out).fingerprint != first
    stricter = with_pairs(settings, EmbeddingScore(model=str(here), least=0.9))
    assert watched(monkeypatch, lambda: prepare(stricter, out)) == []
    with pytest.raises(ConfigError, match="there is no folder"):
        prepare(with_pairs(settings, EmbeddingScore(model=str(here), tokens=9)), out)
    with pytest.raises(ConfigError, match="there is no folder"):
        prepare(settings, tmp_path / "fresh")
    assert not list((tmp_path / "fresh" / "store").glob("*.arrow"))  # told before any work


def test_a_killed_run_goes_on_where_it_was(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = data(tmp_path, model)
    whole = tree(prepare(settings, tmp_path / "whole").out)
    out, real, left = tmp_path / "out", Embedder.embed, 5

    def embed(self: Embedder, texts: Sequence[str], language: str) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return real(self, texts, language)

    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "embed", embed)
        with pytest.raises(KeyboardInterrupt):
            prepare(settings, out)
    asked = watched(monkeypatch, lambda: prepare(settings, out))
    # Two windows of 32 rows were done.
    assert sum(len(texts) for _, texts in asked) == 2 * (ROWS - 64) + 2 * 40
    assert tree(out) == whole


def test_two_thresholds_share_what_is_made(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (EmbeddingScore(model=str(model), least=least) for least in (0.5, 0.7))
    settings, out = with_pairs(data(tmp_path, model), one, other), tmp_path / "out"
    asked = watched(monkeypatch, lambda: prepare(settings, out))
    assert sum(len(texts) for _, texts in asked) == 2 * ROWS - 2 + 2 * 40
    alone = prepare(with_pairs(settings, other), tmp_path / "alone").out
    name = "c.train.pairs.arrow"
    assert (out / "store" / name).read_bytes() == (alone / "store" / name).read_bytes()


def test_nothing_is_written_where_nobody_asks(tmp_path: Path, model: Path) -> None:
    settings = data(tmp_path, model)
    out = prepare(settings, tmp_path / "out").out
    assert (out / "store" / scoring.MODELS).is_file()
    assert np.all([path.stat().st_size > 0 for path in out.rglob("*.scores")])
    out = prepare(with_pairs(settings, filters.Identical()), out).out
    assert not [*out.rglob("*.scores"), *out.rglob("*.draft"), *out.rglob(scoring.MODELS)]
