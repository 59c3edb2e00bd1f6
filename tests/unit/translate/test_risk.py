"""Minimum-risk decoding against brute force with sacreBLEU."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF
from translate_folders import make_model_folder, make_tokenizer

from m4nmt.core.stages import SearchConfig
from m4nmt.translate import risk
from m4nmt.translate.decoder import Hypothesis
from m4nmt.translate.translator import Translator
from m4nmt.translate.types import Translation

WORDS = st.sampled_from(["a b c d e", "a b c d", "b c d e f", "x y", "a b", "", "这是房子", "这是"])


def brute(texts: list[str], measure: str, tokenize: str = "13a") -> dict[str, float]:
    """The mean utility of each text against every other one drawn."""
    metric = CHRF() if measure == "chrf" else BLEU(effective_order=True, tokenize=tokenize)
    out = {}
    for i, text in enumerate(texts):
        others = [o for j, o in enumerate(texts) if i != j]
        scores = [metric.sentence_score(text, [o]).score for o in others]
        out[text] = sum(scores) / len(scores) if scores else 0.0
    return out


@settings(max_examples=30, deadline=None)
@given(drawn=st.lists(WORDS, min_size=1, max_size=6), measure=st.sampled_from(("chrf", "bleu")))
def test_expected_utility_is_the_mean_over_all_that_were_found(
    drawn: list[str], measure: str
) -> None:
    counts = Counter(drawn)
    ours = risk.expected(list(counts), list(counts.values()), risk.utility(measure, "eng_Latn"))
    assert dict(zip(counts, ours, strict=True)) == pytest.approx(brute(drawn, measure), abs=1e-9)


def test_scripts_without_spaces_are_compared_by_character() -> None:
    same = risk.utility("bleu", "zho_Hans")("这是一座房子", "这是一座大房子")
    assert same > 40
    assert risk.utility("bleu", "eng_Latn")("这是一座房子", "这是一座大房子") < same


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    folder: Path = tmp_path_factory.mktemp("run")
    made = make_tokenizer(folder / "tokenizer").folder
    return Translator.load(make_model_folder(folder / "model", made), "cpu", engine="native")


def translate(
    it: Translator, texts: list[str], tgt: str, **options: object
) -> list[list[Translation]]:
    config = SearchConfig(max_ratio=0.5, max_extra=4, **options)  # type: ignore[arg-type]
    return it.translate(texts, "en", tgt, config, guard=None)


@pytest.mark.parametrize("measure", ["chrf", "bleu"])
@pytest.mark.parametrize("tgt", ["de", "zh"])
@pytest.mark.parametrize("sample", [True, False])
def test_the_translation_nearest_to_all_is_chosen(
    it: Translator, measure: str, tgt: str, sample: bool
) -> None:
    texts, draw = ["home", "Good day"], {"beam": 6, "sample": sample, "temperature": 0.7}
    if not sample:
        draw = {"beam": 6}
    every = translate(it, texts, tgt, n_best=6, **draw)
    chosen = translate(it, texts, tgt, risk=measure, **draw)
    ranked = translate(it, texts, tgt, risk=measure, n_best=6, **draw)
    for candidates, [best], order in zip(every, chosen, ranked, strict=True):
        drawn = {t.text for t in candidates}
        assert {t.text for t in order} == drawn
        if len(drawn) == 6:  # no text twice, so each counts once
            expected = brute(
                [t.text for t in candidates], measure, "13a" if tgt == "de" else "char"
            )
            assert {t.text: t.utility for t in order} == pytest.approx(expected)
            assert best.utility == pytest.approx(max(expected.values()))
        assert best == order[0]
        assert [t.utility for t in order] == sorted((t.utility for t in order), reverse=True)


def test_a_text_that_is_drawn_twice_counts_twice(
    it: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = ["Haus und Hof", "Haus und Hof", "Haus", "Hof", "Haus gut"]
    rows = [(*ids, it._tokenizer.eos) for ids in it._tokenizer.encode(drawn)]
    made = [Hypothesis(row, (-0.1,) * len(row), -float(i), True) for i, row in enumerate(rows)]
    monkeypatch.setattr(it._engine, "decode", lambda rows, *_: [made for _ in rows])
    [found] = translate(it, ["home"], "de", beam=5, n_best=5, risk="chrf")
    assert {t.text: t.utility for t in found} == pytest.approx(brute(drawn, "chrf"))
    assert len(found) == 4


def test_what_was_drawn_often_counts_as_often() -> None:
    measure = risk.utility("chrf", "eng_Latn")
    texts = ["one two three", "one two tree", "four"]
    [_, _, rare] = risk.expected(texts, [1, 1, 1], measure)
    [_, _, often] = risk.expected(texts, [1, 1, 5], measure)
    assert rare < 30 < 60 < often
    assert risk.expected(["alone"], [1], measure) == [0.0]


@pytest.mark.parametrize("wrong", [{"beam": 1}, {"coverage": 0.2}])
def test_settings_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="risk"):
        SearchConfig(risk="chrf", **wrong)  # type: ignore[arg-type]
