"""Models that decode as one, against averaged tables."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_folders import make_model_folder, make_tokenizer, texts_of
from translate_models import BOS, EOS, build, sources
from translate_toys import SYMBOLS, Table, ToyDecoder, log_softmax, plain_beam, random_table

from m4nmt.core.config import ConfigError
from m4nmt.core.stages import SearchConfig
from m4nmt.data import tokenizer
from m4nmt.data.settings import TokenizerConfig
from m4nmt.translate.constraints import Constraint
from m4nmt.translate.decoder import Symbols
from m4nmt.translate.engine import Native
from m4nmt.translate.ensemble import Ensemble, Together
from m4nmt.translate.search import beam_search
from m4nmt.translate.translator import Translator

CPU = torch.device("cpu")
MODEL_SYMBOLS = Symbols(BOS, EOS, (0, 1, BOS))


def averaged(tables: list[Table]) -> Table:
    def table(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        p = [[math.exp(x) for x in log_softmax(t(sentence, prefix))] for t in tables]
        return [math.log(sum(column) / len(tables)) for column in zip(*p, strict=True)]

    return table


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    models=st.integers(1, 3),
    beam=st.integers(1, 4),
    limits=st.lists(st.integers(1, 5), min_size=1, max_size=3),
)
def test_it_searches_in_the_average_of_probabilities(
    seed: int, models: int, beam: int, limits: list[int]
) -> None:
    tables = [random_table(seed + i, 5) for i in range(models)]
    rows = range(len(limits))
    config = SearchConfig(beam=beam, n_best=beam)
    together = Together([ToyDecoder(table, rows) for table in tables])
    results = beam_search(together, limits, config, SYMBOLS, CPU)
    for sentence, (found, limit) in enumerate(zip(results, limits, strict=True)):
        expected = plain_beam(averaged(tables), sentence, limit, beam, 1.0, beam)
        assert [(h.tokens, h.finished) for h in found] == [way[1:] for way in expected]
        assert [h.score for h in found] == pytest.approx([way[0] for way in expected], abs=1e-5)


def test_models_of_any_kind_decode_and_score_as_one() -> None:
    members = [Native(build(name), MODEL_SYMBOLS) for name in ("classic", "modern", "learned")]
    engine, rows = Ensemble(members), sources(3, [5, 9, 3])
    config = SearchConfig(beam=3, n_best=3, batch_tokens=60)
    assert engine.positions == 64
    found = engine.decode(rows, [12] * 3, config)
    flat = [(row, h) for row, best in zip(rows, found, strict=True) for h in best]
    inputs = [row for row, _ in flat]
    targets = [h.tokens for _, h in flat]
    scores = engine.score(inputs, targets, 100)
    for (_, h), logp in zip(flat, scores, strict=True):
        assert list(h.logp) == pytest.approx(list(logp), abs=1e-4)
    each = [member.score(inputs, targets, 100) for member in members]
    for i, logp in enumerate(scores):
        mean = [math.log(sum(map(math.exp, p)) / 3) for p in zip(*(e[i] for e in each))]  # noqa: B905
        assert list(logp) == pytest.approx(mean, abs=1e-6)
    assert engine.align(rows, rows, 99) == members[0].align(rows, rows, 99)
    assert engine.cover(rows, rows, 99) == members[0].cover(rows, rows, 99)
    required = [Constraint(required=(((7, 9),),))] * 3
    assert all(
        (7, 9) in zip(h.tokens, h.tokens[1:])  # noqa: B905
        for [h, *_] in engine.decode(rows, [12] * 3, config, None, required)
    )


def test_twice_the_same_model_is_the_model() -> None:
    model, rows = Native(build("classic"), MODEL_SYMBOLS), sources(4, [6, 2])
    twice, config = Ensemble([model, model]), SearchConfig(beam=4, n_best=4)
    for ours, theirs in zip(
        twice.decode(rows, [9, 9], config), model.decode(rows, [9, 9], config), strict=True
    ):
        assert [h.tokens for h in ours] == [h.tokens for h in theirs]
        assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-6)


def test_folders_become_an_ensemble(tmp_path: Path) -> None:
    pieces = make_tokenizer(tmp_path / "tokenizer").folder
    a, b = (make_model_folder(tmp_path / f"m{i}" / "model", pieces, seed=i) for i in (1, 2))
    texts = ["This is a house.", "We are going home."]
    alone, twice, both = (Translator.load(paths, device="cpu") for paths in (a, [a, a], [a, b]))
    config = SearchConfig(beam=2, max_extra=4)
    expected = texts_of(alone.translate(texts, "en", "de", config))
    assert texts_of(twice.translate(texts, "en", "de", config)) == expected
    assert texts_of(both.translate(texts, "en", "de", config)) != expected
    with pytest.raises(ConfigError, match=r"ensemble.*native"):
        Translator.load([a, b], engine="ctranslate2")
    with pytest.raises(ConfigError, match="no model"):
        Translator.load([])


def test_models_with_other_tokenizers_are_refused(tmp_path: Path) -> None:
    first = make_tokenizer(tmp_path / "tokenizer").folder
    lines = {"deu_Latn": ["Haus und Hof"] * 9, "eng_Latn": ["house"] * 9, "zho_Hans": ["房子"] * 9}
    config = TokenizerConfig(vocab=300, threads=1)
    other = tokenizer.train(lines, config, sorted(lines), tmp_path / "other").folder
    a, b = (
        make_model_folder(tmp_path / name / "model", pieces)
        for name, pieces in (("a", first), ("b", other))
    )
    with pytest.raises(ConfigError, match=r"another tokenizer.*the same tokenizer folder"):
        Translator.load([a, b], device="cpu")
