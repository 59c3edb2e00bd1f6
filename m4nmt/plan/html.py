"""A plan as one page that needs nothing else: no request, no library, no script.

The look is in page.html. Not its job: what is said (words), the drawing of the schedule (draw).
"""

import re
from collections.abc import Iterable
from html import escape
from importlib import resources

from m4nmt.plan.cost import TRAFFIC
from m4nmt.plan.draw import lanes, svg
from m4nmt.plan.estimate import Plan
from m4nmt.plan.memory import KINDS
from m4nmt.plan.search import Found
from m4nmt.plan.show import COLUMNS, row
from m4nmt.plan.weights import parameters
from m4nmt.plan.words import assignments, explain, layout_name, number, size, span


def page(plan: Plan, found: Found | None = None) -> str:
    """The whole page, with the best layouts of a search where there was one."""
    fields = {
        "name": escape(plan.job.name),
        "facts": _facts(plan),
        "tiles": _tiles(plan),
        "words": "".join(f"<p>{escape(sentence)}</p>" for sentence in explain(plan)),
        "bars": _bars(plan),
        "memory": _memory(plan),
        "kinds": "".join(f"<li><b>{k}</b>: {escape(v)}</li>" for k, v in KINDS.items()),
        "schedule": _schedule(plan),
        "traffic": _traffic(plan),
        "found": _found(found),
        "assumed": _assumed(plan),
    }
    blank = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: fields[match[1]], blank)


def _facts(plan: Plan) -> str:
    total, active = parameters(plan.job.whole)
    parallel, batch, piece = plan.job.parallel, plan.job.batch, plan.job.piece
    facts = {
        "Parameters": number(total),
        "Used by a token": number(active),
        "Devices": f"{plan.machine.devices:,}",
        "Layout": layout_name(plan),
        "Schedule": parallel.schedule if plan.job.pipelined else "one stage",
        "Batch": f"{batch.rows:,} x {batch.src} + {batch.tgt} tokens",
        "Micro-batch": f"{piece.rows:,} rows, {parallel.microbatches} a rank",
        "Precision": parallel.precision,
    }
    return "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())


def _tiles(plan: Plan) -> str:
    share = plan.fullest.total / plan.machine.memory
    tiles = [
        (size(plan.fullest.total), "fullest device", f"{share:.0%} of its memory", not plan.fits),
        (f"{plan.tokens_per_second:,.0f}", "target tokens/s", "predicted", False),
        (f"{plan.timeline.bubble:.1%}", "bubble", "devices idle in the pipeline", False),
        (f"{plan.utilisation:.1%}", "model FLOPs utilisation", "predicted", False),
        (span(plan.days * 86_400), "for the run", f"{plan.steps:,} steps", False),
    ]
    return "".join(
        f'<div class="tile{" bad" * bad}"><b>{a}</b><span>{b}</span><small>{c}</small></div>'
        for a, b, c, bad in tiles
    )


def _bars(plan: Plan) -> str:
    """Stacked bars of memory by device, the limit as a line."""
    width, lane, left = 1120.0, 22.0, 34.0
    limit = plan.machine.memory
    scale = (width - left - 90) / max(limit, plan.fullest.total)
    chosen = [plan.memory[k] for k in lanes(plan.timeline)]
    drawn = []
    for i, device in enumerate(chosen):
        x, y = left, i * lane
        drawn.append(f'<text class="rank" x="{left - 8}" y="{y + 14:.0f}">{device.device}</text>')
        for kind, count in device.bytes.items():
            if count:
                drawn.append(
                    f'<g class="k-{kind}"><title>{kind}: {size(count)}</title><rect x="{x:.1f}" '
                    f'y="{y + 1:.0f}" width="{count * scale:.2f}" height="{lane - 4}"/></g>'
                )
                x += count * scale
        drawn.append(
            f'<text class="total" x="{x + 6:.1f}" y="{y + 14:.0f}">{size(device.total)}</text>'
        )
    height, edge = len(chosen) * lane, left + limit * scale
    drawn.append(f'<path class="limit" d="M{edge:.1f} 0V{height:.0f}"/>')
    kinds = "".join(
        f'<span><i class="key k-{k}"></i>{k}</span>'
        for k in KINDS
        if any(d.bytes[k] for d in plan.memory)
    )
    return (
        f'<div class="scroll"><svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="Memory by device">{"".join(drawn)}</svg></div>'
        f'<div class="legend">{kinds}<span><i class="key k-limit"></i>memory of a device</span>'
        "</div>"
    )


def _memory(plan: Plan) -> str:
    kinds = [kind for kind in KINDS if any(d.bytes[kind] for d in plan.memory)]
    heads = ("rank", "stages", "parameters", "alive", *kinds, "total")
    rows = []
    for d in plan.memory:
        ends = "; ".join(f"{names[0]}–{names[-1]}" for names in d.segments)
        cells = [size(d.bytes[kind]) if d.bytes[kind] else "" for kind in kinds]
        alive = "+".join(map(str, d.alive))
        rows.append((str(d.device), ends, number(d.parameters), alive, *cells, size(d.total)))
    return table(heads, rows)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """An HTML table; all but the first two columns are numbers."""
    top = "".join(f'<th scope="col">{escape(h)}</th>' for h in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>" for cells in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def _schedule(plan: Plan) -> str:
    shown, count = len(lanes(plan.timeline)), len(plan.timeline.orders)
    note = f" {shown} of {count} are drawn." if shown < count else ""
    alike = plan.machine.devices // count
    copies = f" Each stands for {alike} devices that work alike." if alike > 1 else ""
    return (
        f'<p class="note">A lane is a device of one pipeline.{note}{copies} Numbers are '
        "micro-batches; point at a box for its stage and times.</p>"
        f'<div class="scroll">{svg(plan.timeline)}</div><div class="legend"><span>'
        '<i class="key f"></i>forward</span><span><i class="key b"></i>backward</span></div>'
    )


def _traffic(plan: Plan) -> str:
    rows = [
        (kind, TRAFFIC[kind], size(count), span(count / plan.machine.bandwidth))
        for kind, count in plan.traffic.items()
        if count
    ]
    if not rows:
        return '<p class="note">Devices send each other nothing.</p>'
    return table(("kind", "what", "bytes a step", "at full bandwidth"), rows)


def _found(found: Found | None) -> str:
    if found is None:
        return '<p class="note">Not searched.</p>'
    best = table(COLUMNS, [row(plan) for plan in found.best]) if found.best else "<p>None fits.</p>"
    reasons = "".join(
        f"<li>{count:,} × {escape(reason)}</li>" for reason, count in found.failed.most_common(5)
    )
    options = " ".join(f"--set {text}" for text in assignments(found.best[0])) if found.best else ""
    use = f"<p>The first one: <code>{escape(options)}</code></p>" if options else ""
    refused = f"<p>{found.tried:,} layouts were planned; refused:</p><ul>{reasons}</ul>"
    return best + use + (refused if reasons else "")


def _assumed(plan: Plan) -> str:
    machine = plan.machine
    told = (
        f"A device has {size(machine.memory)}, {machine.flops / 1e12:,.0f} TFLOP/s and sends "
        f"{machine.bandwidth / 1e9:,.0f} GB/s.",
        f"Products run at {machine.efficiency:.0%} of the rated speed, everything beside them "
        f"included, and no layer takes less than {span(machine.launch)} forward and twice that "
        "back; the optimiser's update and the reading of data are left out.",
        "Sends between stages delay and disturb nothing; sums over tensor-parallel ranks and "
        "exchanges with experts stop a device; gathering runs beside the products; gradients are "
        "summed after the last backward pass.",
        "Every batch is as long as the longest sentences: an upper bound of memory and time.",
        "The driver's own memory and fragments of the allocator are not counted.",
    )
    return "".join(f"<li>{escape(sentence)}</li>" for sentence in told)
