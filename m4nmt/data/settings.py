"""The data section of a recipe: which corpora, which directions, how cleaned, cut and mixed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from m4nmt.data.filters.settings import FilterChain


@dataclass(frozen=True, kw_only=True)
class DirectionsConfig:
    """Which of the possible directions are trained.

    Attributes:
        pairs: "all" aligned pairs; "centric": only those from or into the `centre` language;
            "bridges": those of "centric", all within a group of `bridges`, and all between two
            bridges (Fan et al. 2021, "Beyond English-centric multilingual MT", section 3).
        centre: the hub for "centric" and "bridges".
        bridges: bridge language -> the other languages of its group. A language may stand in
            several groups, and so a group have several bridges.
        only: patterns ("eng_Latn-*", "*-swh_Latn"); when given, nothing else is trained.
        held_out: patterns of directions that are never trained (zero-shot).
        languages: when given, no other language is used.
    """

    pairs: Literal["all", "centric", "bridges"] = "all"
    centre: str = "eng_Latn"
    only: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    bridges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """SentencePiece training, or an import.

    Attributes:
        vocab: pieces in all, with specials and tags.
        model: "unigram" or "bpe".
        coverage: character coverage.
        byte_fallback: unknown characters become bytes.
        sample: lines drawn for training, at `temperature`.
        temperature: of the languages in the training sample.
        threads: pinned, since the number changes the vocabulary.
        path: an existing .model to use instead of training one; or the folder of a tokenizer of
            m4nmt, to keep all its ids and give new languages tags at the end.
        symbols: texts that are always one piece, such as "<br>".
        seed: of the sample.
    """

    vocab: int = 16000
    model: Literal["unigram", "bpe"] = "unigram"
    coverage: float = 0.999995
    byte_fallback: bool = True
    sample: int = 1_000_000
    temperature: float = 5.0
    threads: int = 2
    path: str = ""
    symbols: tuple[str, ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        if min(self.vocab, self.sample, self.threads) < 1 or not self.temperature > 0:
            raise ValueError("need vocab, sample and threads >= 1 and temperature > 0")
        if not 0 < self.coverage <= 1:
            raise ValueError("need 0 < coverage <= 1")


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """The essential filters, the default; every drop is counted. Zero or False turns one off.

    `FilterChain` in its place names any filters there are; its defaults are the thorough chain.

    Attributes:
        max_chars: longest line, in characters.
        max_tokens: longest line, in pieces.
        max_ratio: longest side over shortest side, in characters + 10 each, relative to the
            typical ratio of the two languages in the corpus.
        identical: drop pairs whose sides are equal.
        duplicates: drop repeated pairs, keeping the first.
        overlap: drop training lines found in a dev or test set, in any language of the row.
    """

    max_chars: int = 2000
    max_tokens: int = 250
    max_ratio: float = 3.0
    identical: bool = True
    duplicates: bool = True
    overlap: bool = True

    def __post_init__(self) -> None:
        if min(self.max_chars, self.max_tokens) < 0 or not (
            self.max_ratio == 0 or self.max_ratio >= 1
        ):
            raise ValueError("need max_chars and max_tokens >= 0, and max_ratio >= 1 (0: off)")


Filters = FilterConfig | FilterChain


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """p proportional to D^(1/T) (Arivazhagan et al. 2019, section 4.2). T=1: true sizes."""

    T: float = 5.0


@dataclass(frozen=True, kw_only=True)
class UniMax:
    """As uniform as a cap on epochs allows (Chung et al. 2023, algorithm 1)."""

    max_epochs: float = 4.0


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Explicit weights by direction pattern; the first match wins; unmatched directions get 0.

    A pattern is shell-style ("eng_Latn-*"), or "re:" and a regular expression; either must match
    the whole direction.
    """

    weights: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """Another mixture, whose shares are multiplied by the factor of the first pattern that matches
    (patterns as in Weights); unmatched directions keep theirs."""

    factors: Mapping[str, float]
    mixture: Temperature | UniMax | Weights = field(default_factory=Temperature)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """From `start` (share of the run, 0 to 1) on, mix like `mixture` over directions `only`."""

    start: float
    mixture: Temperature | UniMax | Weights | Scaled
    only: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Phases:
    """A schedule of mixtures; the first phase starts at 0."""

    phases: tuple[Phase, ...]


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One mixture over directions that come and go by step.

    The mixture changes at the edge of a block (`blocks.examples`) that is nearest to the step, by
    the number of batches in the first block of each stage.

    Attributes:
        introduced: pattern -> step before which its directions are not drawn.
        retired: pattern -> step from which on they are not drawn any more.
    """

    mixture: Temperature | UniMax | Weights | Scaled = field(default_factory=Temperature)
    introduced: Mapping[str, int] = field(default_factory=dict)
    retired: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ByLoss:
    """A mixture that follows the validation loss: what is learnt badly is drawn more often.

    After each validation (`train.validate_every`), the share that `mixture` gives a direction is
    multiplied by exp(strength * (its loss - the mean loss)), in nats of a token: the step of group
    DRO (Sagawa et al. 2020, algorithm 1), taken from the base mixture each time. The factors stand
    in the run's journal before any batch is drawn by them, and every restart reads them there.

    Attributes:
        strength: 0 would leave the mixture as it is; below 0 favours what is learnt well.
        limit: no factor is above this, or below 1 / limit.
    """

    mixture: Temperature | UniMax | Weights | Scaled = field(default_factory=Temperature)
    strength: float = 1.0
    limit: float = 4.0

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"need limit >= 1, got {self.limit}")


Mixture = Temperature | UniMax | Weights | Scaled | Phases | Timed | ByLoss


@dataclass(frozen=True, kw_only=True)
class Mass:
    """Directions "xxx-xxx:mass": one stretch of a line is masked, and only it is predicted (Song et
    al. 2019, "MASS", section 3). Each of its pieces becomes the mask, none another piece.

    Attributes:
        languages: codes or patterns; empty: all.
        ratio: of the pieces of a line that are masked.
    """

    languages: tuple[str, ...] = ()
    ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ValueError(f"need 0 < ratio <= 1, got {self.ratio}")


@dataclass(frozen=True, kw_only=True)
class Infill:
    """Directions "xxx-xxx:denoise": several spans are masked, each by one mask, and the whole line
    is predicted (Lewis et al. 2020, "BART", text infilling; ratio and mean of Liu et al. 2020,
    "mBART", section 2.2). Spans hold a piece at least, so that no line grows.

    Attributes:
        languages: codes or patterns; empty: all.
        ratio: of the pieces of a line that are masked.
        mean: pieces of a span, 1 + Poisson(mean - 1).
    """

    languages: tuple[str, ...] = ()
    ratio: float = 0.35
    mean: float = 3.5

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1 or not 1 <= self.mean <= 100:
            raise ValueError(
                f"need 0 < ratio < 1 and 1 <= mean <= 100, got {self.ratio} and {self.mean}"
            )


Noise = Mass | Infill


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """How the stream of examples is cut (ARCHITECTURE.md, "Corpus to blocks").

    Attributes:
        tokens: padded target (or source, the longer) tokens of a global batch.
        examples: examples in a block; 0 picks about 256 batches' worth, at least 8192.
        length_multiple: lengths are rounded up to multiples of this, coarser where they are long.
        rows_multiple: rows of a batch are a multiple of this; best of ranks times micro-batches,
            for which others fill up with padding.
        max_length: longest side with specials; longer examples are dropped by `prepare`.
    """

    tokens: int = 4096
    examples: int = 0
    length_multiple: int = 2
    rows_multiple: int = 8
    max_length: int = 256


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Everything between raw text and batches.

    Attributes:
        manifest: name (data/manifests) or path of a manifest file.
        root: folder in which the manifest's files lie; empty: $M4NMT_DATA, else the manifest's own.
        tasks: denoising directions, which the mixture draws like any other.
    """

    manifest: str
    root: str = ""
    directions: DirectionsConfig = field(default_factory=DirectionsConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    filters: Filters = field(default_factory=FilterConfig)
    mixture: Mixture = field(default_factory=Temperature)
    tasks: tuple[Noise, ...] = ()
    blocks: BlockConfig = field(default_factory=BlockConfig)
    seed: int = 1
