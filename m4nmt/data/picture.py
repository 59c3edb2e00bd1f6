"""The mixture as a page that needs nothing else: T = 1, 5, 100 side by side, no request, no script.

Directions are ranked by their examples, largest first, as in Arivazhagan et al. 2019 (figure 4); a
logarithmic axis shows the smallest as well as the largest. Not its job: shares (mixture.py), the
look (pages/).
Shape letters: D directions.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.overview import Row
from m4nmt.data.pages import sheet
from m4nmt.data.settings import Temperature
from m4nmt.data.stream.mixture import shares
from m4nmt.data.types import Direction

TEMPERATURES = (1.0, 5.0, 100.0)
_POINTS = 400  # of a curve; more directions than these are thinned out evenly by rank
_ROWS = 300
_WIDE, _HIGH, _LEFT, _TOP, _BOTTOM = 380.0, 250.0, 70.0, 34.0, 34.0
_LEAD = (
    "At T = 1 a direction is drawn as often as its size says; the higher T, the more even the "
    "mixture (p ~ size^(1/T)). The three drawings have the same axes: share of all examples drawn, "
    "on a logarithmic scale, by direction, the largest on the left."
)
_KEY = '<span><svg viewBox="0 0 26 8"><path class="{}" d="M0 4h26"/></svg>{}</span>'
_LEGEND = (
    ("share", "at this temperature"),
    ("own", "as this recipe draws over the whole run"),
    ("even", "an even share"),
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Picture:
    """What the page shows, directions ranked by size.

    Attributes:
        name: of the recipe.
        rows: of the run.
        by_temperature: T -> shares.
    """

    name: str
    rows: tuple[Row, ...]
    by_temperature: dict[float, Floats]

    @classmethod
    def of(cls, name: str, rows: Sequence[Row]) -> "Picture":
        """From the plan of a run."""
        ranked = tuple(sorted(rows, key=lambda row: (-row.size, row.direction)))
        directions = [Direction.parse(row.direction) for row in ranked]
        sizes_D = np.array([row.size for row in ranked], np.int64)
        found = {T: shares(Temperature(T=T), directions, sizes_D, 0.0) for T in TEMPERATURES}
        return cls(name, ranked, found)

    def to_json(self) -> list[dict[str, object]]:
        """A row per direction: size, share in the run, and share by temperature."""
        return [
            {
                "direction": row.direction,
                "size": row.size,
                "share": row.share,
                "epochs": row.epochs,
                "by_temperature": {f"{T:g}": float(s[i]) for T, s in self.by_temperature.items()},
            }
            for i, row in enumerate(self.rows)
        ]


def page(picture: Picture) -> str:
    """The whole page."""
    own_D = np.array([row.share for row in picture.rows])
    several = [*picture.by_temperature.values(), own_D]
    positive = np.concatenate([share_D[share_D > 0] for share_D in several])
    low, high = int(np.floor(np.log10(positive.min()))), int(np.ceil(np.log10(positive.max())))
    axis = (low, max(high, low + 1))
    panels = "".join(
        f'<figure><svg viewBox="0 0 {_WIDE:g} {_HIGH:g}" role="img" aria-label="Share of each '
        f'direction at T = {T:g}">{_panel(f"T = {T:g}", share_D, own_D, axis)}</svg></figure>'
        for T, share_D in picture.by_temperature.items()
    )
    total = sum(row.size for row in picture.rows)
    legend = "".join(_KEY.format(kind, text) for kind, text in _LEGEND)
    body = [
        f"<p>{len(picture.rows):,} directions, {total:,} training examples. {_LEAD}</p>",
        f'<section><div class="panels">{panels}</div><div class="legend">{legend}</div></section>',
        f"<section>{_table(picture)}</section>",
    ]
    return sheet.page(f"{picture.name}: the mixture", body)


def _panel(title: str, share_D: Floats, own_D: Floats, axis: tuple[int, int]) -> str:
    """One drawing: grid, the even share, the recipe's own shares, those of a temperature."""
    low, high = axis
    width, height = _WIDE - _LEFT - 8, _HIGH - _TOP - _BOTTOM

    def y(share: float) -> float:
        return _TOP + height * (high - math.log10(share)) / (high - low)

    drawn = [f'<text class="title" x="{_LEFT:g}" y="18">{title}</text>']
    for power in range(low, high + 1):
        at = y(10.0**power)
        drawn.append(
            f'<path class="grid" d="M{_LEFT:g} {at:.1f}h{width:g}"/>'
            f'<text class="tick" x="{_LEFT - 6:g}" y="{at + 4:.1f}">{_percent(power)}</text>'
        )
    even = y(1 / len(share_D))
    drawn.append(f'<path class="even" d="M{_LEFT:g} {even:.1f}h{width:g}"/>')
    for kind, values in (("own", own_D), ("share", share_D)):
        drawn.append(_curve(kind, values, width, y(10.0**low), y))
    bottom = f'y="{_HIGH - 12:g}"'
    drawn.append(f'<text class="end" x="{_LEFT:g}" {bottom}>largest</text>')
    drawn.append(f'<text class="tick" x="{_LEFT + width:g}" {bottom}>smallest</text>')
    return "".join(drawn)


def _curve(
    kind: str, share_D: Floats, width: float, floor: float, y: Callable[[float], float]
) -> str:
    """Steps over the ranks; a direction without a share falls to the floor."""
    chosen = np.unique(np.linspace(0, len(share_D) - 1, min(len(share_D), _POINTS)).astype(int))
    step = width / len(chosen)
    heights = [y(share_D[i]) if share_D[i] > 0 else floor for i in chosen.tolist()]
    places = " ".join(
        f"{_LEFT + n * step:.1f},{at:.1f} {_LEFT + (n + 1) * step:.1f},{at:.1f}"
        for n, at in enumerate(heights)
    )
    return f'<polyline class="{kind}" points="{places}"/>'


def _percent(power: int) -> str:
    return f"{100.0 * 10.0**power:.{max(0, -power - 2)}f}%" if power > -8 else f"1e{power + 2}%"


def _table(picture: Picture) -> str:
    names = ["direction", "examples", *(f"T = {T:g}" for T in TEMPERATURES)]
    names += ["this recipe", "epochs"]
    count = len(picture.rows)
    shown: Iterable[int] = range(count)
    if count > _ROWS:
        shown = (*range(_ROWS // 2), *range(count - _ROWS // 2, count))
    lines, before = [], -1
    for i in shown:
        row = picture.rows[i]
        if i != before + 1:
            lines.append(f'<tr><td colspan="{len(names)}">{i - before - 1:,} more</td></tr>')
        before = i
        cells = [f"{row.size:,}", *(f"{s[i]:.3%}" for s in picture.by_temperature.values())]
        cells += [f"{row.share:.3%}", f"{row.epochs:.2f}"]
        lines.append(sheet.row([escape(row.direction), *cells]))
    return sheet.table("directions", sheet.heads(names), lines)
