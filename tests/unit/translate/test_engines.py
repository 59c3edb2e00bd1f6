"""Which engine a Translator gets, what is said of it, and what lies beside the model after."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import torch
from translate_folders import MODEL, make_model_folder, make_tokenizer, run_config, texts_of

from m4nmt.checkpoint.model import ModelFolderError, write_scores
from m4nmt.cli.main import main
from m4nmt.core.config import ConfigError
from m4nmt.core.stages import SearchConfig
from m4nmt.exchange import folder as exports
from m4nmt.exchange.ctranslate2 import NotExportableError
from m4nmt.model.settings import Learned, ModelConfig, Parallel
from m4nmt.translate import engines
from m4nmt.translate.ctranslate2 import CTranslate2
from m4nmt.translate.engine import Native
from m4nmt.translate.translator import Translator

pytest.importorskip("ctranslate2")

TEXTS = ["This is a house.", "We are going home. Good day!", "home"]
PARALLEL = replace(MODEL, decoder=(replace(MODEL.decoder[0], residual=Parallel()),))
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer")).folder


@pytest.fixture
def make(pieces: Path, tmp_path: Path) -> Make:
    def make(model: ModelConfig = MODEL, seed: int = 1) -> Path:
        return make_model_folder(tmp_path / "model", pieces, run_config(model), seed)

    return make


def load(path: Path, precision: str = "fp32", engine: str = "auto") -> engines.Ready:
    return engines.load(path, "cpu", precision, engine, 1)


def test_on_a_cpu_ctranslate2_translates_as_the_native_engine(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    model = make()
    with caplog.at_level(logging.INFO):
        auto = Translator.load(model, device="cpu", threads=1)
    native = Translator.load(model, device="cpu", engine="native")
    assert isinstance(auto._engine, CTranslate2)
    assert isinstance(native._engine, Native)
    assert "float32 on cpu: on a CPU it is faster" in caplog.text
    assert auto.card == native.card
    assert auto.search == native.search
    config = SearchConfig(beam=3, n_best=3, length_alpha=0.6)
    found, expected = (
        t.translate(TEXTS, "en", ["de", "zh", "de"], config, token_scores=True)
        for t in (auto, native)
    )
    assert texts_of(found) == texts_of(expected)
    for ours, theirs in zip(chain(*expected), chain(*found), strict=True):
        assert theirs.score == pytest.approx(ours.score, abs=1e-4)
        assert theirs.tokens == ours.tokens
        assert theirs.token_scores == pytest.approx(ours.token_scores, abs=1e-4)
    answers = ["Das ist ein Haus.", "Wir gehen.", ""]
    assert auto.score(TEXTS, answers, "en", "de") == pytest.approx(
        native.score(TEXTS, answers, "en", "de"), abs=1e-4
    )
    assert auto.detect(TEXTS) == native.detect(TEXTS)


def test_it_is_exported_once_and_anew_when_the_weights_change_or_the_export_is_damaged(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    model = make()
    load(model)
    binary = exports.beside(model, "float32") / "model.bin"
    first = binary.stat().st_mtime_ns, binary.read_bytes()
    load(model)
    assert binary.stat().st_mtime_ns == first[0]
    data = bytearray(first[1])
    data[-9] ^= 1
    binary.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        load(model)
    assert "model.bin is damaged" in caplog.text
    assert binary.read_bytes() == first[1]
    kept = shutil.copytree(binary.parent, model.parent / "kept")
    make(seed=2)
    shutil.copytree(kept, binary.parent)
    load(model)
    assert binary.read_bytes() != first[1]


def test_scores_of_a_later_evaluation_are_on_the_card(make: Make) -> None:
    model = make()
    load(model)
    write_scores(model, {"eng_Latn-deu_Latn": {"bleu": 31.0}})
    assert load(model).card.scores == {"eng_Latn-deu_Latn": {"bleu": 31.0}}


def test_an_export_travels_alone(make: Make, tmp_path: Path) -> None:
    model, alone = make(), tmp_path / "elsewhere" / "export"
    assert main(["export", str(model), "--to", "ctranslate2", "--output", str(alone)]) == 0
    native = Translator.load(model, device="cpu", engine="native")
    expected = native.translate(TEXTS, "en", "de", guard=None)
    shutil.rmtree(model)
    translator = Translator.load(alone, device="cpu", threads=1)
    assert texts_of(translator.translate(TEXTS, "en", "de", guard=None)) == texts_of(expected)
    again = translator.translate(TEXTS, "en", "de")
    assert len(again) == len(TEXTS), "loops are searched again, though they cannot be forbidden"
    assert any("repeats" in t.marks for [t] in again)
    assert translator.detect(["We are going home."])[0][0] == "eng_Latn"
    with pytest.raises(ValueError, match="give the model folder instead"):
        translator.translate(TEXTS, "en", "de", SearchConfig(sample=True))
    with pytest.raises(ConfigError, match="give the model folder it was made of"):
        load(alone, engine="native")
    (alone / "model.bin").write_bytes(b"")
    with pytest.raises(ModelFolderError, match=r"model\.bin is damaged"):
        load(alone)


def test_what_was_cut_at_the_last_position_is_scored_too(make: Make) -> None:
    model = make(replace(MODEL, position=Learned(length=20)))
    texts = ["We are going home " * 30 + ".", "home", "x" * 200]
    ours, theirs = (
        Translator.load(model, device="cpu", engine=e).translate(
            texts, "en", "de", SearchConfig(beam=2), token_scores=True
        )
        for e in ("native", "ctranslate2")
    )
    assert any(len(t.tokens) > 15 and not t.finished for [t] in ours)
    for [a], [b] in zip(ours, theirs, strict=True):
        assert len(a.tokens) == len(a.token_scores)
        assert len(b.tokens) == len(b.token_scores)


def test_draws_come_from_the_native_engine(make: Make) -> None:
    model, draws = make(), SearchConfig(sample=True, beam=3, n_best=3, max_extra=4)
    auto, native = (Translator.load(model, device="cpu", engine=e) for e in ("auto", "native"))
    assert isinstance(auto._engine, CTranslate2)
    found, expected = (t.translate(TEXTS, "en", "de", draws) for t in (auto, native))
    assert texts_of(found) == texts_of(expected)


def test_a_model_that_cannot_be_expressed_runs_natively(make: Make) -> None:
    ready = load(make(PARALLEL))
    assert isinstance(ready.engine, Native)
    assert "cannot express model.decoder[0].residual=Parallel" in ready.which
    with pytest.raises(NotExportableError, match="the native engine serves this model"):
        load(make(PARALLEL), engine="ctranslate2")


def test_why_it_is_native(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    assert "as asked" in load(model, engine="native").which
    assert "the precision is bf16" in load(model, "bf16").which
    if not torch.cuda.is_available():
        assert engines._against(model, engines._Wish("cuda", "fp32", 0)) == "the device is cuda"

    def full(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(exports, "write_export", full)
        assert "no export can be written" in load(model).which
        with pytest.raises(PermissionError):
            load(model, engine="ctranslate2")

    def missing(name: str) -> str:
        raise exports.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(exports.metadata, "version", missing)
    ready = load(model)
    assert isinstance(ready.engine, Native)
    assert "pip install 'm4nmt[ctranslate2]'" in ready.which
    with pytest.raises(ConfigError, match="not installed"):
        load(model, engine="ctranslate2")


def test_eight_bits_are_used_where_they_were_exported(make: Make) -> None:
    model = make()
    assert ", float32 on cpu" in load(model, "auto").which
    assert main(["export", str(model), "--to", "ctranslate2", "--quantize", "int8"]) == 0
    assert ", int8 on cpu" in load(model, "auto").which
    assert ", float32 on cpu" in load(model, "fp32").which
    assert ", int8 on cpu" in load(model, "int8").which
    translator = Translator.load(model, device="cpu", precision="int8", threads=1)
    assert all(best.tokens for [best] in translator.translate(TEXTS, "en", "de"))


def test_wrong_names(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    model = make()
    with pytest.raises(ConfigError, match="did you mean 'ctranslate2'"):
        load(model, engine="ctranslate")
    with pytest.raises(ConfigError, match="did you mean 'int8'"):
        load(model, "int9")
    for engine in ("auto", "native"):
        with pytest.raises(ConfigError, match="got -1"):
            Translator.load(model, device="cpu", threads=-1, engine=engine)
    assert main(["export", str(model), "--to", "ctranslate2", "--quantize", "int9"]) == 2
    assert "did you mean 'int8'" in capsys.readouterr().err
