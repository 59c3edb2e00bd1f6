"""The best layout among those that fit: every sensible one is planned, the fastest are kept.

Not its job: planning one (estimate).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import lcm
from typing import Literal

from m4nmt.model.settings import MoEConfig
from m4nmt.parallel.settings import KeepAll, ParallelConfig, Recompute, Remat, Selective
from m4nmt.plan.estimate import Plan, plan_job
from m4nmt.plan.job import Known, Machine, job, longest
from m4nmt.plan.trace import Device
from m4nmt.train.settings import RunConfig

_MOST_TENSOR = 8  # devices of a machine: sums over more would cross a slow network
_REMATS: tuple[Remat, ...] = (KeepAll(), Selective(), Recompute())  # from fast to small


@dataclass
class Found:
    """What a search came upon.

    Attributes:
        best: plans that fit, the fastest first.
        tried: layouts planned.
        failed: why others are not among them -> how many.
        nearest: the plan that needs least memory, where none fits.
    """

    best: list[Plan] = field(default_factory=list)
    tried: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    nearest: Plan | None = None


def search(config: RunConfig, machine: Machine, keep: int = 5, device: Device = "cuda") -> Found:
    """Plan the layouts of all devices. The rows of a batch may be rounded to a coarser multiple
    than the recipe's, so that they divide; precision and compilation stay the recipe's."""
    found, known = Found(), Known()
    for candidate, remats in _candidates(config, machine.devices):
        _try(found, candidate, remats, machine, known, keep, device)
    return found


def _try(
    found: Found,
    config: RunConfig,
    remats: tuple[Remat, ...],
    machine: Machine,
    known: Known,
    keep: int,
    device: Device,
) -> None:
    """Plan one layout, recomputing no more than it takes to fit."""
    for remat in remats:
        tried = replace(config, parallel=replace(config.parallel, remat=remat))
        try:
            made = plan_job(job(tried, machine.devices, device, known), machine, config.train.steps)
        except ValueError as error:
            found.failed[str(error)] += 1
            return
        found.tried += 1
        if made.fits:
            _rank(found, made, keep)
            return
        if found.nearest is None or made.fullest.total < found.nearest.fullest.total:
            found.nearest = made
        static = sum(made.fullest.bytes[k] for k in ("weights", "gathered", "gradients", "moments"))
        if static > machine.memory:
            found.failed["weights, gradients and moments alone are larger than the memory"] += 1
            return
    found.failed["activations do not fit, even when every layer is computed again"] += 1


def _rank(found: Found, made: Plan, keep: int) -> None:
    """Put a plan among the best, where it belongs there."""
    if len(found.best) == keep and _cost(found.best[-1])[0] < made.least_seconds / made.tokens:
        return
    found.best = sorted([*found.best, made], key=_cost)[:keep]


def _cost(made: Plan) -> tuple[float, float]:
    return made.seconds / made.tokens, made.fullest.total


def _candidates(config: RunConfig, devices: int) -> Iterator[tuple[RunConfig, tuple[Remat, ...]]]:
    layers = {*config.model.encoder, *config.model.decoder}
    counts = {layer.ffn.experts for layer in layers if isinstance(layer.ffn, MoEConfig)}
    segments = len(config.model.encoder) + len(config.model.decoder) + 4
    plain = replace(
        config.parallel, cut=(), offload=None, virtual=1, schedule="gpipe", microbatches=1
    )
    for pipeline in _divisors(devices, segments):
        for tensor in _divisors(devices // pipeline, _MOST_TENSOR):
            rest = devices // pipeline // tensor
            experts = [1, *(e for e in _divisors(rest) if e > 1 and _divide(e, counts))]
            for expert in experts:
                for shard in _shards(rest // expert):
                    laid = replace(
                        plain,
                        pipeline=pipeline,
                        tensor=tensor,
                        expert=expert,
                        shard=shard,
                        replicate=rest // expert // shard,
                    )
                    yield from _scheduled(config, laid, rest, segments)


def _scheduled(
    config: RunConfig, laid: ParallelConfig, data: int, segments: int
) -> Iterator[tuple[RunConfig, tuple[Remat, ...]]]:
    """A layout with every number of micro-batches and every schedule."""
    blocks = config.data.blocks
    most = blocks.tokens // longest(config).src
    zeros: tuple[Literal[1, 2, 3], ...]
    zeros = (1, 3) if laid.shard * laid.expert > 1 else (laid.zero,)
    counts = {b << k for b in (1, laid.pipeline) for k in range(most.bit_length())}
    for pieces in sorted(n for n in counts if data * n <= most):
        multiple = lcm(blocks.rows_multiple, data * pieces)
        if multiple > most:
            multiple = data * pieces
        changed = replace(config.data, blocks=replace(blocks, rows_multiple=multiple))
        for zero in zeros:
            for virtual in (1, 2, 4) if laid.pipeline > 1 else (1,):
                if virtual > 1 and (pieces % laid.pipeline or laid.pipeline * virtual > segments):
                    continue
                if laid.pipeline > pieces:
                    continue
                parallel = replace(
                    laid,
                    zero=zero,
                    virtual=virtual,
                    schedule="interleaved" if virtual > 1 else "1f1b",
                    microbatches=pieces,
                )
                yield replace(config, data=changed, parallel=parallel), _REMATS


def _divisors(number: int, most: int = 0) -> list[int]:
    """Of a number, up to `most` (0: all), ascending."""
    return [n for n in range(1, min(number, most or number) + 1) if number % n == 0]


def _divide(size: int, counts: set[int]) -> bool:
    return bool(counts) and all(count % size == 0 for count in counts)


def _shards(data: int) -> list[int]:
    """Over how many of the data-parallel devices to shard: none, a machine, all."""
    return sorted({1, data} | ({8} if data % 8 == 0 else set()))
