"""Scores of lists of lines by sacreBLEU: BLEU, chrF++ and spBLEU, each with its signature.

BLEU is tokenised "13a"; targets in Chinese characters "zh"; targets that put no space between
words "char". (sacreBLEU's "ja-mecab" needs a dictionary that is not always there, and a score
that depends on what is installed is none.) spBLEU uses the pieces of FLORES-200 where their model
lies in sacreBLEU's cache, else the run's own pieces: nothing is downloaded, and the signature says
which pieces they were. Not its job: translating, choosing lines.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.utils import SACREBLEU_DIR

_NO_SPACES = frozenset({"bod", "dzo", "jpn", "khm", "lao", "lzh", "mya", "shn", "tha"})
_CHINESE = frozenset({"zho", "yue", "cmn", "wuu", "hak", "nan"})


class Pieces(Protocol):
    """The run's tokenizer, as far as spBLEU needs it."""

    @property
    def sha256(self) -> str: ...
    def encode(self, texts: Sequence[str]) -> list[list[int]]: ...
    def pieces(self, ids: Sequence[int]) -> list[str]: ...


class Measured(NamedTuple):
    """One metric on one test set, 0 to 100."""

    value: float
    signature: str
    interval: tuple[float, float] | None = None


Lines = Sequence[str]
Measure = Callable[[Lines, Lines], Measured]


def bleu_tokenizer(target: str) -> str:
    """sacreBLEU's name of the tokenisation for a target language."""
    language, _, script = target.partition("_")
    if language in _CHINESE and script.startswith("Han"):
        return "zh"
    return "char" if language in _NO_SPACES and script != "Latn" else "13a"


def measures(
    metrics: Sequence[str], target: str, pieces: Pieces, bootstrap: int = 0
) -> dict[str, Measure]:
    """The named metrics as functions of (outputs, references) for a target language."""
    every: dict[str, Measure] = {
        "bleu": lambda outputs, references: _bleu(
            BLEU(tokenize=bleu_tokenizer(target), force=True), outputs, references, bootstrap
        ),
        "chrf": _chrf,
        "spbleu": lambda outputs, references: _spbleu(outputs, references, pieces),
    }
    return {name: every[name] for name in metrics}


def flores_model() -> Path:
    """Where sacreBLEU keeps the pieces of FLORES-200, once they were fetched."""
    return Path(SACREBLEU_DIR) / "models" / "flores200sacrebleuspm"


def _bleu(metric: Any, outputs: Lines, references: Lines, bootstrap: int = 0) -> Measured:
    """Papineni et al. 2002; the interval by bootstrap (Koehn 2004), both sacreBLEU's."""
    resample = bootstrap if bootstrap > 1 and len(outputs) > 1 else 1
    found = metric.corpus_score(list(outputs), [list(references)], n_bootstrap=resample)
    interval = None
    if resample > 1:
        low, high = found._mean - found._ci, found._mean + found._ci
        interval = (max(0.0, float(low)), min(100.0, float(high)))
    return Measured(float(found.score), metric.get_signature().format(), interval)


def _chrf(outputs: Lines, references: Lines) -> Measured:
    """chrF++ (Popović 2017): character 6-grams and word bigrams."""
    metric = CHRF(word_order=2)
    found = metric.corpus_score(list(outputs), [list(references)])
    return Measured(float(found.score), metric.get_signature().format())


def _spbleu(outputs: Lines, references: Lines, pieces: Pieces) -> Measured:
    """BLEU over SentencePiece pieces (Goyal et al. 2022)."""
    if flores_model().is_file():
        return _bleu(BLEU(tokenize="flores200", force=True), outputs, references)
    metric = BLEU(tokenize="none", force=True)
    metric.tokenizer_signature = f"spm-{pieces.sha256[:8]}"
    return _bleu(metric, _cut(outputs, pieces), _cut(references, pieces))


def _cut(lines: Lines, pieces: Pieces) -> list[str]:
    return [" ".join(pieces.pieces(ids)) for ids in pieces.encode(list(lines))]
