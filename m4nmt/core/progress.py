"""Progress for people: a live bar on a terminal, plain lines every few seconds elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")
console = Console(stderr=True, highlight=False)
_PLAIN_EVERY = 10.0


class Ticker(Protocol):
    """Told of work done."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """`amount` more units are done; `note` replaces the text behind the bar."""


class _Live:
    def __init__(self, bar: Progress, label: str, total: int | None, start: int) -> None:
        self._bar = bar
        self._task = bar.add_task(label, total=total, completed=start, note="")

    def advance(self, amount: int = 1, note: str = "") -> None:
        self._bar.advance(self._task, amount)
        if note:
            self._bar.update(self._task, note=note)


class _Plain:
    def __init__(self, label: str, total: int | None, start: int) -> None:
        self._label, self._total, self._done = label, total, start
        self._last = time.monotonic()
        self._note = ""

    def advance(self, amount: int = 1, note: str = "") -> None:
        self._done += amount
        self._note = note or self._note
        now = time.monotonic()
        if now - self._last >= _PLAIN_EVERY or self._done == self._total:
            self._last = now
            of = f"/{self._total}" if self._total is not None else ""
            if not console.quiet:
                print(f"{self._label} {self._done}{of} {self._note}".rstrip(), file=sys.stderr)


@contextmanager
def progress(label: str, total: int | None = None, start: int = 0) -> Iterator[Ticker]:
    """Show work of `total` units, `start` of which were done before."""
    if not console.is_terminal:
        yield _Plain(label, total, start)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        yield _Live(bar, label, total, start)


def track(items: Iterable[T], label: str) -> Iterator[T]:
    """Pass items through, showing how many went by."""
    total = len(items) if isinstance(items, Sized) else None
    with progress(label, total) as ticker:
        for item in items:
            yield item
            ticker.advance()
