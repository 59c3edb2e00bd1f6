"""Several models that decode as one: at every step the probabilities of all are averaged.

The average is of probabilities, not of their logarithms: log-mean-exp. Scoring averages in the same
way, token by token. Alignment and coverage are read from the first model.
Not its job: loading the models, and checking that they read the same tokens (engines).

Shape letters: M models, B sentences, R rows, V vocabulary, S source length, N tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.alignment import Pairs
from m4nmt.translate.constraints import Constraint
from m4nmt.translate.decoder import Cancelled, Decoder, Hypothesis, log_probs
from m4nmt.translate.dispatch import search_all
from m4nmt.translate.engine import Native, Rows


@dataclass(frozen=True)
class Together:
    """Decoders of the same sentences as one `Decoder`; its logits are log p."""

    members: Sequence[Decoder]

    def step(self, last_R: Tensor) -> Tensor:
        """log of the mean probability [R,V] of the token after `last_R`."""
        logp_MRV = torch.stack([log_probs(member.step(last_R)) for member in self.members])
        return logp_MRV.logsumexp(0) - math.log(len(self.members))

    def select(self, rows_R: Tensor, sentences_B: Tensor | None) -> None:
        """Go on with these rows, of these sentences, in every model."""
        for member in self.members:
            member.select(rows_R, sentences_B)


class Ensemble:
    """Native engines as one `Engine`; they have the same vocabulary and device."""

    def __init__(self, members: Sequence[Native]) -> None:
        self._members = tuple(members)

    @property
    def positions(self) -> int | None:
        """The shortest of the models' tables."""
        tables = [m.positions for m in self._members if m.positions is not None]
        return min(tables, default=None)

    @torch.inference_mode()
    def decode(
        self,
        rows: Rows,
        limits: Sequence[int],
        config: SearchConfig,
        cancelled: Cancelled | None = None,
        constraints: Sequence[Constraint] | None = None,
    ) -> list[list[Hypothesis]]:
        """As `Native.decode`."""

        def together(src_BS: Tensor) -> Decoder:
            return Together([member.open_decoder(src_BS) for member in self._members])

        first = self._members[0]
        return search_all(
            together, rows, limits, config, first.symbols, first.device, cancelled, constraints
        )

    def score(self, rows: Rows, targets: Rows, budget: int) -> list[tuple[float, ...]]:
        """log of the mean probability of every token."""
        scores = [member.score(rows, targets, budget) for member in self._members]
        return [_mean(of_models) for of_models in zip(*scores, strict=True)]

    def align(self, rows: Rows, targets: Rows, budget: int) -> list[Pairs]:
        """As the first model aligns."""
        return self._members[0].align(rows, targets, budget)

    def cover(self, rows: Rows, targets: Rows, budget: int) -> list[tuple[float, ...]]:
        """As the first model looks at the source."""
        return self._members[0].cover(rows, targets, budget)


def _mean(logp_MN: Sequence[Sequence[float]]) -> tuple[float, ...]:
    mean_N = torch.tensor(logp_MN, dtype=torch.float64).logsumexp(0) - math.log(len(logp_MN))
    return tuple(mean_N.tolist())
