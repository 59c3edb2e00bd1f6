"""When every device computes what: a pipeline's step, simulated from the orders of its devices.

Each device works off its order; an action waits for its device and for what it needs from the
neighbouring stage. A transfer delays what it carries and keeps no device busy (sends are
asynchronous). Time is in any unit. Not its job: the orders (orders), costs (cost).

Shape letters: K devices.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from m4nmt.parallel.settings import ScheduleName
from m4nmt.plan.orders import Order, alive, orders


class Event(NamedTuple):
    """One action on the clock."""

    device: int
    stage: int
    microbatch: int
    forward: bool
    start: float
    end: float


class Times(NamedTuple):
    """Of one micro-batch.

    Attributes:
        forward, backward: of each stage.
        transfer: from each stage to the next one and back, one way; needed only between devices.
    """

    forward: Sequence[float]
    backward: Sequence[float]
    transfer: Sequence[float] = ()

    @classmethod
    def even(cls, stages: int, forward: float = 1.0, backward: float = 2.0) -> "Times":
        """The same for every stage, and transfers that take no time."""
        return cls([forward] * stages, [backward] * stages)


@dataclass(frozen=True)
class Timeline:
    """A simulated step.

    Attributes:
        orders: of each device.
        starts, ends: of each action, as in `orders`.
    """

    orders: list[Order]
    starts: list[list[float]]
    ends: list[list[float]]

    @property
    def makespan(self) -> float:
        """From the first start to the last end."""
        return max(ends[-1] for ends in self.ends)

    @property
    def busy(self) -> list[float]:
        """Time that each device computes."""
        return [sum(b) - sum(a) for a, b in zip(self.starts, self.ends, strict=True)]

    @property
    def bubble(self) -> float:
        """Share of all devices' time in which nothing is computed."""
        return max(0.0, 1.0 - sum(self.busy) / (len(self.orders) * self.makespan))

    @property
    def alive(self) -> list[int]:
        """Most micro-batches of each stage whose activations are held at once."""
        most: dict[int, int] = {}
        for order in self.orders:
            most |= alive(order)
        return [most[stage] for stage in sorted(most)]

    def events(self, devices: Sequence[int] | None = None) -> Iterator[Event]:
        """All actions of these devices (None: of all) on the clock."""
        for device in range(len(self.orders)) if devices is None else devices:
            rows = zip(self.orders[device], self.starts[device], self.ends[device], strict=True)
            for (stage, forward, microbatch), start, end in rows:
                yield Event(device, stage, microbatch, forward, start, end)


def simulate(
    schedule: ScheduleName, devices: int, virtual: int, microbatches: int, times: Times
) -> Timeline:
    """A step of `devices` devices with `virtual` stages each.

    Raises:
        ValueError: a schedule that cannot run with these numbers, or times for other stages.
    """
    stages = devices * virtual
    if not len(times.forward) == len(times.backward) == stages:
        raise ValueError(f"{stages} stages need as many forward and backward times")
    if times.transfer and len(times.transfer) != stages - 1:
        raise ValueError(f"{stages} stages need {stages - 1} transfer times")
    return play(orders(schedule, devices, virtual, microbatches), times)


def play(orders: list[Order], times: Times) -> Timeline:
    """Work off any orders, one of each device, in time that grows with the number of actions.

    Raises:
        ValueError: the orders wait for each other.
    """
    clock = _Clock(orders, times)
    ready = list(range(len(orders)))
    while ready:
        ready += clock.run(ready.pop())
    stuck = [k for k, order in enumerate(orders) if clock.next[k] < len(order)]
    if stuck:
        action = orders[stuck[0]][clock.next[stuck[0]]]
        raise ValueError(f"the orders wait for each other: device {stuck[0]} is stuck at {action}")
    return Timeline(orders, clock.starts, clock.ends)


class _Clock:
    """What has happened so far."""

    def __init__(self, orders: list[Order], times: Times) -> None:
        self.orders, self.times = orders, times
        self.stages, self.devices = len(times.forward), len(orders)
        moved = self.devices > 1 and bool(times.transfer)
        self.transfer = list(times.transfer) if moved else [0.0] * (self.stages - 1)
        self.next = [0] * self.devices
        self.starts: list[list[float]] = [[] for _ in orders]
        self.ends: list[list[float]] = [[] for _ in orders]
        # when the result of an action is there for the stage that needs it
        self.arrived: list[dict[int, float]] = [{} for _ in range(2 * self.stages)]

    def run(self, device: int) -> list[int]:
        """Let a device act until it must wait; the devices that may go on because of it."""
        order, starts, ends = self.orders[device], self.starts[device], self.ends[device]
        now = ends[-1] if ends else 0.0
        woken = set()
        position = self.next[device]
        while position < len(order):
            stage, forward, m = order[position]
            begin = self._begin(stage, forward, m)
            if begin is None:
                break
            begin = max(begin, now)
            now = begin + (self.times.forward if forward else self.times.backward)[stage]
            starts.append(begin)
            ends.append(now)
            position += 1
            receiver = stage + 1 if forward else stage - 1
            if 0 <= receiver < self.stages:
                carried = self.transfer[min(stage, receiver)]
                self.arrived[2 * receiver + forward][m] = now + carried
                woken.add(receiver % self.devices)
            elif forward:  # the last stage goes straight back
                self.arrived[2 * stage][m] = now
        self.next[device] = position
        woken.discard(device)
        return list(woken)

    def _begin(self, stage: int, forward: bool, m: int) -> float | None:
        """When what an action needs is there; None: not known yet."""
        if forward and stage == 0:
            return 0.0
        return self.arrived[2 * stage + forward].get(m)
