"""Settings of the stages that come after training, which a recipe carries but training never reads.

They stand on the ground floor because recipes, translation, evaluation and the service share them.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How to decode. Beam search unless `sample` is set.

    Attributes:
        beam: hypotheses kept per sentence; 1 is greedy.
        length_alpha: exponent of the length penalty ((5 + L) / 6)^alpha (Wu et al. 2016, eq. 14).
        max_ratio, max_extra: at most ceil(max_ratio * source tokens) + max_extra tokens are made.
        n_best: translations returned per sentence, at most `beam`.
        sample: draw from the model instead of searching (beam counts the draws).
        temperature, top_k, top_p: shape the distribution that is drawn from; top_k 0 is off.
        seed: of the draws.
        groups, diversity: the beams are split into so many groups, of which each keeps off the
            tokens that the groups before it chose at the same step, by `diversity` nats for each
            beam that chose it (Vijayakumar et al. 2016). 1 group is plain beam search.
        coverage: weight of the coverage penalty (Wu et al. 2016, equation 14), by which the
            translations that were found are ranked again; 0 is off.
        risk: of the translations that were found, or drawn, take the one that is expected to be
            nearest to all of them by this measure (minimum-risk decoding; Eikema & Aziz 2022);
            empty is off. `beam` counts them.
        batch_tokens: source tokens, padding and beams included, decoded together.
    """

    beam: int = 4
    length_alpha: float = 1.0
    max_ratio: float = 2.0
    max_extra: int = 16
    n_best: int = 1
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    groups: int = 1
    diversity: float = 0.5
    coverage: float = 0.0
    risk: Literal["", "chrf", "bleu"] = ""
    batch_tokens: int = 8192

    def __post_init__(self) -> None:
        if self.beam < 1 or not 1 <= self.n_best <= self.beam:
            raise ValueError(f"need 1 <= n_best <= beam, got n_best={self.n_best} beam={self.beam}")
        if self.temperature <= 0 or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise ValueError("need temperature > 0, 0 < top_p <= 1 and top_k >= 0")
        if self.max_ratio < 0 or self.max_extra < 1 or self.batch_tokens < 1:
            raise ValueError("need max_ratio >= 0, max_extra >= 1 and batch_tokens >= 1")
        if self.sample and self.groups > 1:
            raise ValueError("draws have no groups: use sample, or groups > 1, not both")
        if self.groups < 1 or self.beam % self.groups:
            raise ValueError(
                f"need groups that divide the beam evenly, got beam={self.beam} "
                f"groups={self.groups}: a beam of {max(2, self.groups)} would do"
            )
        if min(self.diversity, self.coverage) < 0:
            raise ValueError(
                "need diversity and coverage of at least 0, got "
                f"diversity={self.diversity} coverage={self.coverage}"
            )
        if self.risk and self.beam < 2:
            raise ValueError(
                f"risk={self.risk!r} compares translations: it needs a beam of 2 at least"
            )
        if self.risk and self.coverage:
            raise ValueError("risk and coverage both rank what was found: use one of them")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What to score after training.

    Attributes:
        split: which split of the manifest's corpora is the test set.
        metrics: sacreBLEU metrics.
        sentences: at most this many lines per direction, from the start; 0 is all.
        directions: patterns such as "eng_Latn-*"; empty is every direction with test data.
        bootstrap: resamples behind the 95 % interval of BLEU; 0 is none.
        samples: translations per direction that the report shows.
    """

    split: Literal["dev", "test"] = "test"
    metrics: tuple[Literal["bleu", "chrf", "spbleu"], ...] = ("bleu", "chrf", "spbleu")
    sentences: int = 0
    directions: tuple[str, ...] = ()
    bootstrap: int = 1000
    samples: int = 3

    def __post_init__(self) -> None:
        if not self.metrics or min(self.sentences, self.bootstrap, self.samples) < 0:
            raise ValueError("need a metric, and sentences, bootstrap and samples of at least 0")
