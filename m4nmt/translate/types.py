"""What a translator gives back."""

from dataclasses import dataclass
from typing import NamedTuple


class Link(NamedTuple):
    """Characters of the source and of the translation that belong together: [begin, end) each."""

    source_begin: int
    source_end: int
    target_begin: int
    target_end: int

    def moved(self, source: int, target: int) -> "Link":
        """The same link of longer texts, in which these parts begin that far in."""
        a, b, c, d = self
        return Link(a + source, b + source, c + target, d + target)


@dataclass(frozen=True)
class Translation:
    """One translation of one text.

    Attributes:
        text: detokenised.
        score: length-penalised log-probability (sum over sentences where a text was split).
        tokens: pieces.
        token_scores: log-probability of each piece.
        finished: False where the length limit cut it.
        alignment: links, piece by piece, in the order of the translation; where asked for.
        confidence: geometric mean of the probabilities of its tokens, end included, 0 to 1; of a
            text of several sentences that of the least sure one. None where no model was asked.
        least: the smallest probability of a token; None where token scores are not known.
        utility: expected chrF or BLEU, 0 to 100, of minimum-risk decoding (summed as the score is).
        marks: what a person should look at: "truncated", "empty", "repeats", "length", "language",
            "required"; and "retried" where a second search found it (`guard`).
    """

    text: str
    score: float
    tokens: tuple[str, ...] = ()
    token_scores: tuple[float, ...] = ()
    finished: bool = True
    alignment: tuple[Link, ...] = ()
    confidence: float | None = None
    least: float | None = None
    utility: float = 0.0
    marks: tuple[str, ...] = ()
