"""A plan as text for a terminal.

Not its job: the page (html).
"""

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from m4nmt.plan.estimate import DAY, Plan
from m4nmt.plan.memory import KINDS, DeviceBytes
from m4nmt.plan.search import Found
from m4nmt.plan.weights import parameters
from m4nmt.plan.words import (
    LETTERS,
    assignments,
    explain,
    layout_name,
    number,
    remat_name,
    short_name,
    size,
    span,
)

_DEVICES = 5  # shown of a long pipeline
COLUMNS = (
    "layout", "M x rows", "schedule", "remat", "memory", "bubble", "tokens/s", "MFU", "days",
)  # fmt: skip
_WIDE, _LESS = 100, ("schedule", "bubble")  # left out where a terminal is narrower
_LEFT = 4  # columns of words; the others are numbers


def show(plan: Plan, console: Console) -> None:
    """Print one plan."""
    total, active = parameters(plan.job.whole)
    used = f", {number(active)} active" if active != total else ""
    batch, piece = plan.job.batch, plan.job.piece
    console.print(
        Text(f"{plan.job.name}: {number(total)} parameters{used}", style="bold"),
        f"{plan.machine.devices} devices: {layout_name(plan)}; "
        f"{remat_name(plan.job.parallel.remat)}, {plan.job.parallel.precision}",
        f"longest batch {batch.rows} x {batch.src} + {batch.tgt} tokens, in micro-batches of "
        f"{piece.rows} rows",
        sep="\n",
    )
    console.print(memory_table(plan))
    for sentence in explain(plan):
        console.print(sentence)
    console.print(_result(plan), style="bold")


def show_found(found: Found, console: Console) -> None:
    """Print the best layouts, and why others are not among them."""
    if found.best:
        title = "Best layouts that fit, by predicted speed"
        table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1))
        shown = [i for i, name in enumerate(COLUMNS) if console.width >= _WIDE or name not in _LESS]
        for i in shown:
            table.add_column(COLUMNS[i], justify="left" if i < _LEFT else "right", no_wrap=True)
        for plan in found.best:
            cells = [short_name(plan), *row(plan)[1:]]
            table.add_row(*(cells[i] for i in shown))
        console.print(table)
        options = " ".join(f"--set {text}" for text in assignments(found.best[0]))
        console.print(f"({LETTERS}.)\nThe first one: {options}")
    else:
        console.print("No layout fits.", style="bold")
        if found.nearest is not None:
            near = found.nearest
            console.print(
                f"Nearest: {layout_name(near)} needs "
                f"{size(near.fullest.total)} of {size(near.machine.memory)}."
            )
    if found.failed:
        console.print(f"{found.tried} layouts planned. Refused:")
        for reason, count in found.failed.most_common(5):
            console.print(f"  {count} x {reason}")


def row(plan: Plan) -> list[str]:
    """One plan in a table of plans, see COLUMNS."""
    parallel = plan.job.parallel
    sharded = plan.job.layout.shard * plan.job.layout.expert > 1
    zero = f", zero {parallel.zero}" if sharded else ""
    return [
        layout_name(plan) + zero,
        f"{parallel.microbatches} x {plan.job.piece.rows}",
        parallel.schedule if plan.job.pipelined else "",
        remat_name(parallel.remat),
        size(plan.fullest.total),
        f"{plan.timeline.bubble:.1%}",
        f"{plan.tokens_per_second:,.0f}",
        f"{plan.utilisation:.1%}",
        f"{plan.days:,.1f}",
    ]


def memory_table(plan: Plan) -> RenderableType:
    """Bytes by kind and device: the first, the last, the fullest and some between."""
    table = Table(title="Memory by pipeline rank", title_justify="left", box=SIMPLE, padding=(0, 1))
    table.add_column("")
    shown = some(plan.memory)
    for device in shown:
        over = device.total > plan.machine.memory
        table.add_column(str(device.device), justify="right", style="red" if over else "")
    kinds = [kind for kind in KINDS if any(d.bytes[kind] for d in plan.memory)]
    ends = [[f"{names[0]}..{names[-1]}" for names in d.segments] for d in shown]
    table.add_row("segments", *("\n".join(lines[:4]) for lines in ends))
    table.add_row("parameters", *(number(d.parameters) for d in shown))
    table.add_row("alive", *("+".join(map(str, d.alive)) for d in shown), end_section=True)
    for kind in kinds:
        table.add_row(kind, *(size(d.bytes[kind]) if d.bytes[kind] else "" for d in shown))
    table.add_section()
    table.add_row("total", *(size(d.total) for d in shown), style="bold")
    left = len(plan.memory) - len(shown)
    return Group(table, f"({left} more ranks lie between them)") if left else table


def some(devices: Sequence[DeviceBytes]) -> list[DeviceBytes]:
    """A few devices that stand for all."""
    if len(devices) <= _DEVICES:
        return list(devices)
    fullest = max(devices, key=lambda d: d.total).device
    between = {round(i * (len(devices) - 1) / (_DEVICES - 2)) for i in range(_DEVICES - 1)}
    return [d for d in devices if d.device in between | {fullest}]


def _result(plan: Plan) -> str:
    seconds = plan.days * DAY
    return (
        f"{plan.tokens_per_second:,.0f} target tokens/s; {plan.steps:,} steps of "
        f"{number(plan.tokens)} tokens take {span(seconds)}"
    )
