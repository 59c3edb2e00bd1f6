"""The filters a recipe can name, and the chain it makes of them.

Every filter is a config; the class that does its work stands in another file of this folder. Not
its job: doing anything.
"""

from dataclasses import dataclass


def _need(is_so: bool, what: str) -> None:
    """Refuse an option that makes no sense."""
    if not is_so:
        raise ValueError(f"need {what}")


@dataclass(frozen=True, kw_only=True)
class MaxChars:
    """Drop lines of more characters than `most`."""

    most: int = 2000

    def __post_init__(self) -> None:
        _need(self.most >= 0, "most >= 0")


@dataclass(frozen=True, kw_only=True)
class MaxTokens:
    """Drop lines of more pieces than `most`."""

    most: int = 250

    def __post_init__(self) -> None:
        _need(self.most >= 0, "most >= 0")


@dataclass(frozen=True, kw_only=True)
class Controls:
    """Drop lines with more than `most` characters that no text holds.

    Controls other than tab and line ends, U+FFFD, private use, unassigned. Serving turns the
    controls among them into spaces (normalise.py); in training text they mark a damaged line.
    """

    most: int = 0

    def __post_init__(self) -> None:
        _need(self.most >= 0, "most >= 0")


@dataclass(frozen=True, kw_only=True)
class Mojibake:
    """Drop lines in which at least `least` stretches are UTF-8 read as Latin-1 or Windows-1252."""

    least: int = 1

    def __post_init__(self) -> None:
        _need(self.least >= 1, "least >= 1")


@dataclass(frozen=True, kw_only=True)
class Markup:
    """Drop lines with more than `most` HTML tags and entities."""

    most: int = 0

    def __post_init__(self) -> None:
        _need(self.most >= 0, "most >= 0")


@dataclass(frozen=True, kw_only=True)
class Links:
    """Drop lines of whose characters more than the share `most` stand in addresses."""

    most: float = 0.5

    def __post_init__(self) -> None:
        _need(0 <= self.most <= 1, "0 <= most <= 1")


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Drop lines of whose characters (spaces apart) more than the share `most` are digits."""

    most: float = 0.5

    def __post_init__(self) -> None:
        _need(0 <= self.most <= 1, "0 <= most <= 1")


@dataclass(frozen=True, kw_only=True)
class Symbols:
    """Drop lines of whose characters (spaces apart) more than `most` are punctuation or symbols."""

    most: float = 0.4

    def __post_init__(self) -> None:
        _need(0 <= self.most <= 1, "0 <= most <= 1")


@dataclass(frozen=True, kw_only=True)
class WrongScript:
    """Drop lines of whose letters less than the share `least` are of the language's script.

    Lines of fewer than `letters` letters stay.
    """

    least: float = 0.5
    letters: int = 4

    def __post_init__(self) -> None:
        _need(0 <= self.least <= 1 and self.letters >= 0, "0 <= least <= 1 and letters >= 0")


@dataclass(frozen=True, kw_only=True)
class WrongLanguage:
    """Drop lines that the identifier trained on the corpora surely holds for another language.

    Attributes:
        sure: least confidence (0 to 1) in the other language.
        letters: lines with fewer letters stay.
    """

    sure: float = 0.98
    letters: int = 20

    def __post_init__(self) -> None:
        _need(0 <= self.sure <= 1 and self.letters >= 0, "0 <= sure <= 1 and letters >= 0")


@dataclass(frozen=True, kw_only=True)
class PackagedLanguage:
    """The same with a packaged identifier of 145 languages (py3langid, the extra `langid`).

    It knows languages that the corpora do not hold. Languages that it does not know are passed
    over.
    """

    sure: float = 0.8
    letters: int = 20

    def __post_init__(self) -> None:
        _need(0 <= self.sure <= 1 and self.letters >= 0, "0 <= sure <= 1 and letters >= 0")


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """Drop lines whose distinct character n-grams are less than the share `least` of all.

    Lines of fewer than `chars` characters stay.
    """

    n: int = 6
    least: float = 0.5
    chars: int = 40

    def __post_init__(self) -> None:
        _need(self.n >= 1 and self.chars >= 0, "n >= 1 and chars >= 0")
        _need(0 <= self.least <= 1, "0 <= least <= 1")


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Drop rows that hold a line of a dev or test set in any of their languages."""


@dataclass(frozen=True, kw_only=True)
class PartialOverlap:
    """Drop rows that hold, in any language, a good part of a dev or test set.

    A line is dropped where at least the share `least` of its n-grams of words occur in the dev and
    test lines of its language; lines of fewer than n words are left to `Overlap`.
    """

    n: int = 8
    least: float = 0.5

    def __post_init__(self) -> None:
        _need(self.n >= 1 and 0 < self.least <= 1, "n >= 1 and 0 < least <= 1")


@dataclass(frozen=True, kw_only=True)
class Identical:
    """Drop pairs whose sides are equal (leakage.py says what is equal)."""


@dataclass(frozen=True, kw_only=True)
class Copied:
    """Drop pairs that share more than the part `most` of the words of their shorter side.

    Pairs of fewer than `words` words stay.
    """

    most: float = 0.8
    words: int = 4

    def __post_init__(self) -> None:
        _need(0 <= self.most <= 1 and self.words >= 1, "0 <= most <= 1 and words >= 1")


@dataclass(frozen=True, kw_only=True)
class MaxRatio:
    """Drop pairs whose longer side is more than `most` times the shorter.

    In characters + 10 each, relative to the typical ratio of the two languages in the corpus.
    """

    most: float = 3.0

    def __post_init__(self) -> None:
        _need(self.most >= 1, "most >= 1")


@dataclass(frozen=True, kw_only=True)
class UnusualRatio:
    """Drop pairs whose ratio of lengths is far from the median of the two languages in the corpus.

    In characters + 10 each, as logarithms; `most` is in standard deviations, as estimated from the
    median deviation.
    """

    most: float = 3.5

    def __post_init__(self) -> None:
        _need(self.most > 0, "most > 0")


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Drop pairs that have less than the share `least` of their digits in common.

    Counted as a bag of digits, whatever the script; pairs of fewer than `digits` digits on either
    side stay, since a number is often written out in words.
    """

    least: float = 0.6
    digits: int = 2

    def __post_init__(self) -> None:
        _need(0 <= self.least <= 1 and self.digits >= 0, "0 <= least <= 1 and digits >= 0")


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """Drop pairs that are likelier two lines thrown together than a translation.

    The probability comes from a lexical model trained on the pair itself (lexical.py).

    Attributes:
        least: pairs below this probability are dropped, 0 to 1.
        sample: pairs that the model is trained on, at most.
        window: rows in a window; where the mean probability in it (bad pairs taken to be as
            frequent as good ones) is below `region`, a misaligned region of the file is suspected,
            reported, and dropped whole.
        region: see `window`; 0 looks for no regions.
        models: with more pairs of languages than this, most are judged through the language that
            stands in most of them (through.py).
    """

    least: float = 0.8
    sample: int = 30_000
    window: int = 48
    region: float = 0.6
    models: int = 100

    def __post_init__(self) -> None:
        _need(0 <= self.least <= 1 and 0 <= self.region <= 1, "least and region in 0 to 1")
        _need(self.sample >= 1 and self.window >= 1, "sample >= 1 and window >= 1")
        _need(self.models >= 0, "models >= 0")


@dataclass(frozen=True, kw_only=True)
class EmbeddingScore:
    """Drop pairs whose sentences have vectors that point apart, by a pretrained encoder.

    The score is the cosine of the two vectors; it needs the extra `embeddings`. Not in the default
    chain: a model must be at hand, and every line goes through it.

    Attributes:
        model: folder of the encoder, or `owner/name` on the hub.
        least: pairs below this cosine are dropped, -1 to 1. What is usual depends on the model: the
            report has the mean cosine of pairs and of lines thrown together.
        tokens: lines are cut after so many of the model's tokens.
        prefix: put before every line, where a model wants one ("query: ").
    """

    model: str = "sentence-transformers/LaBSE"
    least: float = 0.6
    tokens: int = 256
    prefix: str = ""

    def __post_init__(self) -> None:
        _need(-1 <= self.least <= 1 and self.tokens >= 1, "-1 <= least <= 1 and tokens >= 1")


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Drop repeated pairs, keeping the first."""


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Drop pairs that resemble an earlier one, by MinHash over character 5-grams of both sides.

    Attributes:
        least: resemblance (Jaccard) from which a pair is a near duplicate, 0 to 1.
    """

    least: float = 0.8

    def __post_init__(self) -> None:
        _need(0 < self.least <= 1, "0 < least <= 1")


LineFilter = (
    MaxChars
    | MaxTokens
    | Controls
    | Mojibake
    | Markup
    | Links
    | Digits
    | Symbols
    | WrongScript
    | WrongLanguage
    | PackagedLanguage
    | Repetition
)
RowFilter = Overlap | PartialOverlap
PairFilter = (
    Identical
    | Copied
    | MaxRatio
    | UnusualRatio
    | Numbers
    | Alignment
    | EmbeddingScore
    | Duplicates
    | NearDuplicates
)


@dataclass(frozen=True, kw_only=True)
class FilterChain:
    """Filters in the order in which they are asked; the first that objects is counted.

    Which lines, rows and pairs are left does not depend on the order of `lines`, `rows` or
    `pairs`: each verdict is of the line or pair alone, or of all that the kinds before let pass.
    `Duplicates` and `NearDuplicates`, for which that cannot be, always come last, in this order.
    The defaults are the thorough chain.
    """

    lines: tuple[LineFilter, ...] = (
        MaxChars(),
        MaxTokens(),
        Mojibake(),
        Controls(),
        Markup(),
        Links(),
        Digits(),
        Symbols(),
        Repetition(),
        WrongScript(),
        WrongLanguage(),
    )
    rows: tuple[RowFilter, ...] = (Overlap(), PartialOverlap())
    pairs: tuple[PairFilter, ...] = (
        Identical(),
        Copied(),
        MaxRatio(),
        UnusualRatio(),
        Numbers(),
        Alignment(),
        Duplicates(),
        NearDuplicates(),
    )
