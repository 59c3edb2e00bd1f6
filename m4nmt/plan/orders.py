"""Which device computes what after what: the orders that torch.distributed.pipelining runs.

Written again here because torch makes them only inside a running process group; a test compares
the two. Stage s lives on device s % devices. Not its job: when anything happens (simulate).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from m4nmt.parallel.settings import ScheduleName


class Action(NamedTuple):
    """The forward or the backward pass of one micro-batch through one stage."""

    stage: int
    forward: bool
    microbatch: int


Order = list[Action]


def orders(schedule: ScheduleName, devices: int, virtual: int, microbatches: int) -> list[Order]:
    """What each device does, in its order.

    Args:
        virtual: stages a device holds.

    Raises:
        ValueError: a schedule that cannot run with these numbers, and what would make it run.
    """
    if min(devices, virtual, microbatches) < 1:
        raise ValueError("need devices, virtual and microbatches of at least 1")
    if schedule in ("gpipe", "1f1b") and virtual > 1:
        raise ValueError(f"schedule {schedule} has one stage a device, not {virtual}")
    if schedule == "1f1b" and microbatches < devices:
        raise ValueError(
            f"schedule 1f1b needs at least as many microbatches ({microbatches}) as stages "
            f"({devices}); take more of them, or schedule gpipe"
        )
    if schedule == "interleaved" and microbatches % max(1, microbatches // devices):
        raise ValueError(
            f"schedule interleaved: {microbatches} microbatches do not make whole rounds of "
            f"{devices}; take a multiple"
        )
    one: dict[str, Callable[[int], Order]] = {
        "gpipe": lambda rank: _gpipe(rank, microbatches),
        "1f1b": lambda rank: _one_f_one_b(rank, devices, microbatches),
        "interleaved": lambda rank: _interleaved(rank, devices, virtual, microbatches),
        "bfs": lambda rank: _breadth_first(rank, devices, virtual, microbatches),
    }
    return [one[schedule](rank) for rank in range(devices)]


def _gpipe(rank: int, microbatches: int) -> Order:
    """All forward, then all backward (arXiv:1811.06965, figure 2c)."""
    pieces = range(microbatches)
    return [Action(rank, True, m) for m in pieces] + [Action(rank, False, m) for m in pieces]


def _one_f_one_b(rank: int, devices: int, microbatches: int) -> Order:
    """Backward as soon as possible: stage s keeps `devices - s` micro-batches alive (PipeDream
    with a flush, Narayanan et al. 2021, arXiv:2104.04473, figure 3)."""
    ahead = min(microbatches, devices - rank)
    order = [Action(rank, True, m) for m in range(ahead)]
    for m in range(microbatches):
        order.append(Action(rank, False, m))
        if ahead + m < microbatches:
            order.append(Action(rank, True, ahead + m))
    return order


def _interleaved(rank: int, devices: int, virtual: int, microbatches: int) -> Order:
    """1F1B over several stages a device, the earlier micro-batch first (arXiv:2104.04473,
    section 2.2, as torch runs it)."""
    rounds = max(1, microbatches // devices)
    a_round, total = microbatches // rounds, virtual * microbatches
    warm = min((virtual - 1) * a_round + 2 * (devices - 1 - rank), total)
    done: dict[tuple[int, bool], int] = {}

    def act(step: int, forward: bool) -> Action:
        turn = step // a_round % virtual
        stage = (turn if forward else virtual - 1 - turn) * devices + rank
        m = done.get((stage, forward), 0)
        done[stage, forward] = m + 1
        return Action(stage, forward, m)

    order = [act(step, True) for step in range(warm)]
    for step in range(total - warm):
        order += [act(warm + step, True), act(step, False)]
    order += [act(step, False) for step in range(total - warm, total)]
    return order


def _breadth_first(rank: int, devices: int, virtual: int, microbatches: int) -> Order:
    """All micro-batches through one stage, then through the device's next (Lamy-Poirier 2022,
    arXiv:2211.05953)."""
    stages = range(rank, devices * virtual, devices)
    order = [Action(s, True, m) for s in stages for m in range(microbatches)]
    return order + [
        Action(s, False, m) for s in reversed(stages) for m in reversed(range(microbatches))
    ]


def peak(order: Iterable[Action], weights: Sequence[float]) -> float:
    """Most that a device holds at once: the sum, over micro-batches whose forward pass is done and
    whose backward pass is not, of the weight of their stage."""
    held = most = 0.0
    for stage, forward, _ in order:
        held += weights[stage] if forward else -weights[stage]
        most = max(most, held)
    return most


def alive(order: Iterable[Action]) -> dict[int, int]:
    """Most micro-batches of each stage that are alive at once."""
    now: dict[int, int] = {}
    most: dict[int, int] = {}
    for stage, forward, _ in order:
        now[stage] = now.get(stage, 0) + (1 if forward else -1)
        most[stage] = max(most.get(stage, 0), now[stage])
    return most
