"""The data section of a recipe: which corpora, which directions, how cleaned, cut and mixed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DirectionsConfig:
    """Which of the possible directions are trained.

    Attributes:
        pairs: "all" aligned pairs, or "centric": only those from or into the `centre` language.
        centre: the hub for "centric".
        only: patterns ("eng_Latn-*", "*-swh_Latn"); when given, nothing else is trained.
        held_out: patterns of directions that are never trained (zero-shot).
        languages: when given, no other language is used.
    """

    pairs: Literal["all", "centric"] = "all"
    centre: str = "eng_Latn"
    only: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()


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
        path: an existing .model to use instead of training one.
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
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """The essential filters; every drop is counted. Zero or False turns one off.

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
    """Explicit weights by direction pattern; the first match wins; unmatched directions get 0."""

    weights: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """From `start` (share of the run, 0 to 1) on, mix like `mixture` over directions `only`."""

    start: float
    mixture: Temperature | UniMax | Weights
    only: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Phases:
    """A schedule of mixtures; the first phase starts at 0."""

    phases: tuple[Phase, ...]


Mixture = Temperature | UniMax | Weights | Phases


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
    """

    manifest: str
    root: str = ""
    directions: DirectionsConfig = field(default_factory=DirectionsConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    filters: FilterConfig = field(default_factory=FilterConfig)
    mixture: Mixture = field(default_factory=Temperature)
    blocks: BlockConfig = field(default_factory=BlockConfig)
    seed: int = 1
