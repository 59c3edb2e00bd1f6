"""The coverage penalty against its formula, and the attention it is made of against the model's."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from translate_folders import make_model_folder, make_tokenizer
from translate_models import BOS, CONFIGS, EOS, build, sources

from m4nmt.core.stages import SearchConfig
from m4nmt.data.types import Direction
from m4nmt.translate import alignment
from m4nmt.translate.coverage import penalty, rank_again
from m4nmt.translate.decoder import Hypothesis, Symbols
from m4nmt.translate.engine import Native, Rows
from m4nmt.translate.translator import Translator

SYMBOLS = Symbols(BOS, EOS, (0, 1, BOS), frozenset({20, 21}))


@given(
    looks=st.lists(st.floats(0, 3), max_size=6),
    beta=st.sampled_from((0.0, 0.2, 1.0)),
)
def test_the_penalty_is_wu_2016_equation_14(looks: list[float], beta: float) -> None:
    expected = beta * sum(math.log(min(max(p, 1e-6), 1.0)) for p in looks)
    assert penalty(looks, beta) == pytest.approx(expected, abs=1e-9)
    assert penalty(looks, beta) <= 0
    assert penalty([1.0, 2.5], beta) == 0


@pytest.mark.parametrize("name", ["classic", "modern"])
def test_every_target_token_has_one_look_to_give(name: str) -> None:
    model, rows = build(name), [[20, 7, 8, 9, EOS], [20, 5, EOS], [20, EOS], [21, 6, 4, EOS]]
    targets, aligner = [[9, 8], [7, 7, 7, 7], [5], []], alignment.Aligner(model, SYMBOLS)
    found = aligner.cover(rows, targets, 100)
    assert [len(looks) for looks in found] == [3, 1, 0, 2]
    assert sum(found[0]) == pytest.approx(2)
    assert sum(found[1]) == pytest.approx(4)
    assert found[3] == (0.0, 0.0)
    layers, shift = alignment.Reading.of(model)
    seen = alignment.attention(model, layers, torch.tensor(rows[:1]), torch.tensor([[BOS, 9, 8]]))
    words = seen[0, shift : 2 + shift, 1:4]
    assert list(found[0]) == pytest.approx((words / words.sum(1, keepdim=True)).sum(0).tolist())
    alone = aligner.cover(rows[:1], targets[:1], 100)
    assert list(alone[0]) == pytest.approx(list(found[0]), abs=1e-9)


class Looks:
    """An engine that looks at the source as it is told."""

    def cover(self, rows: Rows, targets: Rows, budget: int) -> list[tuple[float, ...]]:
        return [(1.0, 0.5 if target == (5,) else 1.0) for target in targets]


def test_the_penalty_is_added_and_the_ranks_are_made_anew() -> None:
    a = Hypothesis((5, EOS), (), -1.0, True)
    b = Hypothesis((6, EOS), (), -1.2, True)
    engine = Looks()
    for beta, order in ((0.0, [a, b]), (0.1, [a, b]), (1.0, [b, a])):
        [found] = rank_again(engine, [[20, 7, 8, EOS]], [[a, b]], beta, 100)  # type: ignore[arg-type]
        assert [h.tokens for h in found] == [h.tokens for h in order]
        [worse] = [h.score for h in found if h.tokens == a.tokens]
        assert worse == pytest.approx(-1.0 + beta * math.log(0.5))


def test_brute_force_over_what_a_search_found() -> None:
    engine, rows = Native(build("classic"), SYMBOLS), sources(5, [9, 6, 12, 4])
    found = engine.decode(rows, [8] * 4, SearchConfig(beam=6, n_best=6))
    ranked = rank_again(engine, rows, found, 2.0, 40)
    changed = 0
    for row, before, after in zip(rows, found, ranked, strict=True):
        scores = {}
        for h in before:
            words = h.tokens[:-1] if h.finished else h.tokens
            [looks] = engine.cover([row], [words], 1)
            scores[h.tokens] = h.score + 2.0 * sum(math.log(min(p, 1.0)) for p in looks)
        assert {h.tokens: h.score for h in after} == pytest.approx(scores)
        finished = [h for h in after if h.finished]
        assert [h.score for h in finished] == sorted((h.score for h in finished), reverse=True)
        changed += [h.tokens for h in before] != [h.tokens for h in after]
    assert changed, "or nothing was tested"


def test_a_translator_ranks_by_it(tmp_path: Path) -> None:
    model = make_model_folder(tmp_path / "m", make_tokenizer(tmp_path / "t").folder)
    it, beta = Translator.load(model, device="cpu", engine="native"), 3.0
    plain = SearchConfig(beam=4, n_best=4, max_ratio=1.0, max_extra=4)
    [before] = it.translate(["This is a house."], "en", "de", plain, guard=None)
    [after] = it.translate(
        ["This is a house."], "en", "de", replace(plain, coverage=beta), guard=None
    )
    ids = it._tokenizer.encode(["This is a house."])[0]
    row = it._tokenizer.source(ids, Direction("deu_Latn", "deu_Latn"))
    scores = {t.tokens: t.score for t in before}
    for t in after:
        [looks] = it._engine.cover([row], [it._tokenizer.ids(t.tokens)], 1)
        assert t.score == pytest.approx(scores[t.tokens] + penalty(looks, beta), abs=1e-3)


@pytest.mark.parametrize("name", CONFIGS)
def test_any_model_can_be_read(name: str) -> None:
    engine, rows = Native(build(name), SYMBOLS), sources(1, [4])
    [looks] = engine.cover(rows, [[7, 8, 9]], 10)
    assert len(looks) == 3, "there is no tag"
    assert sum(looks) == pytest.approx(3)
