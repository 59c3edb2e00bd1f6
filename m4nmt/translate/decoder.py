"""What a search asks of a model, and what it gives back.

A `Decoder` turns the last token of every row into logits of the next one; rows are the beams of
the sentences of one batch, `beams` rows a sentence, one after another. The searches know nothing
else of models, caches and devices, so that a table of numbers can stand in for a model in tests.

Shape letters: B sentences, K beams, R = B*K rows, V vocabulary.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

import torch
from torch import Tensor


class Decoder(Protocol):
    """Something that continues rows by one token at a time; it starts with one row a sentence."""

    def step(self, last_R: Tensor) -> Tensor:
        """Logits [R,V] of the token after `last_R`."""

    def select(self, rows_R: Tensor, sentences_B: Tensor | None) -> None:
        """Go on with row rows_R[i] as row i, in any order and number, repeats allowed.

        `sentences_B` lists the sentences that stay, in order; None: all of them.
        """


@dataclass(frozen=True)
class Symbols:
    """Ids with a meaning to the search.

    Attributes:
        bos: the first decoder input.
        eos: ends a sentence.
        forbidden: never generated (padding, unknown, begin, tags).
        tags: what a source row may begin with, before its text.
    """

    bos: int
    eos: int
    forbidden: tuple[int, ...] = ()
    tags: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.eos in self.forbidden:
            raise ValueError("the end symbol must not be forbidden")

    def leading(self, row: Sequence[int]) -> int:
        """How many tags a source row begins with."""
        return sum(1 for _ in takewhile(self.tags.__contains__, row))


@dataclass(frozen=True)
class Hypothesis:
    """A target sentence that the model may have produced.

    Attributes:
        tokens: ids, with the end symbol last if `finished`.
        logp: log p of each token given those before it; unshaped, whatever was drawn from.
        score: sum of `logp` over the length penalty of len(tokens).
        finished: False where the length limit cut it.
        met: False where a phrase that must occur does not.
    """

    tokens: tuple[int, ...]
    logp: tuple[float, ...]
    score: float
    finished: bool
    met: bool = True


class CancelledError(RuntimeError):
    """The caller asked to stop before the work was done."""


Cancelled = Callable[[], bool]


def check(cancelled: Cancelled | None) -> None:
    """Raise CancelledError if the caller wants no more."""
    if cancelled is not None and cancelled():
        raise CancelledError("translation was cancelled by the caller")


def length_penalty(length: float, alpha: float) -> float:
    """((5 + length) / 6)^alpha (Wu et al. 2016, arXiv:1609.08144, equation 14)."""
    return float(((5.0 + length) / 6.0) ** alpha)


def ranked(hypotheses: Iterable[Hypothesis], n: int) -> list[Hypothesis]:
    """The best `n`, best first: those that hold what they must before others, finished before cut,
    then by score, then by token ids."""
    return sorted(hypotheses, key=lambda h: (not h.met, not h.finished, -h.score, h.tokens))[:n]


def log_probs(logits_RV: Tensor) -> Tensor:
    """log p [R,V] in fp32.

    Raises:
        FloatingPointError: it is not finite (a damaged model, or an overflow).
    """
    logp_RV = logits_RV.log_softmax(-1, dtype=torch.float32)
    # any logit that is not finite (but -inf, which is a probability of 0) makes its whole row NaN
    if bool(logp_RV[:, 0].isnan().any()):
        raise FloatingPointError(
            "the model gave scores that are not finite; its weights are damaged, or the precision "
            "is too small for them: try fp32, or another checkpoint"
        )
    return logp_RV
