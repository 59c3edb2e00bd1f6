"""A plan explains itself: why this layout, what limits it, what to change.

Not its job: numbers (estimate), looks (show, html).
"""

from m4nmt.parallel.settings import KeepAll, Recompute, Remat, Selective
from m4nmt.parallel.shard import zero
from m4nmt.plan.estimate import Plan
from m4nmt.plan.job import GIB
from m4nmt.plan.memory import KINDS
from m4nmt.plan.weights import FP32, moments, once, parameters

_IDLE = 0.15  # of the devices' time that a pipeline may lose before it is worth a word
LETTERS = "P pipeline, V virtual stages, R replicate, S shard, E expert, T tensor, Z zero"
_UNEVEN = 1.15  # slowest stage over the mean


def size(count: float) -> str:
    """Bytes for people."""
    for unit, one in (("TiB", GIB * 1024), ("GiB", GIB), ("MiB", GIB / 1024)):
        if count >= one:
            return f"{count / one:,.1f} {unit}"
    return f"{count / 1024:,.1f} KiB"


def number(count: float) -> str:
    """A count for people: 1.3 B."""
    for unit, one in ((" T", 1e12), (" B", 1e9), (" M", 1e6), (" k", 1e3)):
        if count >= one:
            return f"{count / one:,.1f}{unit}"
    return f"{count:,.0f}"


def span(seconds: float) -> str:
    """Seconds for people."""
    for unit, one in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * one:
            return f"{seconds / one:,.1f} {unit}"
    return f"{seconds:,.2f} s" if seconds >= 0.1 else f"{seconds * 1000:,.2f} ms"


def remat_name(rule: Remat) -> str:
    """A rule of recomputation in a word or two."""
    match rule:
        case KeepAll():
            return "keep all"
        case Selective():
            return "selective"
        case Recompute(every=1):
            return "recompute"
        case Recompute(every=n):
            return f"recompute 1 in {n}"


def layout_name(plan: Plan) -> str:
    """The dimensions that are larger than one."""
    parallel = plan.job.parallel
    sizes = {
        "pipeline": plan.job.layout.pipeline,
        "replicate": plan.job.layout.replicate,
        "shard": plan.job.layout.shard,
        "expert": plan.job.layout.expert,
        "tensor": plan.job.layout.tensor,
    }
    named = [f"{name} {n}" for name, n in sizes.items() if n > 1]
    if parallel.virtual > 1:
        named.append(f"virtual {parallel.virtual}")
    return ", ".join(named) or "one device"


def short_name(plan: Plan) -> str:
    """The layout in letters, see LETTERS."""
    layout, parallel = plan.job.layout, plan.job.parallel
    sharded = layout.shard * layout.expert > 1
    sizes = {
        "P": layout.pipeline,
        "V": parallel.virtual,
        "R": layout.replicate,
        "S": layout.shard,
        "E": layout.expert,
        "T": layout.tensor,
        "Z": parallel.zero if sharded else 1,
    }
    return " ".join(f"{letter}{n}" for letter, n in sizes.items() if n > 1) or "one device"


def assignments(plan: Plan) -> list[str]:
    """The layout as `--set` options."""
    parallel, layout = plan.job.parallel, plan.job.layout
    pairs = [
        (name, getattr(layout, name))
        for name in ("pipeline", "replicate", "shard", "expert", "tensor")
    ]
    pairs += [("schedule", parallel.schedule), ("virtual", parallel.virtual)]
    pairs += [("zero", parallel.zero), ("microbatches", parallel.microbatches)]
    pairs.append(("remat", type(parallel.remat).__name__))
    return [
        f"data.blocks.rows_multiple={plan.job.multiple}",
        *(f"parallel.{name}={value}" for name, value in pairs),
    ]


def explain(plan: Plan) -> list[str]:
    """Sentences: what the model needs, how it is laid, what limits memory and speed."""
    return [_need(plan), _memory(plan), *_pipeline(plan), _speed(plan), *_advice(plan)]


def _need(plan: Plan) -> str:
    """Whether one device would do."""
    held = once(plan.job.whole)
    total, active = parameters(plan.job.whole)
    state = 2 * FP32 * total + sum(moments(w, plan.job.optim) for w in held)
    room = plan.machine.memory
    fits = "would fit" if state <= room else "do not fit"
    used = f" ({number(active)} of them used by a token)" if active != total else ""
    return (
        f"{number(total)} parameters{used}: fp32 weights, gradients and optimiser state take "
        f"{size(state)} in all and {fits} into one device of {size(room)}."
    )


def _memory(plan: Plan) -> str:
    fullest = plan.fullest
    kind = max(fullest.bytes, key=lambda k: fullest.bytes[k])
    verdict = "It fits" if plan.fits else "It does not fit"
    where = f"pipeline rank {fullest.device}" if plan.job.pipelined else "every device"
    return (
        f"{verdict}: {where} needs most memory, {size(fullest.total)} of "
        f"{size(plan.machine.memory)}; the largest part is {kind} ({KINDS[kind]}), "
        f"{size(fullest.bytes[kind])}."
    )


def _pipeline(plan: Plan) -> list[str]:
    if not plan.job.pipelined:
        return []
    parallel, line = plan.job.parallel, plan.timeline
    both = [a + b for a, b in zip(plan.times.forward, plan.times.backward, strict=True)]
    uneven = max(both) * len(both) / sum(both)
    slowest = both.index(max(both))
    first, last = plan.job.stages[slowest][0], plan.job.stages[slowest][-1]
    told = [
        f"The pipeline ({parallel.schedule}, {len(both)} stages, {parallel.microbatches} "
        f"micro-batches) leaves devices idle {line.bubble:.1%} of the time; stage {slowest} "
        f"({first} to {last}) is the slowest, {uneven:.2f} times the mean."
    ]
    if line.bubble > _IDLE and parallel.microbatches < 4 * parallel.pipeline:
        told.append(
            f"More micro-batches would help: the bubble is small from about four a stage "
            f"({4 * parallel.pipeline}) on (GPipe, arXiv:1811.06965, section 2.3)."
        )
    elif line.bubble > _IDLE and uneven > _UNEVEN:
        told.append("The stages are uneven: one of them holds a segment that cannot be cut.")
    return told


def _speed(plan: Plan) -> str:
    busy = max(plan.traffic, key=lambda k: plan.traffic[k])
    sent = plan.traffic[busy]
    traffic = (
        f"; each sends up to {size(sum(plan.traffic.values()))} a step, most of it {busy}"
        if sent
        else ""
    )
    waits = f", of which {span(plan.reducing)} sum gradients while nothing is computed"
    waits *= plan.reducing > 0
    return (
        f"A step takes {span(plan.seconds)}{waits}{traffic}. At {plan.machine.efficiency:.0%} of "
        f"the rated speed while products run (assumed), {plan.utilisation:.1%} of it remain as "
        "model FLOPs utilisation."
    )


def _advice(plan: Plan) -> list[str]:
    parallel, fullest, told = plan.job.parallel, plan.fullest, []
    share = {kind: n / fullest.total for kind, n in fullest.bytes.items()}
    if not plan.fits and share["activations"] > 0.3 and not isinstance(parallel.remat, Recompute):
        told.append(
            "Activations are large: try parallel.remat=Selective, or Recompute, which keeps only "
            "the input of every layer and costs a third more operations."
        )
    if not plan.fits and share["moments"] + share["gradients"] + share["weights"] > 0.6:
        told.append(
            "Weights and what follows them are large: more pipeline stages, or shard them over "
            "more devices."
        )
    if plan.job.pipelined and share["copies"] > 0.2 and zero(parallel, plan.job.layout) > 1:
        told.append(
            f"With parallel.zero={parallel.zero} every micro-batch that is alive keeps its own "
            "bf16 copies of the weights: take parallel.remat=Recompute, which keeps none, or "
            "parallel.zero=1, which keeps one of each beside the whole weights."
        )
    if plan.job.pipelined and parallel.schedule in ("gpipe", "bfs") and not plan.job.model.soft_cap:
        told.append(
            f"Under {parallel.schedule} the last stage projects every micro-batch but one a second "
            "time in its backward pass; 1f1b projects each once."
        )
    return told
