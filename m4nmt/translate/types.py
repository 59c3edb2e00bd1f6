"""What a translator gives back."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Translation:
    """One translation of one text.

    Attributes:
        text: detokenised.
        score: length-penalised log-probability (sum over sentences where a text was split).
        tokens: pieces.
        token_scores: log-probability of each piece.
        finished: False where the length limit cut it.
    """

    text: str
    score: float
    tokens: tuple[str, ...] = ()
    token_scores: tuple[float, ...] = ()
    finished: bool = True
    alignment: tuple[tuple[int, int], ...] = field(default=())
