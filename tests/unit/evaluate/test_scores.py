"""Scores equal sacreBLEU's, and their signatures say how they came about."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import sacrebleu
from sacrebleu.metrics import BLEU

from m4nmt.evaluate import score
from m4nmt.evaluate.score import bleu_tokenizer, measures

REFERENCES = ["The cat sat on the mat.", "It is 3 o'clock, isn't it?", "A third line of text."] * 9
OUTPUTS = ["The cat sat on a mat.", "It is 3 o'clock.", "Another line of some text."] * 9


class Letters:
    """Pieces of one letter each."""

    sha256 = "0123456789abcdef" * 4

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [[ord(letter) for letter in text] for text in texts]

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [chr(i).replace(" ", "▁") for i in ids]


@pytest.fixture(autouse=True)
def _no_flores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a machine that never fetched the pieces, and that must not."""
    monkeypatch.setattr(score, "SACREBLEU_DIR", str(tmp_path))


def measured(metric: str, target: str = "eng_Latn", bootstrap: int = 0) -> score.Measured:
    return measures([metric], target, Letters(), bootstrap)[metric](OUTPUTS, REFERENCES)


def test_bleu_and_chrf_are_sacrebleus() -> None:
    assert measured("bleu").value == sacrebleu.corpus_bleu(OUTPUTS, [REFERENCES]).score
    chrf = sacrebleu.corpus_chrf(OUTPUTS, [REFERENCES], word_order=2)
    assert measured("chrf").value == chrf.score
    assert "tok:13a" in measured("bleu").signature
    assert "nw:2" in measured("chrf").signature


def test_the_interval_is_sacrebleus_bootstrap() -> None:
    metric = BLEU()
    expected = metric.corpus_score(OUTPUTS, [REFERENCES], n_bootstrap=200)
    found = measured("bleu", bootstrap=200)
    assert found.interval == (expected._mean - expected._ci, expected._mean + expected._ci)
    assert found.interval[0] < found.value < found.interval[1]
    assert "bs:200" in found.signature
    assert measured("bleu").interval is None


@pytest.mark.parametrize(
    ("target", "tokenizer"),
    [
        ("deu_Latn", "13a"),
        ("zho_Hans", "zh"),
        ("yue_Hant", "zh"),
        ("jpn_Jpan", "char"),
        ("tha_Thai", "char"),
        ("mya_Mymr", "char"),
        ("kor_Hang", "13a"),
        ("jpn_Latn", "13a"),
    ],
)
def test_the_tokenizer_fits_the_script(target: str, tokenizer: str) -> None:
    assert bleu_tokenizer(target) == tokenizer
    assert f"tok:{tokenizer}" in measured("bleu", target).signature


def test_spbleu_without_the_pieces_of_flores_uses_the_runs_own_and_says_so() -> None:
    spaced = [[" ".join(line.replace(" ", "▁")) for line in side] for side in (OUTPUTS, REFERENCES)]
    expected = sacrebleu.corpus_bleu(spaced[0], [spaced[1]], tokenize="none").score
    found = measured("spbleu")
    assert found.value == expected
    assert "tok:spm-01234567" in found.signature


def test_spbleu_takes_the_pieces_of_flores_where_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "models" / "flores200sacrebleuspm"
    assert score.flores_model() == path
    path.parent.mkdir()
    path.write_bytes(b"pieces")
    asked: list[str] = []

    def stand_in(tokenize: str, force: bool) -> BLEU:
        assert force, "a lasting full stop is no reason for sacreBLEU to scold"
        asked.append(tokenize)
        return BLEU(tokenize="char")

    monkeypatch.setattr(score, "BLEU", stand_in)
    measured("spbleu")
    assert asked == ["flores200"]


def test_the_place_of_the_pieces_is_where_sacrebleu_looks() -> None:
    from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS

    assert SPM_MODELS["flores200"]["url"].endswith("/" + score.flores_model().name)


def test_a_single_line_and_empty_outputs_are_scored() -> None:
    for metric, measure in measures(["bleu", "chrf", "spbleu"], "eng_Latn", Letters(), 100).items():
        assert measure(["one line"], ["one line"]).interval is None, metric
        assert measure(["", ""], ["some text", "more text"]).value == 0.0
