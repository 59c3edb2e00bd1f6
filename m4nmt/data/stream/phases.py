"""Which mixture is in force when: a mixture of the recipe as stages that begin at given steps.

    Phases   by shares of the run
    Timed    by the steps at which directions are introduced or retired
    ByLoss   by what was decided while the run went on; the decisions are given, not made here

Not its job: shares (mixture.py), whole examples and blocks (plan.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from m4nmt.core.config import ConfigError
from m4nmt.data.settings import ByLoss, Mixture, Phases, Timed
from m4nmt.data.stream.mixture import Simple


class Stage(NamedTuple):
    """A mixture over some directions from a step on.

    Attributes:
        start: step, not always whole.
        only, without: patterns, see `mixture.shares`.
    """

    start: float
    mixture: Simple
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """A change of mixture that was decided while the run went on.

    Attributes:
        block: the first block that is drawn by it.
        factors: direction -> factor on its share in the recipe's mixture; 1 where it is not named.
    """

    block: int
    factors: Mapping[str, float] = field(default_factory=dict)


def stages(mixture: Mixture, run_steps: int | None) -> list[Stage]:
    """In their order; the first starts at 0, and all start before the run ends.

    Raises:
        ConfigError: starts that make no sense, or that need `run_steps`, which is missing.
    """
    if isinstance(mixture, Phases):
        return _phases(mixture, run_steps)
    if isinstance(mixture, Timed):
        return _timed(mixture, run_steps)
    return [Stage(0.0, mixture.mixture if isinstance(mixture, ByLoss) else mixture)]


def _phases(mixture: Phases, run_steps: int | None) -> list[Stage]:
    if not run_steps:
        raise ConfigError("data.mixture: Phases need to know the number of steps of the run")
    starts = [phase.start for phase in mixture.phases]
    if starts[:1] != [0] or any(b <= a for a, b in zip(starts, [*starts[1:], 1.0], strict=True)):
        raise ConfigError(
            f"data.mixture.phases: starts must rise from 0 and stay below 1, got {starts}"
        )
    return [Stage(p.start * run_steps, p.mixture, p.only) for p in mixture.phases]


def _timed(mixture: Timed, run_steps: int | None) -> list[Stage]:
    for pattern in mixture.introduced.keys() & mixture.retired.keys():
        if mixture.retired[pattern] <= mixture.introduced[pattern]:
            raise ConfigError(
                f"data.mixture: {pattern!r} is retired at step {mixture.retired[pattern]}, but "
                f"introduced only at {mixture.introduced[pattern]}"
            )
    changes = {0, *mixture.introduced.values(), *mixture.retired.values()}
    if min(changes) < 0:
        raise ConfigError("data.mixture: directions cannot be introduced or retired before step 0")
    steps = sorted(step for step in changes if run_steps is None or step < run_steps)
    return [Stage(float(step), mixture.mixture, (), _absent(mixture, step)) for step in steps]


def _absent(mixture: Timed, step: int) -> tuple[str, ...]:
    """Patterns of the directions that are not drawn at a step."""
    coming = [pattern for pattern, first in mixture.introduced.items() if step < first]
    gone = [pattern for pattern, end in mixture.retired.items() if end <= step]
    return (*coming, *gone)


def by_block(decisions: Sequence[Decision]) -> list[Decision]:
    """In the order of blocks, one a block: the last that was made."""
    latest = {decision.block: decision for decision in decisions}
    return [latest[block] for block in sorted(latest)]
