"""A mixture that follows the validation loss: what was decided, and what to decide (ByLoss).

    journal.jsonl   a `mixture` line for each validation: the block from which on the stream is
                    drawn by these factors, and the factors

The stream of batches is a function of (seed, recipe, these lines). A line is written before any
batch is drawn by it and is never made twice: a run that starts again reads it, whatever its weights
or its number of ranks would say now. Factors are rounded, so that a loss which differs in its last
bits decides the same. Not its job: validating (validate), drawing (data).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from m4nmt.core import ranks
from m4nmt.data.loader import Loader
from m4nmt.data.settings import ByLoss
from m4nmt.data.stream.phases import Decision
from m4nmt.data.types import Direction
from m4nmt.train.journal import Journal
from m4nmt.train.rewind import REWOUND

MIXTURE = "mixture"
_DIGITS = 2


def decided(events: Iterable[Mapping[str, Any]]) -> dict[int, Decision]:
    """What was decided at which step, without what belongs to a way that was given up."""
    found: dict[int, Decision] = {}
    for event in events:
        if event["event"] == "started":
            found = {}
        elif event["event"] == REWOUND:
            found = {step: made for step, made in found.items() if step <= event["to"]}
        elif event["event"] == MIXTURE:
            found[event["step"]] = Decision(event["block"], event["factors"])
    return found


def followed(loader: Loader, journal: Journal) -> Loader:
    """The stream as the journal has it by now. Every rank must call this."""
    if not isinstance(loader.plan.config.mixture, ByLoss):
        return loader
    made = ranks.led(lambda: decided(journal.events()))
    return loader.by([made[step] for step in sorted(made)])


def decide(
    journal: Journal, loader: Loader, step: int, block: int, losses: Mapping[str, float]
) -> None:
    """Write what the losses of a validation make of the mixture, unless it was decided before.

    Every rank calls, the leader writes. Where the journal cannot be written (the log says so), the
    mixture stays as it is.

    Args:
        block: the first one of which nothing is drawn yet.
        losses: direction -> nats of a token.
    """
    mixture = loader.plan.config.mixture
    if not isinstance(mixture, ByLoss):
        return

    def write() -> None:
        if step not in decided(journal.events()):
            found = factors(mixture, loader.plan.directions, losses)
            journal.write(MIXTURE, step, block=block, factors=found)

    ranks.led(write)


def factors(
    mixture: ByLoss, directions: Sequence[Direction], losses: Mapping[str, float]
) -> dict[str, float]:
    """Factor on the share of each trained direction that has a loss.

    A direction with tags has the loss of the one without; the mean is that of these directions.
    """
    own = {str(d): losses[str(d.plain)] for d in directions if str(d.plain) in losses}
    own = {name: loss for name, loss in own.items() if math.isfinite(loss)}
    mean = sum(own.values()) / max(1, len(own))
    most = math.log(mixture.limit)
    powers = {name: mixture.strength * (loss - mean) for name, loss in own.items()}
    least = 10.0**-_DIGITS
    return {
        name: max(least, round(math.exp(min(most, max(-most, power))), _DIGITS))
        for name, power in powers.items()
    }
