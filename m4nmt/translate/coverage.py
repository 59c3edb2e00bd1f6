"""Ranking what was found again, by how much of the source it looked at.

The coverage penalty of Wu et al. 2016 (arXiv:1609.08144, equation 14):
cp = beta * sum_i log(min(sum_j p_ij, 1)), p_ij being the attention that target token j pays to
source token i. It is added to the final hypotheses' scores, after the search: the search itself
does not see it, so what the beam dropped does not come back. p comes from teacher forcing, from
the layers that `alignment.Reading` names; tags and the end symbols of both sides are left out, and
each target token's attention to the rest is made to sum to 1.

Not its job: reading attention (alignment), searching.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from m4nmt.translate.decoder import Hypothesis, ranked
from m4nmt.translate.engine import Engine, Rows

_LEAST = 1e-6  # attention of a source token that is never looked at


def penalty(looks: Sequence[float], beta: float) -> float:
    """cp of one translation, given how much each source token was looked at in all."""
    return beta * math.fsum(math.log(min(max(look, _LEAST), 1.0)) for look in looks)


def rank_again(
    engine: Engine, rows: Rows, found: Sequence[list[Hypothesis]], beta: float, budget: int
) -> list[list[Hypothesis]]:
    """The hypotheses of each row with cp added to their scores, best first.

    Args:
        budget: padded tokens of a batch.
    """
    if not beta:
        return list(found)
    flat = [(row, h) for row, best in zip(rows, found, strict=True) for h in best]
    words = [h.tokens[:-1] if h.finished else h.tokens for _, h in flat]
    looks = iter(engine.cover([row for row, _ in flat], words, budget))
    return [
        ranked([replace(h, score=h.score + penalty(next(looks), beta)) for h in best], len(best))
        for best in found
    ]
