"""From a run folder to scores, hypotheses, a report and a card that knows them."""

from pathlib import Path
from typing import Any

import pytest
from evaluate_runs import Knowing, make_run

from m4nmt.checkpoint.model import README, WEIGHTS, load_card, load_model
from m4nmt.core.config import ConfigError
from m4nmt.core.stages import EvaluateConfig
from m4nmt.data.types import Direction
from m4nmt.evaluate import run as module
from m4nmt.evaluate.report import load
from m4nmt.evaluate.run import evaluate
from m4nmt.evaluate.testsets import from_files, from_manifest
from m4nmt.evaluate.types import DirectionScore, Report


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("digits"))


def scored(run: Path, out: Path, translator: Any = None, **changes: Any) -> Report:
    options = {"bootstrap": 20, "samples": 2, **changes}
    return evaluate(run, EvaluateConfig(**options), out=out, translator=translator or Knowing(run))


def by_name(report: Report) -> dict[tuple[str, str], DirectionScore]:
    return {(score.testset, score.direction): score for score in report.scores}


def test_every_direction_of_every_corpus_is_scored(digits: Path, tmp_path: Path) -> None:
    translator = Knowing(digits)
    report = scored(digits, tmp_path, translator)
    assert len(report.scores) == 8  # two directions of "big", six of "both"
    assert translator.calls == [2 * 12 + 6 * 6]  # all in one go
    for score in report.scores:
        assert (score.bleu, score.chrf, score.spbleu) == pytest.approx((100, 100, 100))
        assert score.interval == pytest.approx((100, 100))
        assert set(score.signatures) == {"bleu", "chrf", "spbleu"}
        assert [sample.output == sample.reference for sample in score.samples] == [True, True]
    held_out = by_name(report)["both", "fra_Latn-deu_Latn"]
    assert (held_out.trained, held_out.pairs, held_out.band) == (False, 0, "")
    assert report.zero_shot == (held_out,)
    english = by_name(report)["big", "eng_Latn-deu_Latn"]
    assert (english.trained, english.pairs, english.band) == (True, 225, "high")
    assert english.sentences == 12
    assert load(tmp_path / "report.json") == report
    assert report.licences["big.train"] == "CC0-1.0"
    assert report.parameters == sum(w.numel() for w in load_model(digits).weights.values())


def test_outputs_are_kept_line_by_line(digits: Path, tmp_path: Path) -> None:
    translator = Knowing(digits)
    translator.spoil = {"eng_Latn-fra_Latn": "cut\nshort", "deu_Latn-fra_Latn": ""}
    report = scored(digits, tmp_path, translator)
    kept = tmp_path / "hypotheses" / "both" / "eng_Latn-fra_Latn.txt"
    assert kept.read_bytes() == b"cut short\n" * 6
    found = by_name(report)
    assert (found["both", "eng_Latn-fra_Latn"].cut, found["both", "eng_Latn-fra_Latn"].bleu) == (
        6,
        0,
    )
    assert found["both", "deu_Latn-fra_Latn"].empty == 6
    assert found["both", "eng_Latn-deu_Latn"].bleu == pytest.approx(100)


def test_groups_of_lines_do_not_change_the_scores(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOGETHER", 15)
    translator = Knowing(digits)
    translator.spoil = {"eng_Latn-deu_Latn": "null eins"}
    report = scored(digits, tmp_path, translator)
    assert len(translator.calls) > 2
    spoiled = {score.direction for score in report.scores if (score.bleu or 0) < 99}
    assert spoiled == {"eng_Latn-deu_Latn"}


def test_the_model_knows_its_scores_afterwards(digits: Path, tmp_path: Path) -> None:
    before = load_model(digits)
    written = (before.folder / WEIGHTS).stat()
    scored(digits, tmp_path, metrics=("bleu", "chrf"), directions=("*-fra_Latn",))
    after = load_model(digits)
    again = (after.folder / WEIGHTS).stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert "100.0" in (after.folder / README).read_text()
    assert after.card.scores["eng_Latn-fra_Latn"] == {"bleu": 100.0, "chrf": 100.0}
    assert any("tok:13a" in signature for signature in after.card.scores["signatures"])
    assert after.card.weights_sha256 == before.card.weights_sha256
    assert after.card.files == before.card.files
    scored(digits, tmp_path, metrics=("bleu",), directions=("eng_Latn-deu_Latn",))
    both = load_card(digits).scores
    assert both["eng_Latn-deu_Latn"] == {"bleu big": 100.0, "bleu both": 100.0}
    assert "eng_Latn-fra_Latn" not in both  # of another evaluation
    assert both["decoding"] == "beam 2, length penalty 1"


def test_the_domain_is_told_to_the_model_and_to_readers(digits: Path, tmp_path: Path) -> None:
    translator = Knowing(digits)
    report = evaluate(
        digits,
        EvaluateConfig(bootstrap=0, metrics=("chrf",), directions=("eng_Latn-deu_Latn",)),
        out=tmp_path,
        translator=translator,  # type: ignore[arg-type]
        domain="law",
    )
    assert translator.domains == ["law"]
    assert load(tmp_path / "report.json") == report
    assert report.domain == "law"
    said = "beam 2, length penalty 1, domain law"
    assert load_card(digits).scores["decoding"] == said
    assert said in (tmp_path / "report.md").read_text()
    assert said in (tmp_path / "index.html").read_text()


def test_fewer_sentences_metrics_and_directions(digits: Path, tmp_path: Path) -> None:
    report = scored(
        digits, tmp_path, sentences=3, metrics=("chrf",), directions=("fra_Latn-*",), bootstrap=0
    )
    assert {score.src for score in report.scores} == {"fra_Latn"}
    for score in report.scores:
        assert (score.sentences, score.bleu, score.interval) == (3, None, None)
    assert report.metrics == ("chrf",)


def test_what_is_not_there_is_named(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no test data for direction 'swh_Latn-\\*'"):
        scored(digits, tmp_path, directions=("swh_Latn-*",))
    with pytest.raises(ConfigError, match="evaluate a run folder with its prepared data"):
        scored(digits / "model", tmp_path)


def test_other_test_sets_do_not_touch_the_card(digits: Path, tmp_path: Path) -> None:
    card = load_card(digits)
    corpus = digits / "corpus"
    files = from_files(
        corpus / "big.dev.eng_Latn.txt",
        corpus / "big.dev.deu_Latn.txt",
        Direction("eng_Latn", "deu_Latn"),
    )
    sets = [*from_manifest(str(corpus / "manifest.toml"), "dev", card.languages), files]
    report = evaluate(
        digits / "model",
        EvaluateConfig(bootstrap=0),
        sets=sets,
        out=tmp_path,
        translator=Knowing(digits),  # type: ignore[arg-type]
    )
    assert report.testsets == ("big", "both")
    assert len(report.scores) == 9
    assert all(score.bleu == pytest.approx(100) for score in report.scores)
    assert {score.pairs for score in report.scores} == {-1, 0}  # sizes are not known here
    assert load_card(digits) == card


def test_a_real_model_is_evaluated_as_its_card_says(digits: Path) -> None:
    report = evaluate(digits)
    assert len(report.scores) == 8
    assert all(0 <= (score.bleu or 0) < 50 for score in report.scores)
    assert all("bs:50" in score.signatures["bleu"] for score in report.scores)
    assert {p.name for p in (digits / "report").iterdir()} == {
        "report.json",
        "report.md",
        "index.html",
        "hypotheses",
    }
    lines = (digits / "report/hypotheses/big/eng_Latn-deu_Latn.txt").read_bytes().count(b"\n")
    assert lines == 12
