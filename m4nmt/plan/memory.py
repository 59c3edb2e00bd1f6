"""Bytes of every device, by kind, at the moment of a step when they are most.

Counted is what our engine and torch really hold: receive buffers for every micro-batch, gathered
weights as long as FSDP2 keeps them under each `zero`, autocast's copies. Not counted: the driver's
own memory and what an allocator loses to fragments. Not its job: when things happen (simulate).

Shape letters: N target tokens, D width, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from m4nmt.data.types import Shape as Piece
from m4nmt.parallel.settings import Recompute, Selective
from m4nmt.parallel.shard import keeps_copies
from m4nmt.parallel.stage import crossing
from m4nmt.plan.gathering import Beside, Weights, here, ranks
from m4nmt.plan.job import Job
from m4nmt.plan.orders import Order, alive, orders
from m4nmt.plan.weights import FP32, Weight, moments, once
from m4nmt.train.loss import chunk_rows

KINDS = {
    "weights": "fp32 weights between uses",
    "gathered": "whole weights while they are used, where they are sharded",
    "copies": "bf16 copies of weights that autocast makes",
    "gradients": "fp32 gradients",
    "moments": "what the optimiser keeps",
    "activations": "tensors kept for the backward pass",
    "buffers": "tensors that the pipeline receives, for every micro-batch",
    "logits": "a chunk of logits, and what the loss keeps",
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
        back: when the backward pass is at each segment: what is still kept, and beside it gradients
            of activations and what is computed again.
    """

    alive: float
    back: tuple[tuple[float, float], ...]

    @property
    def hardest(self) -> int:
        """The segment that needs most."""
        return max(range(len(self.back)), key=lambda i: sum(self.back[i]))


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
    again = _again(job, stage)
    sizes: list[float] = [0.0] * len(prints[names[0]].entering)
    slots, held = list(range(len(sizes))), set[int]()
    total = 0.0
    back = []
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
        back.append((total + sum(sizes[slot] for slot in held), more))
    if job.pipelined and stage + 1 < len(job.stages):
        held |= set(slots[job.stages[stage + 1][0] == "target" :])  # the encoder's stream ends here
    return Kept(total + sum(sizes[slot] for slot in held), tuple(back))


def _again(job: Job, stage: int) -> set[str]:
    """Layers that are computed again in the backward pass."""
    rule = job.parallel.remat
    layers = [name for name in job.stages[stage] if name.startswith(("enc", "dec"))]
    again = set(layers[:: rule.every]) if isinstance(rule, Recompute) else set()
    return again | (set(layers) if isinstance(rule, Selective) else set())


def _device(job: Job, device: int, order: Order) -> DeviceBytes:
    stages = tuple(range(device, len(job.stages), job.parallel.pipeline))
    most = alive(order)
    parts = [once(job.held, job.stages[stage]) for stage in stages]
    bytes_ = dict.fromkeys(KINDS, 0.0) | _weights(job, [w for part in parts for w in part])
    bytes_["copies"] = sum(_copies(job, stage, most[stage]) for stage in stages)
    bytes_["buffers"] = sum(_buffers(job, stage) for stage in stages)
    fullest = max(_Moments(job, stages, order), key=lambda found: sum(found.values()))
    return DeviceBytes(
        device=device,
        stages=stages,
        segments=tuple(job.stages[stage] for stage in stages),
        parameters=sum(here(job, w) for part in parts for w in part),
        alive=tuple(most[stage] for stage in stages),
        bytes=bytes_ | fullest,
    )


class _Moments:
    """What differs from moment to moment of a step, by kind: iterate over those that can be the
    fullest. A gradient of a weight and the activations it came from are not there at one time."""

    def __init__(self, job: Job, stages: Sequence[int], order: Order) -> None:
        self.job, self.order = job, order
        self.last = len(job.stages) - 1
        self.kept = {stage: stage_kept(job, stage) for stage in stages}
        self.weights = {stage: Weights(job, stage) for stage in stages}
        self.alive, self.gone = dict.fromkeys(stages, 0), dict.fromkeys(stages, 0)
        self.tables = _tables(order, self.last)
        has_loss = self.last in self.kept
        self.loss, self.table, self.chunk = _loss(job) if has_loss else (0.0, 0.0, 0.0)

    def __iter__(self) -> Iterator[dict[str, float]]:
        seen = set()
        for stage, forward, _ in self.order:
            self.alive[stage] += forward
            beginning = tuple(min(n, 1) for n in self.gone.values())
            ending = self.gone[stage] + 1 == self.job.parallel.microbatches
            state = (stage, forward, ending, beginning, tuple(self.alive.values()))
            if state not in seen:
                seen.add(state)
                yield from self._forward(stage) if forward else self._back(stage)
            if not forward:
                self.alive[stage] -= 1
                self.gone[stage] += 1

    def _forward(self, stage: int) -> Iterator[dict[str, float]]:
        """The end of a forward pass; on the last stage, while the loss runs: no activation has a
        gradient yet."""
        held = sum(n * self.kept[s].alive for s, n in self.alive.items())
        first = self.alive[stage] + self.gone[stage] == 1
        beside = self.weights[stage].forward(self.gone[stage], first)
        waiting = self.alive.get(self.last, 0)
        logits = waiting * self.loss + min(waiting, self.tables) * self.table
        yield self._moment(stage, beside, held, logits + (stage == self.last) * self.chunk)

    def _back(self, stage: int) -> Iterator[dict[str, float]]:
        """At each segment of a backward pass; where gradients neither begin nor end, at the hardest
        one and where tables get theirs."""
        kept, weights, gone = self.kept[stage], self.weights[stage], self.gone[stage]
        between = 0 < gone < self.job.parallel.microbatches - 1
        others = sum(n * self.kept[s].alive for s, n in self.alive.items()) - kept.alive
        waiting = self.alive.get(self.last, 0)
        some = {kept.hardest, *(i for i, part in enumerate(weights.parts) if part.fresh)}
        for index in some if between else range(len(kept.back)):
            at_loss = stage == self.last and index + 1 == len(kept.back)
            used = stage == self.last and not gone  # its gradient counts as the weight's
            tables = max(0, min(waiting, self.tables) - used) * self.table
            logits = (waiting - (stage == self.last and not at_loss)) * self.loss + tables
            late = self.job.model.soft_cap or self.alive[stage] > 1  # the loss computes again
            logits += at_loss * bool(late) * self.chunk
            still, working = kept.back[index]
            beside = weights.backward(gone, index)
            yield self._moment(stage, beside, others + still, logits, working)
        if keeps_copies(self.job.parallel, self.job.layout) and not gone:
            # gradients of copies made for an earlier micro-batch wait to the end
            late_copies = (self.job.parallel.microbatches > 1) * _copies(self.job, stage, 1)
            yield self._moment(stage, weights.backward(gone, 0), others, 0.0, late_copies)

    def _moment(
        self, stage: int, beside: Beside, activations: float, logits: float, working: float = 0.0
    ) -> dict[str, float]:
        rest = [self.weights[s].waiting(n) for s, n in self.gone.items() if s != stage]
        return {
            "gathered": beside.gathered + sum(b.gathered for b in rest),
            "gradients": beside.gradients + sum(b.gradients for b in rest),
            "activations": activations,
            "logits": logits,
            "working": working,
        }


def _is_matrix(weight: Weight) -> bool:
    """Whether products read it."""
    return len(weight.shape) >= 2 and not weight.name.endswith("table")


def _expert_copies(job: Job, segment: str) -> float:
    """bf16 copies of the experts of a layer, which every forward pass makes anew."""
    if job.parallel.precision != "bf16":
        return 0.0
    experts = (w for w in job.held[segment] if w.copies > 1 and _is_matrix(w))
    return float(sum(2 * here(job, w) for w in experts))


def _copies(job: Job, stage: int, alive: int) -> float:
    """bf16 copies of the matrices of a stage: one of each to the end of the step, or, where
    autocast must not use them again, one for every micro-batch that is alive."""
    if job.parallel.precision != "bf16":
        return 0.0
    copied: dict[str, float] = {}
    for w in once(job.held, job.stages[stage]):
        if _is_matrix(w) and w.copies == 1:
            segment = w.name.partition(".")[0]
            copied[segment] = copied.get(segment, 0.0) + 2 * here(job, w)
    if keeps_copies(job.parallel, job.layout):
        return sum(copied.values())
    again = _again(job, stage)
    kept = sum(n for segment, n in copied.items() if segment not in again)
    return alive * kept + max((n for s, n in copied.items() if s in again), default=0.0)


def _weights(job: Job, part: Sequence[Weight]) -> dict[str, float]:
    """Bytes of the weights of a device, and of what the optimiser keeps for them."""
    if job.parallel.offload:
        return {"weights": 0.0, "moments": 0.0}
    mine = [(w, here(job, w) / ranks(job, w)) for w in part]
    return {
        "weights": FP32 * sum(number for _, number in mine),
        "moments": sum(moments(w, job.optim) * number / w.numel for w, number in mine),
    }


def _loss(job: Job) -> tuple[float, float, float]:
    """(bytes that the loss keeps for every micro-batch that is alive, bytes of a gradient of the
    table, bytes while it runs): see `train.loss`."""
    V, D = job.vocabulary, job.model.dim
    N = job.piece.rows * job.piece.tgt
    rows = min(N, chunk_rows(V, torch.device(job.device)))
    half = job.number == 2
    chunk = float(rows * V * (6 if half else 4))
    states = float(N * D * job.number)  # or their gradient
    if job.model.soft_cap:
        return states, 0.0, 3 * chunk
    running = chunk + N * D * (FP32 + job.number) + (4 * V * D if half else 0)
    return states, float(V * D * FP32), running


def _tables(order: Order, last: int) -> int:
    """Most gradients of the table at once: one waits for its backward pass, another may be computed
    for a micro-batch that goes back before."""
    waiting, most = -1, 1
    for stage, forward, microbatch in order:
        if stage != last:
            continue
        if forward:
            waiting = microbatch if waiting < 0 else waiting
        elif microbatch == waiting:
            waiting = -1
        elif waiting >= 0:
            most = 2
    return most


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
