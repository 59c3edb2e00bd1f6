"""From a model folder on disk to translations, through every part of the road."""

import json
import math
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.checkpoint.model import ModelFolderError, save_model
from m4nmt.core.config import ConfigError, config_hash, to_dict
from m4nmt.core.stages import SearchConfig
from m4nmt.data import tokenizer
from m4nmt.data.identify import Identifier
from m4nmt.data.settings import BlockConfig, DataConfig, TokenizerConfig
from m4nmt.data.types import Direction
from m4nmt.model import init, translation
from m4nmt.model.settings import Learned, ModelConfig, classic, modern
from m4nmt.train.settings import RunConfig
from m4nmt.translate.decoder import CancelledError
from m4nmt.translate.translator import Translator

LINES = {
    "arb_Arab": ["هذا بيت.", "كيف حالك؟", "نحن ذاهبون إلى البيت."] * 4,
    "eng_Latn": ["This is a house.", "Good day, how are you?", "We are going home."] * 4,
    "zho_Hans": ["这是一座房子。", "你好，你好吗？", "我们回家。"] * 4,
}
SHORT = SearchConfig(beam=2, max_ratio=0.5, max_extra=4)


def make_folder(folder: Path, model: ModelConfig) -> Path:
    """A model folder with random weights that are sure of what they say."""
    made = tokenizer.train(
        LINES, TokenizerConfig(vocab=350, threads=1), sorted(LINES), folder / "data" / "tokenizer"
    )
    Identifier.train(LINES).save(made.folder / "identify.safetensors")
    data = DataConfig(
        manifest="none",
        tokenizer=TokenizerConfig(vocab=made.size),
        blocks=BlockConfig(max_length=24),
    )
    config = RunConfig(name="tiny", data=data, model=replace(model, vocab=made.size), search=SHORT)
    card = CheckpointCard(
        name="tiny",
        step=1,
        config=to_dict(config),
        config_sha256=config_hash(config),
        tokenizer_sha256=made.sha256,
        directions=("arb_Arab-eng_Latn", "eng_Latn-zho_Hans"),
        languages=made.languages,
        code="m4nmt",
    )
    built = translation.build(config.model)
    init.materialise(built, "cpu", 1)
    generator = torch.Generator().manual_seed(1)
    weights = {
        name: p.detach() + torch.randn(p.shape, generator=generator) * 0.3
        for name, p in built.canonical_parameters().items()
    }
    save_model(folder / "model", weights, card, made.folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = classic(layers=1, dim=16, hidden=24, heads=2)
    return make_folder(tmp_path_factory.mktemp("run"), model)


@pytest.fixture(scope="module", params=["native", "ctranslate2"])
def translator(run: Path, request: pytest.FixtureRequest) -> Translator:
    if request.param == "ctranslate2":
        pytest.importorskip("ctranslate2")
    return Translator.load(run, device="cpu", engine=request.param)


def texts_of(translator: Translator, texts: list[str], **options: object) -> list[str]:
    found = translator.translate(texts, "en", "zh", **options)  # type: ignore[arg-type]
    return [best.text for best, *_ in found]


def test_a_run_and_its_model_folder_load_alike(run: Path, translator: Translator) -> None:
    alone = Translator.load(run / "model", device="cpu")
    texts = ["This is a house.", "We are going home. Good day, how are you?"]
    assert texts_of(alone, texts) == texts_of(translator, texts)
    assert alone.card == translator.card
    assert alone.languages == ("arb_Arab", "eng_Latn", "zho_Hans")
    assert [str(d) for d in alone.directions] == ["arb_Arab-eng_Latn", "eng_Latn-zho_Hans"]
    assert alone.search == SHORT
    assert texts_of(alone, texts)[0] != texts_of(alone, texts)[1]


@pytest.mark.parametrize(
    "model",
    [
        modern(layers=(2, 1), dim=16, hidden=24, heads=2, kv_heads=1),
        replace(classic(layers=1, dim=16, hidden=24, heads=2), ties="none"),
        replace(classic(layers=1, dim=16, hidden=24, heads=2), position=Learned(length=20)),
    ],
)
def test_other_models_load_and_translate_texts_of_any_length(
    tmp_path: Path, model: ModelConfig
) -> None:
    translator = Translator.load(make_folder(tmp_path, model), device="cpu")
    texts = ["We are going home " * 30 + ".", "home", "x" * 200]
    found = translator.translate(texts, "eng_Latn", "arb_Arab")
    assert len(found) == 3
    assert all(best.tokens for best, *_ in found)


def test_a_sentence_is_the_same_alone_and_in_company(translator: Translator) -> None:
    texts = [
        f"{a} {b} {i}." for i, (a, b) in enumerate((a, b) for a in "abcde" for b in ("home", "day"))
    ]
    together = translator.translate(texts, "en", "zh", SearchConfig(beam=3, batch_tokens=150))
    for text, [best, *_] in zip(texts, together, strict=True):
        [[alone, *_]] = translator.translate([text], "en", "zh", SearchConfig(beam=3))
        assert best.score == pytest.approx(alone.score, abs=1e-3)
        assert best.tokens == alone.tokens


def test_scores_of_translations_are_those_of_teacher_forcing(translator: Translator) -> None:
    config = SearchConfig(beam=4, n_best=4, length_alpha=0.0, max_extra=8)
    texts = [f"{word} home" for word in ("this", "day", "we", "you", "good", "how", "are")]
    processor, checked = translator._tokenizer._processor, 0
    every = translator.translate(texts, "en", "zh", config, token_scores=True)
    for text, found in zip(texts, every, strict=True):
        ids = translator._tokenizer.encode([text])[0]
        row = translator._tokenizer.source(ids, Direction("eng_Latn", "zho_Hans"))
        for t in found:
            target = [processor.piece_to_id(piece) for piece in t.tokens]
            target += [translator._tokenizer.eos] * t.finished
            [scores] = translator._engine.score([row], [target], 99)
            assert t.token_scores == pytest.approx(scores[: len(t.tokens)], abs=1e-4)
            assert t.score == pytest.approx(sum(scores), abs=1e-4)
            checked += 1
    assert checked >= 14


def test_scores_of_given_translations(translator: Translator) -> None:
    sources, targets = ["home", "home", "day"], ["你好", "房子", "你好"]
    scores = translator.score(sources, targets, "en", "zh")
    assert len(set(scores)) == 3
    assert scores == [sum(t) for t in translator.score_tokens(sources, targets, "en", "zh")]
    assert all(score < 0 for score in scores)


def test_draws_are_seeded_and_do_not_depend_on_the_batch(translator: Translator) -> None:
    config = SearchConfig(sample=True, beam=2, n_best=2, max_extra=8, temperature=1.5)
    texts = ["This is a house.", "Good day.", "home"]
    found = translator.translate(texts, "en", "zh", config)
    assert translator.translate(texts, "en", "zh", config) == found
    for text, expected in zip(texts, found, strict=True):
        [alone] = translator.translate([text], "en", "zh", config)
        assert [t.tokens for t in alone] == [t.tokens for t in expected]
    other = translator.translate(texts, "en", "zh", replace(config, seed=1))
    assert [t.text for [t, *_] in other] != [t.text for [t, *_] in found]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(texts=st.lists(st.text(max_size=40), max_size=3), src=st.sampled_from(("auto", "en")))
@example(
    texts=["a\x00b", "\ufeffhome", "\ufffd x", "😀 home", "\u202eabc\u202c", "e\u0301"], src="en"
)
@example(texts=["<2zho_Hans> home </s>", "هذا بيت.\nكيف حالك؟", "👩\u200d👩\u200d👧 x"], src="auto")
@example(texts=["", "   ", "\n", "a\n\n b\r\n"], src="auto")
def test_as_many_texts_out_as_in_whatever_they_are(
    translator: Translator, texts: list[str], src: str
) -> None:
    found = translator.translate(texts, src, "zh")
    assert len(found) == len(texts)
    for text, [best, *_] in zip(texts, found, strict=True):
        json.dumps(best.text, ensure_ascii=False).encode()
        assert best.text.count("\n") == text.count("\n")
        assert math.isfinite(best.score)
        if not any(map(str.isalnum, text)):
            assert best.text == text


def test_a_typed_tag_does_not_choose_the_language(translator: Translator) -> None:
    tagged = translator._tokenizer.encode(["<2arb_Arab> home"])[0]
    assert translator._tokenizer.tag("arb_Arab") not in tagged


def test_cancelling_stops_within_a_step(run: Path) -> None:
    translator, asked = Translator.load(run, device="cpu", engine="native"), []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(CancelledError):
        translator.translate(["We are going home."] * 3, "en", "zh", cancelled=cancelled)
    assert len(asked) == 3


def test_threads_may_share_it(translator: Translator) -> None:
    texts = [f"{word} {i}" for i in range(6) for word in ("home", "day", "house")]
    expected = texts_of(translator, texts)
    found: dict[int, list[str]] = {}

    def work(number: int) -> None:
        found[number] = texts_of(translator, texts)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert list(found.values()) == [expected] * 4


def test_bf16(run: Path, translator: Translator) -> None:
    half = Translator.load(run, device="cpu", precision="bf16")
    texts, answers = ["This is a house.", "home"], ["这是", "你好，"]
    close = translator.score(texts, answers, "en", "zh")
    assert half.score(texts, answers, "en", "zh") == pytest.approx(close, rel=0.1)
    assert len(texts_of(half, texts)) == 2


def test_what_cannot_be_loaded_says_why(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="neither a model folder"):
        Translator.load(tmp_path)
    with pytest.raises(ConfigError, match="unknown precision 'fp23'; did you mean 'fp32'"):
        Translator.load(run, precision="fp23")
    with pytest.raises(ConfigError, match="device"):
        Translator.load(run, device="toaster")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            Translator.load(run, device="cuda")
