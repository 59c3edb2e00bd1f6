"""How long a step takes and what devices send each other, predicted from counted operations.

The model, all of it: one device would compute the step's products at `efficiency` times its rated
speed. The time of all that is no product is in that share, and is given to segments by what they do
(`parallel.cut`): what tensor parallelism does not divide, or `Selective` does again, then costs its
time. No layer is faster than its kernels are started. Transfers between stages delay what they
carry and disturb nothing; sums over tensor-parallel ranks and exchanges of tokens between experts
stop the device; gathering sharded weights runs beside the products and costs what it takes longer
than they; gradients are reduced after the last backward pass. Rings move (n-1)/n of what they
gather, twice that to sum. On CPUs nothing runs beside the products: gloo sends with the cores that
compute, and it scatters sums by summing everything everywhere, as torch does it there. The
optimiser's update and the reading of data are left out.

Shape letters: D width.
"""

from typing import NamedTuple

from m4nmt.model.settings import ModelConfig, MoEConfig
from m4nmt.parallel.cut import BACKWARD, PASS, Work
from m4nmt.parallel.settings import Recompute, Selective
from m4nmt.parallel.shard import zero
from m4nmt.plan.job import Job, Machine
from m4nmt.plan.memory import crossed
from m4nmt.plan.simulate import Times
from m4nmt.plan.weights import FP32, once

TRAFFIC = {
    "pipeline": "states and their gradients between stages",
    "gather": "sharded weights, gathered to be used",
    "reduce": "gradients, summed over ranks that read other rows",
    "tensor": "sums over tensor-parallel ranks",
    "experts": "tokens, to their experts and back",
    "tied": "gradients of tables that stand in several stages",
}


class Sent(NamedTuple):
    """Bytes that the devices of a stage each send in a step, by when.

    Attributes:
        pipeline: both ways, all micro-batches.
        gather: beside the products of the micro-batches. `once`: gathers at the start.
        tensor_forward, tensor_backward, experts_forward, experts_backward: of one micro-batch,
            the device waiting.
        reduce: of gradients, once. `reductions`: how often; but for the last one, beside the
            products.
    """

    pipeline: float
    gather: float
    once: float
    tensor_forward: float
    tensor_backward: float
    experts_forward: float
    experts_backward: float
    reduce: float
    reductions: int


def step_flops(job: Job) -> float:
    """Operations of the products of a step, nothing that is done again (as in `model.cost`)."""
    piece = sum(work.products for work in job.works.values())
    return (1 + BACKWARD) * piece * job.parallel.microbatches * job.layout.data


def times(job: Job, machine: Machine, sent: list[Sent]) -> Times:
    """Seconds of one micro-batch in every stage."""
    products = sum(work.products for work in job.works.values())
    everything = sum(_pass(work) for work in job.works.values())
    speed = machine.flops * machine.efficiency * everything / products
    beside = job.device != "cpu"
    forward, backward = [], []
    for names, bytes_ in zip(job.stages, sent, strict=True):
        ahead, back = (x / speed for x in _operations(job, names))
        layers = sum(name.startswith(("enc", "dec")) for name in names)
        ahead, back = max(ahead, layers * machine.launch), max(back, 2 * layers * machine.launch)
        waits = bytes_.tensor_forward + bytes_.experts_forward
        waits_back = bytes_.tensor_backward + bytes_.experts_backward
        fetch = bytes_.gather / (2 * job.parallel.microbatches) / machine.bandwidth
        give = fetch + (bytes_.reductions > 1) * bytes_.reduce / machine.bandwidth
        ahead = max(ahead, fetch) if beside else ahead + fetch
        back = max(back, give) if beside else back + give
        forward.append(ahead + waits / machine.bandwidth)
        backward.append(back + waits_back / machine.bandwidth)
    moved = [crossed(job, stage) / machine.bandwidth for stage in range(1, len(job.stages))]
    return Times(forward, backward, moved)


def _pass(work: Work) -> float:
    """Operations that a forward pass is as long as."""
    return work.step / (1 + BACKWARD)


def _operations(job: Job, names: tuple[str, ...]) -> tuple[float, float]:
    """(forward, backward) operations of a stage; the loss has both in its forward pass, unless it
    computes the logits again."""
    again, selective = _again(job, names), isinstance(job.parallel.remat, Selective)
    ahead = back = 0.0
    for name in names:
        work = job.parts[name]
        cost = _pass(work)
        ahead += cost
        if name == "head" and name not in again:
            ahead += BACKWARD * cost
        else:
            back += (BACKWARD + (name in again)) * cost
        if selective and name.startswith(("enc", "dec")):
            back += PASS * work.passes
    return ahead, back


def _again(job: Job, names: tuple[str, ...]) -> set[str]:
    """Segments whose products are computed again in the backward pass."""
    rule = job.parallel.remat
    layers = [name for name in names if name.startswith(("enc", "dec"))]
    again = set(layers[:: rule.every]) if isinstance(rule, Recompute) else set()
    # where the last stage keeps several micro-batches, the loss of all but one: see `train.loss`
    several = job.pipelined and job.parallel.schedule in ("gpipe", "bfs")
    late = job.model.soft_cap or (several and job.parallel.microbatches > 1)
    return again | ({"head"} & set(names) if late else set())


def sent(job: Job) -> list[Sent]:
    """What each device of every stage sends in a step."""
    return [_stage_sent(job, stage) for stage in range(len(job.stages))]


def traffic(job: Job, found: list[Sent]) -> dict[str, float]:
    """Bytes that the busiest device sends in a step, by kind; see TRAFFIC."""
    pieces, pipeline = job.parallel.microbatches, job.parallel.pipeline
    tied = _tied(job)
    lanes = []
    for device in range(pipeline):
        stages = found[device::pipeline]
        lanes.append(
            {
                "pipeline": sum(s.pipeline for s in stages),
                "gather": sum(s.gather + s.once for s in stages),
                "reduce": sum(s.reduce * s.reductions for s in stages),
                "tensor": pieces * sum(s.tensor_forward + s.tensor_backward for s in stages),
                "experts": pieces * sum(s.experts_forward + s.experts_backward for s in stages),
                "tied": tied.get(device, 0.0),
            }
        )
    return max(lanes, key=lambda lane: sum(lane.values()))


def reductions(job: Job, machine: Machine, found: list[Sent]) -> float:
    """Seconds after the last backward pass, on the slowest device."""
    pipeline = job.parallel.pipeline
    reduced = max(
        sum(s.reduce + s.once for s in found[device::pipeline]) for device in range(pipeline)
    )
    return (reduced + max(_tied(job).values(), default=0.0)) / machine.bandwidth


def _stage_sent(job: Job, stage: int) -> Sent:
    layout, pieces = job.layout, job.parallel.microbatches
    names = job.stages[stage]
    part = once(job.held, names)
    rows = layout.shard * layout.expert
    gather = reduce = 0.0
    scattered = 2 if job.device == "cpu" else 1
    for weight in part:
        mixed = weight.copies > 1
        ranks = layout.shard if mixed else rows
        number = FP32 * weight.numel / (layout.expert if mixed else 1)
        gather += number * (ranks - 1) / ranks
        reduce += scattered * number * (ranks - 1) / ranks
        reduce += 2 * number / ranks * (layout.replicate - 1) / layout.replicate
    again, each = (zero(job.parallel, layout) >= n for n in (3, 2))
    moved = sum(crossed(job, s) for s in (stage, stage + 1) if 0 < s < len(job.stages))
    ahead, back = _tensor(job, names)
    tokens = _exchange(job, names)
    anew = 1 if isinstance(job.parallel.remat, Recompute) else 0
    return Sent(
        pipeline=pieces * moved if job.parallel.pipeline > 1 else 0.0,
        gather=2 * pieces * gather if again else 0.0,
        once=0.0 if again else gather,
        tensor_forward=ahead,
        tensor_backward=back + anew * ahead,
        experts_forward=tokens,
        experts_backward=(1 + anew) * tokens,
        reduce=reduce,
        reductions=pieces if each else 1,
    )


def _tensor(job: Job, names: tuple[str, ...]) -> tuple[float, float]:
    """Bytes that one device sends to sum states in a (forward, backward) pass of a micro-batch."""
    size, number, dim = job.layout.tensor, job.number, job.model.dim
    source, target = (job.piece.rows * n * dim * number for n in job.piece[1:])
    sums = {"enc": (2 * source, 2 * source), "dec": (3 * target, 3 * target + source)}
    tables = {"source": (source, 0), "target": (target, 0), "head": (0, target)}
    found = [tables.get(name) or sums.get(name[:3], (0, 0)) for name in names]
    ring = 2 * (size - 1) / size
    return ring * sum(a for a, _ in found), ring * sum(b for _, b in found)


def _exchange(job: Job, names: tuple[str, ...]) -> float:
    """Bytes that one device sends to experts elsewhere, and they back, in one pass."""
    model, size = job.model, job.layout.expert
    total = 0.0
    for name in names:
        ffn = _ffn(model, name)
        if isinstance(ffn, MoEConfig):
            length = job.piece.src if name.startswith("enc") else job.piece.tgt
            tokens = job.piece.rows * length * ffn.choices
            total += 2 * tokens * model.dim * job.number * (size - 1) / size
    return total


def _ffn(model: ModelConfig, name: str) -> object:
    stack = {"enc": model.encoder, "dec": model.decoder}.get(name[:3])
    return stack[int(name[3:])].ffn if stack else None


def _tied(job: Job) -> dict[int, float]:
    """Pipeline rank -> bytes it sends to sum the gradients of tables that several ranks hold."""
    ranks: dict[str, set[int]] = {}
    sizes: dict[str, float] = {}
    for number, stage in enumerate(job.stages):
        for name in stage:
            if name in ("source", "target", "head"):
                for weight in job.held[name]:
                    ranks.setdefault(weight.name, set()).add(number % job.parallel.pipeline)
                    sizes[weight.name] = FP32 * weight.numel
    found: dict[int, float] = {}
    sharded = job.layout.shard * job.layout.expert
    for name, where in ranks.items():
        for rank in where:
            moved = 2 * (len(where) - 1) / len(where) * sizes[name] / sharded
            found[rank] = found.get(rank, 0.0) + moved
    return found
