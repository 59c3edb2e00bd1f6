"""What routers did: the load of experts, dropped choices, and which language uses which expert.

Off until `moe.watch` is entered; then each mixture notes counts, not tokens. A micro-batch that is
run twice (activation checkpointing) counts once. Not its job: sums over ranks.

Shape letters: B rows, S source length, E experts.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Counts(NamedTuple):
    """Choices that the real tokens of a micro-batch made.

    Attributes:
        tag_B: language tag of each row, the first id of its source.
        wanted_BE: choices of each expert; `kept_BE`: those that found a place.
    """

    tag_B: Tensor
    wanted_BE: Tensor
    kept_BE: Tensor


class Notes:
    """Of one mixture. A micro-batch is known by the tensor of its source ids, which is kept here so
    that no other can take its identity."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Tensor, Counts]] = {}

    def note(self, src_BS: Tensor, counts: Counts) -> None:
        """Take in a micro-batch, in place of what it gave before."""
        self._seen[id(src_BS)] = (src_BS, counts)

    def counts(self) -> Counts:
        """Of all micro-batches, one after another.

        Raises:
            ValueError: nothing was noted.
        """
        if not self._seen:
            raise ValueError("no mixture of experts ran while it was watched")
        parts = [counts for _, counts in self._seen.values()]
        return Counts(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


class Summary(NamedTuple):
    """Of one mixture.

    Attributes:
        load_E: share of the kept choices that each expert got; sums to 1.
        dropped: share of the choices that found no place.
        language_E: kept choices of each expert by language tag.
    """

    load_E: Tensor
    dropped: float
    language_E: dict[int, Tensor]


def summary(counts: Counts) -> Summary:
    """Counts of any number of rows, of several ranks one after another if need be, in short."""
    real_B = counts.wanted_BE.any(1)
    tag_B, wanted_BE, kept_BE = (t[real_B] for t in counts)
    kept_E = kept_BE.sum(0)
    wanted, kept = int(wanted_BE.sum()), int(kept_E.sum())
    tags, place_B = tag_B.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    by_tag = kept_E.new_zeros(len(tags), len(kept_E)).index_add(0, place_B, kept_BE)
    return Summary(
        kept_E / max(1, kept),
        1 - kept / wanted if wanted else 0.0,
        dict(zip(tags.tolist(), by_tag, strict=True)),
    )


def together(told: Sequence[Mapping[str, Counts]]) -> dict[str, Summary]:
    """What several ranks counted, each the mixtures of its segments and rows, by mixture."""
    names = sorted({name for counts in told for name in counts})
    found = {}
    for name in names:
        parts = [counts[name] for counts in told if name in counts]
        found[name] = summary(Counts(*(torch.cat(ts) for ts in zip(*parts, strict=True))))
    return found
