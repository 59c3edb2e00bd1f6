"""Bytes of every device, by kind, at the moment of a step when they are most.

Counted is what our engine and torch really hold: receive buffers for every micro-batch, gathered
weights as long as FSDP2 keeps them under each `zero`, autocast's copies. Not counted: the driver's
own memory and what an allocator loses to fragments. Not its job: when things happen (simulate).

Shape letters: N target tokens, D width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from m4nmt.data.types import Shape as Piece
from m4nmt.parallel.settings import Recompute, Selective
from m4nmt.parallel.stage import crossing
from m4nmt.plan.job import Job
from m4nmt.plan.orders import Order, alive, orders, peak
from m4nmt.plan.weights import FP32, Weight, moments, once
from m4nmt.train.loss import chunk_rows

KINDS = {
    "weights": "fp32 weights between uses",
    "gathered": "whole weights while they are used, where they are sharded",
    "copies": "bf16 copies of weights that autocast keeps to the end of the step",
    "gradients": "fp32 gradients",
    "moments": "what the optimiser keeps",
    "activations": "tensors kept for the backward pass",
    "buffers": "tensors that the pipeline receives, for every micro-batch",
    "logits": "a chunk of logits, and the loss's gradients",
    "working": "gradients of activations, and the layer that is computed again",
}


@dataclass(frozen=True)
class DeviceBytes:
    """Memory of one device of a pipeline.

    Attributes:
        stages: their numbers. `segments`: of each of them.
        parameters: held here, before sharding.
        alive: most micro-batches of each stage whose activations are held.
        bytes: by kind.
    """

    device: int
    stages: tuple[int, ...]
    segments: tuple[tuple[str, ...], ...]
    parameters: int
    alive: tuple[int, ...]
    bytes: dict[str, float]

    @property
    def total(self) -> float:
        """Of all kinds."""
        return sum(self.bytes.values())


class Kept(NamedTuple):
    """What a stage keeps for its backward pass.

    Attributes:
        alive: for every micro-batch that is alive.
        working: once, during a backward pass.
    """

    alive: float
    working: float


def device_bytes(job: Job, wanted: Sequence[int] | None = None) -> list[DeviceBytes]:
    """Memory of the devices of one pipeline (or of some of them).

    Raises:
        ValueError: a schedule that cannot run.
    """
    parallel = job.parallel
    schedule = parallel.schedule if job.pipelined else "1f1b"  # whole: each piece back at once
    lines = orders(schedule, parallel.pipeline, parallel.virtual, parallel.microbatches)
    chosen = range(parallel.pipeline) if wanted is None else wanted
    return [_device(job, k, lines[k]) for k in chosen]


def stage_kept(job: Job, stage: int) -> Kept:
    """Follow the slots of the flow through a stage: each tensor is counted once, where it is kept
    first. What a stage receives is counted with the buffers."""
    names, rule, prints = job.stages[stage], job.parallel.remat, job.prints
    layers = [name for name in names if name.startswith(("enc", "dec"))]
    again = set(layers[:: rule.every]) if isinstance(rule, Recompute) else set()
    again |= set(layers) if isinstance(rule, Selective) else set()
    sizes: list[float] = [0.0] * len(prints[names[0]].entering)
    slots, held = list(range(len(sizes))), set[int]()
    total = most = 0.0
    for name in names:
        found = prints[name]
        own = found.own + _expert_copies(job, name)
        more = 2 * found.largest  # gradients of activations
        if name in again:
            held |= set(slots)
            stored = found.products if isinstance(rule, Selective) else 0.0
            total += stored
            more += own - stored
        else:
            total += own
            held |= {slot for slot, read in zip(slots, found.reads, strict=False) if read}
        leaving = []
        for given, saved, size in zip(found.gives, found.saved, found.sizes, strict=True):
            if 0 <= given < len(slots):
                leaving.append(slots[given])
                continue
            leaving.append(len(sizes))
            sizes.append(size)
            if saved and name not in again:
                held.add(leaving[-1])
        slots = leaving
        # in the backward pass what later segments keep is gone when this one's turn comes
        most = max(most, total + sum(sizes[slot] for slot in held) + more)
    if job.pipelined and stage + 1 < len(job.stages):
        held |= set(slots[job.stages[stage + 1][0] == "target" :])  # the encoder's stream ends here
    kept = total + sum(sizes[slot] for slot in held)
    return Kept(kept, max(0.0, most - kept))


def _device(job: Job, device: int, order: Order) -> DeviceBytes:
    stages = tuple(range(device, len(job.stages), job.parallel.pipeline))
    kept = {stage: stage_kept(job, stage) for stage in stages}
    most = alive(order)
    last = len(job.stages) - 1
    loss, chunk = _loss(job) if last in stages else (0.0, 0.0)
    load = [0.0] * len(job.stages)
    for stage in stages:
        load[stage] = kept[stage].alive
    activations = peak(order, load)
    if last in stages:
        load[last] += loss
    parts = [once(job.held, job.stages[stage]) for stage in stages]
    bytes_ = dict.fromkeys(KINDS, 0.0)
    for part in parts:
        for kind, number in _weights(job, part).items():
            bytes_[kind] += number
    bytes_["activations"] = activations
    bytes_["logits"] = peak(order, load) - activations + chunk
    # while the loss runs no activation has a gradient yet
    bytes_["working"] = max(0.0, max(kept[stage].working for stage in stages) - chunk)
    bytes_["buffers"] = sum(_buffers(job, stage) for stage in stages)
    return DeviceBytes(
        device=device,
        stages=stages,
        segments=tuple(job.stages[stage] for stage in stages),
        parameters=sum(_here(job, w) for part in parts for w in part),
        alive=tuple(most[stage] for stage in stages),
        bytes=bytes_,
    )


def _here(job: Job, weight: Weight) -> int:
    """Numbers of a weight on the ranks that hold it together: its share of the experts."""
    return weight.numel // (job.layout.expert if weight.copies > 1 else 1)


def _is_matrix(weight: Weight) -> bool:
    """Whether products read it."""
    return len(weight.shape) >= 2 and not weight.name.endswith("table")


def _expert_copies(job: Job, segment: str) -> float:
    """bf16 copies of the experts of a layer, which every forward pass makes anew."""
    if job.parallel.precision != "bf16":
        return 0.0
    experts = (w for w in job.held[segment] if w.copies > 1 and _is_matrix(w))
    return float(sum(2 * _here(job, w) for w in experts))


def _weights(job: Job, part: Sequence[Weight]) -> dict[str, float]:
    """Bytes of the weights of one stage and of what follows them.

    FSDP2 gathers layer by layer, and the tables with the stage. Under a pipeline torch keeps what
    was gathered, and whole gradients, to the end of the step, whatever `zero` says.
    """
    layout, zero = job.layout, job.parallel.zero
    rows = layout.shard * layout.expert
    ranks = {w.name: layout.shard if w.copies > 1 else rows for w in part}
    numbers = {w.name: _here(job, w) for w in part}
    whole = FP32 * float(sum(numbers.values()))
    sharded = FP32 * sum(n / ranks[name] for name, n in numbers.items())
    found = {
        "weights": sharded,
        "gradients": sharded,
        "moments": sum(
            moments(w, job.optim) * numbers[w.name] / w.numel / ranks[w.name] for w in part
        ),
        "copies": 0.0,
        "gathered": 0.0,
    }
    if job.parallel.precision == "bf16":
        copied: dict[str, float] = {}
        for w in part:
            if _is_matrix(w) and w.copies == 1:
                segment = w.name.partition(".")[0]
                copied[segment] = copied.get(segment, 0.0) + 2 * numbers[w.name]
        passing = rows > 1 and zero == 3 and not job.pipelined  # then autocast keeps none
        found["copies"] = max([0.0, *copied.values()]) if passing else sum(copied.values())
    if rows == 1 and not job.parallel.offload:
        return found
    layers: dict[str, float] = {}
    for w in part:
        segment = w.name.partition(".")[0]
        layers[segment] = layers.get(segment, 0.0) + FP32 * numbers[w.name]
    root = sum(n for name, n in layers.items() if not name.startswith(("enc", "dec")))
    largest = max((n for name, n in layers.items() if name.startswith(("enc", "dec"))), default=0.0)
    brief = root + 2 * largest  # one in use, one on its way
    found["gathered"] = brief if zero == 3 and not job.pipelined else whole
    found["gradients"] += brief if zero > 1 and not job.pipelined else whole
    if job.parallel.offload:
        found |= {"weights": 0.0, "moments": 0.0, "gradients": found["gradients"] - sharded}
    return found


def _loss(job: Job) -> tuple[float, float]:
    """(bytes that the loss keeps for every micro-batch that is alive, bytes while it runs): see
    `train.loss`, which computes the gradients of states and table in the forward pass."""
    V, D = job.vocabulary, job.model.dim
    N = job.piece.rows * job.piece.tgt
    rows = min(N, chunk_rows(V, torch.device(job.device)))
    half = job.number == 2
    chunk = float(rows * V * (6 if half else 4))
    if job.model.soft_cap:
        return float(N * D * job.number), 3 * chunk
    kept = float(N * D * job.number + V * D * FP32)
    return kept, chunk + N * D * (FP32 + job.number) + (4 * V * D if half else 0)


def _buffers(job: Job, stage: int) -> float:
    """What a stage receives from both sides; torch makes a buffer for every micro-batch."""
    if not job.pipelined:
        return 0.0
    into = crossed(job, stage)
    back = crossed(job, stage + 1) if stage + 1 < len(job.stages) else 0.0
    return job.parallel.microbatches * (into + back)


def crossed(job: Job, stage: int) -> float:
    """Bytes of one micro-batch that cross the cut before a stage, one way."""
    dtype = torch.bfloat16 if job.number == 2 else torch.float32
    made = crossing(job.model, job.stages[stage][0], Piece(*job.piece), dtype)
    return float(sum(t.numel() * t.element_size() for t in made))
