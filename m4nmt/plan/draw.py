"""Who computes what when, as an SVG: a lane a device, time to the right.

Not its job: the page around it (html).
"""

from html import escape

from m4nmt.plan.simulate import Event, Timeline
from m4nmt.plan.words import span

_BOXES = 6000  # a page of more opens slowly
_LANES = 64
_WIDTH, _LANE, _LEFT = 1120.0, 22.0, 34.0
_LABELLED = 13.0  # narrowest box that holds a number
_SHADES = 6  # stages of one device are told apart by so many


def lanes(timeline: Timeline) -> list[int]:
    """The devices to draw: all, or the first, the last and some evenly between."""
    count = len(timeline.orders)
    longest = max(len(order) for order in timeline.orders)
    room = max(2, min(_LANES, _BOXES // longest))
    if count <= room:
        return list(range(count))
    return sorted({round(i * (count - 1) / (room - 1)) for i in range(room)})


def svg(timeline: Timeline) -> str:
    """The drawing. Forward and backward passes differ in colour, a device's stages in shade."""
    chosen = lanes(timeline)
    scale = (_WIDTH - _LEFT) / timeline.makespan
    count = len(timeline.orders)
    drawn = []
    for lane, device in enumerate(chosen):
        y = lane * _LANE
        drawn.append(f'<text class="rank" x="{_LEFT - 8}" y="{y + 14:.0f}">{device}</text>')
        drawn.append(
            f'<rect class="rail" x="{_LEFT}" y="{y + 1:.0f}" width="{_WIDTH - _LEFT}" '
            f'height="{_LANE - 4}"/>'
        )
        drawn += [_box(event, y, scale, count) for event in timeline.events([device])]
    height = len(chosen) * _LANE + 22
    foot = (
        f'<text class="rank" x="{_LEFT}" y="{height - 4:.0f}" style="text-anchor:start">0</text>'
        f'<text class="rank" x="{_WIDTH}" y="{height - 4:.0f}">{span(timeline.makespan)}</text>'
    )
    label = f"Schedule of {len(chosen)} of {count} devices over {span(timeline.makespan)}"
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">'
        f"{''.join(drawn)}{foot}</svg>"
    )


def _box(event: Event, y: float, scale: float, devices: int) -> str:
    x, width = _LEFT + event.start * scale, (event.end - event.start) * scale
    way = "forward" if event.forward else "backward"
    shade = event.stage // devices % _SHADES
    title = (
        f"device {event.device}, stage {event.stage}, micro-batch {event.microbatch}: {way}, "
        f"{span(event.start)} to {span(event.end)}"
    )
    text = (
        f'<text x="{x + width / 2:.1f}" y="{y + 14:.0f}">{event.microbatch}</text>'
        if width >= _LABELLED
        else ""
    )
    return (
        f'<g class="{way[0]} s{shade}"><title>{title}</title><rect x="{x:.2f}" y="{y + 1:.0f}" '
        f'width="{max(width, 0.2):.2f}" height="{_LANE - 4}"/>{text}</g>'
    )
