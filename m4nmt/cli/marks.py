"""Telling people which lines went wrong. Not its job: finding out (translate.guard)."""

from collections.abc import Sequence
from typing import TextIO

MEANINGS = {
    "truncated": "the length limit cut it",
    "empty": "there are no words in it",
    "repeats": "it says one thing again and again",
    "length": "it is far longer or shorter than its source",
    "language": "it seems to be in another language",
    "required": "a phrase that was asked for is missing",
    "retried": "the first search went wrong; this is what a second one found",
}
_SHOWN = 20  # line numbers


class Marked:
    """The lines whose translations are marked, as they come."""

    def __init__(self) -> None:
        self._lines: dict[str, list[int]] = {}
        self._total = 0

    def add(self, line: int, marks: Sequence[str]) -> None:
        """One line more, with the marks of its best translation."""
        self._total += 1
        for mark in marks:
            self._lines.setdefault(mark, []).append(line)

    def tell(self, out: TextIO) -> None:
        """How many lines there are of each mark, and which; nothing where there is none."""
        if not self._lines:
            return
        some = len({line for lines in self._lines.values() for line in lines})
        print(f"{some} of {self._total} lines are marked (--json marks each):", file=out)
        for mark in sorted(self._lines):
            lines = self._lines[mark]
            shown = ", ".join(map(str, lines[:_SHOWN]))
            more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
            noun = "line" if len(lines) == 1 else "lines"
            why = MEANINGS.get(mark, "")
            print(f"  {mark}: {len(lines)} ({why}): {noun} {shown}{more}", file=out)
