"""Exports for transformers, read by transformers: the same ids, the same probabilities."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from exchange_folders import make_folder
from hypothesis import example, given, settings
from hypothesis import strategies as st

from m4nmt.checkpoint.model import load_model
from m4nmt.core.config import ConfigError
from m4nmt.core.stages import SearchConfig
from m4nmt.exchange.huggingface import NotExportableError, check, obstacles
from m4nmt.exchange.huggingface_folder import write_folder
from m4nmt.model.settings import Learned, ModelConfig, classic, modern
from m4nmt.translate.translator import Translator

transformers = pytest.importorskip("transformers", reason="pip install transformers")

MODEL = classic(layers=2, dim=16, hidden=24, heads=2)
LINES = ("This is a house.", "Guten Tag, wie geht es?", "x", "house house day day going")


class Both(NamedTuple):
    ours: Translator
    model: Any
    tokenizer: Any
    folder: Path


def exported(folder: Path, config: ModelConfig) -> Both:
    made = make_folder(folder, config)
    out = folder / "huggingface"
    write_folder(load_model(made), out)
    return Both(
        Translator.load(made, engine="native"),
        transformers.AutoModelForSeq2SeqLM.from_pretrained(out).eval(),
        transformers.AutoTokenizer.from_pretrained(out),
        out,
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return exported(tmp_path_factory.mktemp("hf"), MODEL)


def scores(both: Both, source: str, target: str) -> list[float]:
    """log p of each token of the target and its end, by transformers."""
    end = both.tokenizer.eos_token_id
    row = both.tokenizer(f"<2deu_Latn> {source}")["input_ids"]
    words = [*both.tokenizer(target)["input_ids"][:-1], end]
    start = [both.model.config.decoder_start_token_id, *words[:-1]]
    with torch.inference_mode():
        found = both.model(
            input_ids=torch.tensor([row]), decoder_input_ids=torch.tensor([start])
        ).logits.log_softmax(-1)[0]
    return [float(found[i, word]) for i, word in enumerate(words)]


def same_scores(both: Both) -> None:
    for source in LINES:
        ours = both.ours.score_tokens([source], [LINES[1]], "eng_Latn", "deu_Latn")[0]
        assert scores(both, source, LINES[1]) == pytest.approx(ours, abs=2e-5)


def test_log_probabilities_are_ours(both: Both) -> None:
    same_scores(both)


@pytest.mark.parametrize(
    "config",
    [
        replace(MODEL, position=Learned(length=64)),
        replace(MODEL, scale_embedding=not MODEL.scale_embedding),
        classic(layers=1, dim=12, hidden=20, heads=3),
    ],
    ids=["learned positions", "scale", "one layer"],
)
def test_so_are_those_of_its_variants(tmp_path: Path, config: ModelConfig) -> None:
    same_scores(exported(tmp_path, config))


def test_greedy_translations_are_ours(both: Both) -> None:
    greedy = SearchConfig(beam=1, max_ratio=0, max_extra=12)
    ours = both.ours.translate(LINES, "eng_Latn", "deu_Latn", greedy, split=False, guard=None)
    rows = both.tokenizer(
        [f"<2deu_Latn> {line}" for line in LINES], return_tensors="pt", padding=True
    )
    with torch.inference_mode():
        said = both.model.generate(
            input_ids=rows["input_ids"],
            attention_mask=rows["attention_mask"],
            num_beams=1,
            max_new_tokens=12,
        )
    theirs = both.tokenizer.batch_decode(said, skip_special_tokens=True)
    assert theirs == [best[0].text for best in ours]


@settings(max_examples=300, deadline=None)
@example("e\u0301 a\u0308")
@example("a\u00a0b\u3000c\u2028d  e")
@example("\u200bz\ufeff\u202e")
@example("\x00a\x1fb\x85c")
@example("\u2581\u2581x \u2581")
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_texts_become_the_same_ids_and_come_back(both: Both, text: str) -> None:
    (ours,) = both.ours._tokenizer.encode([text.replace("<", "[")])  # no special token
    assert both.tokenizer(text.replace("<", "["))["input_ids"][:-1] == ours
    back = both.tokenizer.decode(ours, skip_special_tokens=True)
    assert [back] == both.ours._tokenizer.decode([ours])


def test_nothing_special_is_ever_said(both: Both) -> None:
    never = json.loads((both.folder / "generation_config.json").read_text())["suppress_tokens"]
    tags = [i for i in both.tokenizer.all_special_ids if i != both.tokenizer.eos_token_id]
    named = both.tokenizer.convert_tokens_to_ids(["<2deu_Latn>", "<2eng_Latn>", "<denoise>"])
    assert set(never) >= {*tags, *named}
    assert both.tokenizer.eos_token_id not in never


def test_the_page_for_people_names_languages_and_tags(both: Both) -> None:
    text = (both.folder / "README.md").read_text()
    assert "<2deu_Latn>" in text
    assert "language:\n- de\n- en\n" in text


def test_a_folder_that_is_there_is_left_alone(both: Both) -> None:
    before = {path: path.read_bytes() for path in both.folder.iterdir()}
    with pytest.raises(ConfigError, match="is there already"):
        write_folder(load_model(both.folder.parent / "model"), both.folder)
    assert {path: path.read_bytes() for path in both.folder.iterdir()} == before


def test_other_models_are_refused_by_name() -> None:
    assert not obstacles(MODEL)
    with pytest.raises(NotExportableError, match=r"position=Rotary.*norm=rms"):
        check(modern(layers=1, dim=16, hidden=24, heads=2))
