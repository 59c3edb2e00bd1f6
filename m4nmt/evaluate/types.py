"""What an evaluation found: the scores of each direction, and all of them as a report."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.core.stages import SearchConfig

FORMAT = 1
METRICS = ("bleu", "chrf", "spbleu")
NAMES = {"bleu": "BLEU", "chrf": "chrF++", "spbleu": "spBLEU"}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One translation to look at; `line` of the test set, from 1."""

    line: int
    source: str
    reference: str
    output: str


@dataclass(frozen=True, kw_only=True)
class DirectionScore:
    """The scores of one direction on one test set, 0 to 100; None where not measured.

    Attributes:
        direction: "eng_Latn-swh_Latn".
        testset: name of the corpus.
        sentences: lines scored.
        interval: 95 % bootstrap interval of BLEU.
        signatures: metric -> sacreBLEU signature, which says how it was measured.
        trained: False for zero-shot.
        pairs: training pairs; 0 for zero-shot, -1 where not known.
        band: third of the trained directions by pairs; "" for zero-shot and where not known.
        cut: outputs that ran into the length limit. `empty`: outputs without text.
        samples: a few lines, evenly spread.
    """

    direction: str
    testset: str
    sentences: int
    bleu: float | None = None
    chrf: float | None = None
    spbleu: float | None = None
    interval: tuple[float, float] | None = None
    signatures: Mapping[str, str] = field(default_factory=dict)
    trained: bool = True
    pairs: int = -1
    band: str = ""
    cut: int = 0
    empty: int = 0
    samples: tuple[Sample, ...] = ()

    @property
    def src(self) -> str:
        """Source language."""
        return self.direction.partition("-")[0]

    @property
    def tgt(self) -> str:
        """Target language."""
        return self.direction.partition("-")[2]

    def value(self, metric: str) -> float | None:
        """The score by metric name."""
        found: float | None = getattr(self, metric)
        return found


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole evaluation.

    Attributes:
        format: of report.json.
        card: of the model that was scored.
        parameters: of that model.
        search: how it decoded.
        domain: that it was told of every text; empty: none.
        split: of the corpora.
        date: of the evaluation, ISO 8601, UTC.
        seconds: of translating, without loading.
        licences: of the data behind the model and the test sets.
        scores: by test set, then direction.
    """

    format: int = FORMAT
    card: CheckpointCard
    parameters: int
    search: SearchConfig
    domain: str = ""
    split: str
    date: str
    seconds: float
    licences: Mapping[str, str] = field(default_factory=dict)
    scores: tuple[DirectionScore, ...]

    @property
    def supervised(self) -> tuple[DirectionScore, ...]:
        """Directions that were trained."""
        return tuple(score for score in self.scores if score.trained)

    @property
    def zero_shot(self) -> tuple[DirectionScore, ...]:
        """Directions that were not."""
        return tuple(score for score in self.scores if not score.trained)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that were measured."""
        return tuple(m for m in METRICS if any(s.value(m) is not None for s in self.scores))

    @property
    def signatures(self) -> tuple[str, ...]:
        """Every sacreBLEU signature once, behind the metric's name."""
        found = {
            f"{NAMES[metric]}|{text}"
            for score in self.scores
            for metric, text in score.signatures.items()
        }
        return tuple(sorted(found))

    @property
    def testsets(self) -> tuple[str, ...]:
        """Names of the test sets."""
        return tuple(dict.fromkeys(score.testset for score in self.scores))


def mean(scores: Iterable[DirectionScore], metric: str) -> float | None:
    """Mean over directions of equal weight; None of nothing."""
    values = [value for score in scores if (value := score.value(metric)) is not None]
    return fmean(values) if values else None


def decoding(report: Report) -> str:
    """How it was decoded, in words."""
    search, domain = report.search, f", domain {report.domain}" if report.domain else ""
    if search.sample:
        return f"sampling, temperature {search.temperature:g}, seed {search.seed}{domain}"
    return f"beam {search.beam}, length penalty {search.length_alpha:g}{domain}"
