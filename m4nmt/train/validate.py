"""Loss on held-out lines, by direction and band, and what follows from it: best, early stopping.

Shape letters: B rows.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch

from m4nmt.data.types import Batch, Direction
from m4nmt.parallel.engine import Engine
from m4nmt.train.bands import BANDS, UNSEEN


class Sum(NamedTuple):
    """-log p and number of target tokens."""

    nll: float
    tokens: int

    @property
    def loss(self) -> float:
        """Mean -log p of a token."""
        return self.nll / self.tokens if self.tokens else math.nan


def validate(engine: Engine, batches: Iterable[Batch], count: int) -> list[Sum]:
    """Dropout off, no smoothing: the sums of each of `count` directions, in `direction_B`'s order.

    Every rank has its own rows of each batch.
    """
    nll = torch.zeros(count + 1, dtype=torch.float64)  # the last: rows of padding, direction -1
    tokens = torch.zeros(count + 1, dtype=torch.float64)
    for batch in batches:
        rows = engine.evaluate(batch).rows
        direction_B = rows.direction_B % (count + 1)
        nll.index_add_(0, direction_B, rows.nll_B)
        tokens.index_add_(0, direction_B, rows.target_B.double())
    pairs = zip(nll.tolist(), tokens.tolist(), strict=True)
    return [Sum(n, int(t)) for n, t in pairs][:count]


def summary(
    sums: Sequence[Sum], directions: Sequence[Direction], bands: Mapping[Direction, str]
) -> dict[str, Any]:
    """Token-weighted mean of the trained directions, of each band, and every direction.

    Zero-shot directions are a band of their own and count in no other mean.
    """
    groups: dict[str, list[Sum]] = {name: [] for name in (*BANDS, UNSEEN)}
    for direction, one in zip(directions, sums, strict=True):
        groups[bands.get(direction, UNSEEN)].append(one)
    trained = _total(one for name in BANDS for one in groups[name])
    return {
        "loss": trained.loss,
        "perplexity": _perplexity(trained.loss),
        "tokens": trained.tokens,
        "band_loss": {name: _total(group).loss for name, group in groups.items() if group},
        "direction_loss": {
            str(direction): one.loss for direction, one in zip(directions, sums, strict=True)
        },
    }


def _total(sums: Iterable[Sum]) -> Sum:
    nll, tokens = 0.0, 0
    for one in sums:
        nll, tokens = nll + one.nll, tokens + one.tokens
    return Sum(nll, tokens)


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))


@dataclass
class Stopping:
    """The memory of early stopping; part of the training state.

    Attributes:
        patience: validations without improvement before the run ends; 0: never.
        best: lowest loss so far, infinite before the first; `best_step`: where.
        waited: validations since.
    """

    patience: int
    best: float = math.inf
    best_step: int = 0
    waited: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether the run should end."""
        return bool(self.patience) and self.waited >= self.patience

    def see(self, loss: float, step: int) -> bool:
        """Take in a validation; True where it is the best so far."""
        better = loss < self.best  # never true of NaN
        if better:
            self.best, self.best_step, self.waited = loss, step, 0
        else:
            self.waited += 1
        return better

    def state(self) -> dict[str, Any]:
        """Plain data that `load` takes back (JSON has no infinity: None)."""
        state = asdict(self)
        del state["patience"]
        return {**state, "best": None if math.isinf(self.best) else self.best}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave; the patience is the config's."""
        self.best = math.inf if state["best"] is None else state["best"]
        self.best_step, self.waited = state["best_step"], state["waited"]
