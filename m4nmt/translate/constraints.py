"""What a translation must begin with, and what must not stand in it.

`Rules` change the log-probabilities of one step in place: a continuation that is not allowed does
not exist (-inf); the others keep their log p, so that a score is still what teacher forcing gives.
Not its job: phrases that must occur (required), texts (wishes).

Shape letters: B sentences, K beams, R = B*K rows, T tokens so far, V vocabulary.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Ids = tuple[int, ...]


class Unsaid(Protocol):
    """Something that must not be said, whatever tokens it is said in."""

    def after(self, tokens: Sequence[int]) -> Iterable[int]:
        """The tokens that would say it, after these."""


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """Of one target sentence, in ids.

    Attributes:
        prefix: the translation begins with these.
        forbidden: none of these sequences occurs after the prefix.
        unsaid: nor does any of these.
        required: of each of these phrases, one spelling occurs. Phrases may overlap; one that is
            asked for twice need not occur twice.
    """

    prefix: Ids = ()
    forbidden: tuple[Ids, ...] = ()
    unsaid: tuple[Unsaid, ...] = ()
    required: tuple[tuple[Ids, ...], ...] = ()

    def __post_init__(self) -> None:
        spellings = [ids for phrase in self.required for ids in phrase]
        if not all(self.required) or not all([*spellings, *self.forbidden]):
            raise ValueError("a phrase without tokens can neither be forbidden nor required")

    def __bool__(self) -> bool:
        return bool(self.prefix or self.forbidden or self.unsaid or self.required)


FREE = Constraint()


class Rules:
    """The prefixes and forbidden sequences of the sentences of one batch."""

    def __init__(self, constraints: Sequence[Constraint], device: torch.device) -> None:
        self._constraints = constraints
        longest = max((len(c.prefix) for c in constraints), default=0)
        prefixes = [[*c.prefix, *[-1] * (longest - len(c.prefix))] for c in constraints]
        self._prefix_BP = torch.tensor(prefixes, device=device).view(len(constraints), longest)
        self._forbids = any(c.forbidden or c.unsaid for c in constraints)

    def apply(self, logp_RV: Tensor, token_RT: Tensor, sentence_R: Tensor) -> None:
        """Take away, in place, what may not follow.

        Args:
            token_RT: all tokens so far.
            sentence_R: to which sentence a row belongs.
        """
        T = token_RT.shape[1]
        if self._prefix_BP.shape[1] > T:
            next_R = self._prefix_BP[sentence_R, T]
            bound = (next_R >= 0).nonzero()[:, 0]
            only_NV = torch.full_like(logp_RV[bound], -torch.inf)
            at_N1 = next_R[bound, None]
            logp_RV[bound] = only_NV.scatter_(1, at_N1, logp_RV[bound].gather(1, at_N1))
        if self._forbids:
            rows, words = self._ends(token_RT.tolist(), sentence_R.tolist())
            if rows:
                logp_RV[rows, words] = -torch.inf

    def _ends(
        self, tokens: Sequence[Sequence[int]], sentences: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """(row, word) where the word would complete a forbidden sequence."""
        rows, words = [], []
        for row, (so_far, sentence) in enumerate(zip(tokens, sentences, strict=True)):
            constraint = self._constraints[sentence]
            if len(so_far) < len(constraint.prefix):
                continue
            ends = [
                end
                for *begin, end in constraint.forbidden
                if len(begin) <= len(so_far) and so_far[len(so_far) - len(begin) :] == begin
            ]
            for unsaid in constraint.unsaid:
                ends += unsaid.after(so_far)
            rows += [row] * len(ends)
            words += ends
        return rows, words
