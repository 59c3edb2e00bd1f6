"""Counters, gauges and histograms, and their text for Prometheus (exposition format 0.0.4).

Small on purpose: one process, one event loop that owns all of them, no registry of the whole
process. Labels are what the program itself names (routes, statuses, models, lanes), never what a
client sends: no address, no key, no text. Not its job: what is measured (meters.py).
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

Labels = tuple[str, ...]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metric(Protocol):
    """Something that can be written for Prometheus."""

    def lines(self) -> Iterator[str]:
        """HELP, TYPE and every sample."""


class Counter:
    """Numbers that only grow, one for each combination of labels."""

    def __init__(self, name: str, about: str, labels: Labels = ()) -> None:
        self._name, self._about, self._labels = name, about, labels
        self._values: dict[Labels, float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        """Count `by` more."""
        self._values[labels] = self._values.get(labels, 0.0) + by

    def value(self, *labels: str) -> float:
        """What was counted under these labels."""
        return self._values.get(labels, 0.0)

    def lines(self) -> Iterator[str]:
        """As Metric says."""
        yield from _head(self._name, self._about, "counter")
        for labels, value in sorted(self._values.items()):
            yield _sample(self._name, zip(self._labels, labels, strict=True), value)


class Gauge:
    """Numbers as they are now: `read` gives one for each combination of labels."""

    def __init__(
        self,
        name: str,
        about: str,
        read: Callable[[], Mapping[Labels, float]],
        labels: Labels = (),
    ) -> None:
        self._name, self._about, self._labels, self._read = name, about, labels, read

    def lines(self) -> Iterator[str]:
        """As Metric says."""
        yield from _head(self._name, self._about, "gauge")
        for labels, value in sorted(self._read().items()):
            yield _sample(self._name, zip(self._labels, labels, strict=True), value)


class Histogram:
    """How observations are spread over buckets; `bounds` are upper bounds, inclusive, rising."""

    def __init__(self, name: str, about: str, bounds: Sequence[float], labels: Labels = ()) -> None:
        self._name, self._about, self._labels = name, about, labels
        self._bounds = [*bounds, math.inf]
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count one observation."""
        counts = self._counts.setdefault(labels, [0] * len(self._bounds))
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + value

    def lines(self) -> Iterator[str]:
        """As Metric says; buckets are cumulative."""
        yield from _head(self._name, self._about, "histogram")
        for labels, counts in sorted(self._counts.items()):
            own = list(zip(self._labels, labels, strict=True))
            total = 0
            for bound, count in zip(self._bounds, counts, strict=True):
                total += count
                yield _sample(f"{self._name}_bucket", [*own, ("le", _number(bound))], total)
            yield _sample(f"{self._name}_sum", own, self._sums[labels])
            yield _sample(f"{self._name}_count", own, total)


def exposition(metrics: Iterable[Metric]) -> str:
    """All of them as one page."""
    return "\n".join(line for metric in metrics for line in metric.lines()) + "\n"


def _head(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{inner}}} {_number(value)}" if inner else f"{name} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value) if value != int(value) else str(int(value))
