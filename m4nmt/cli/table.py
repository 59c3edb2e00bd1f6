"""Tables that stay whole: columns as wide as what is in them, two spaces apart.

On a terminal that is too narrow the last column is cut; what goes into a pipe or a file never is,
so that `grep` finds every code. Not its job: tables that nobody searches (rich.table).
"""

import sys
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console

_GAP = "  "
_LEAST = 12  # columns that are left to the last one, however narrow the terminal


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> str:
    """All rows below their head, a line each.

    Args:
        right: names of the columns that are aligned to the right: numbers.
    """
    lines = [list(head), *map(list, rows)]
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    before = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
    if sys.stdout.isatty():
        widths[-1] = min(widths[-1], max(_LEAST, Console().width - before))
    return "\n".join(
        _GAP.join(
            _cell(text, width, name in right)
            for text, width, name in zip(line, widths, head, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(text: str, width: int, right: bool) -> str:
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    room = " " * (width - cell_len(text))
    return room + text if right else text + room
