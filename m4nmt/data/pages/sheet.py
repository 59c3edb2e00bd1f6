"""One look for the pages of this room: offline, without scripts, light and dark, wide and narrow.

The styles are in blank.html. Not its job: what a page says.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

NOTHING = "<span class='soft'>·</span>"


def page(title: str, body: Iterable[str]) -> str:
    """A whole page.

    Args:
        title: plain text.
        body: what follows the title, as HTML.
    """
    fields = {"title": escape(title), "body": "\n".join(body)}
    blank = resources.files(__package__).joinpath("blank.html").read_text("utf-8")
    return re.sub(r"\{\{(title|body)\}\}", lambda match: fields[match[1]], blank)


def section(title: str, *parts: str) -> str:
    """A card with a title (HTML) and its parts."""
    return f"<section><h2>{title}</h2>{''.join(parts)}</section>"


def row(cells: Sequence[str]) -> str:
    """A row of a table: the first cell names it."""
    rest = "".join(f"<td>{cell}</td>" for cell in cells[1:])
    return f"<tr><th scope='row'>{cells[0]}</th>{rest}</tr>"


def heads(cells: Iterable[str]) -> str:
    """The names of columns, as HTML."""
    names = "".join(f"<th scope='col'>{cell}</th>" for cell in cells)
    return f"<tr>{names}</tr>"


def table(label: str, top: str, rows: Iterable[str]) -> str:
    """A table that scrolls by itself where it is too wide or too long.

    Args:
        label: what it is, for those who do not see it.
        top: rows of `heads`.
        rows: those of `row`.
    """
    return (
        f"<div class='scroll' tabindex='0' role='region' aria-label='{escape(label)}'>"
        f"<table><thead>{top}</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def count(number: int) -> str:
    """A number of things; a dot for none, so that what is there stands out."""
    return f"{number:,}" if number else NOTHING


def bar(share: float) -> str:
    """A bar for a share of 0 to 1."""
    return (
        "<svg class='bar' viewBox='0 0 90 10' preserveAspectRatio='none' aria-hidden='true'>"
        f"<rect width='{90 * share:.1f}' height='10'/></svg>"
    )
