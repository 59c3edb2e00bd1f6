"""What the weights of a stage take beside themselves, moment by moment of a step: whole copies that
FSDP2 gathers, and gradients.

As torch does it: a layer is gathered into a flat buffer, copied out of it, and the buffer stays to
the next layer's turn or the end of the forward pass. In the backward pass the next layer comes
while one is used. In the last backward pass, and in every one from zero=2 on, whole gradients are
copied into a flat buffer, summed, and become sharded as they go; that buffer stays to the next
layer's turn. Experts that are spread are gathered apart from the rest of their layer. `replicate`
is FSDP over one rank: it copies all weights, too. Not its job: activations and what the loss keeps
(memory).
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from operator import mul
from typing import NamedTuple

from m4nmt.parallel.shard import zero
from m4nmt.plan.job import Job
from m4nmt.plan.weights import FP32, Weight


class Beside(NamedTuple):
    """Bytes: of whole weights, and of gradients."""

    gathered: float = 0.0
    gradients: float = 0.0


class Part(NamedTuple):
    """Of a segment of a stage, in bytes. A table counts where its gradient comes first, in the last
    segment that reads it.

    Attributes:
        whole: of all its weights. `share`: of what of them lies here.
        apart: of experts that are gathered by themselves, in `whole`.
        again: of tables that later segments read, too: their gradients are made apart and added.
        fresh: of all tables that it looks up, and once more those whose gradient from a later
            segment waits for this one: what stands beside the gradients of micro-batches before.
    """

    whole: float
    share: float
    apart: float
    again: float
    fresh: float


def here(job: Job, weight: Weight) -> int:
    """Numbers of a weight on the ranks that hold it together: its share of the experts."""
    return weight.numel // (job.layout.expert if weight.copies > 1 else 1)


def ranks(job: Job, weight: Weight) -> int:
    """Over how many ranks the rows of a weight are spread."""
    layout = job.layout
    return layout.shard if weight.copies > 1 else layout.shard * layout.expert


class Weights:
    """Of one stage."""

    def __init__(self, job: Job, stage: int) -> None:
        self.names: Sequence[str] = job.stages[stage]
        self.pieces = job.parallel.microbatches
        self.zero = zero(job.parallel, job.layout)
        self.gathers = job.layout.data > 1 or bool(job.parallel.offload)
        self.parts = _parts(job, self.names)
        self.whole = sum(part.whole for part in self.parts)
        self.share = sum(part.share for part in self.parts)
        layers = [self.parts[i] for i in self._layers]
        self.tables = self.whole - sum(layer.whole for layer in layers)
        self.rest = max((layer.whole - layer.apart for layer in layers), default=0.0)
        self.flat = self.rest * (job.layout.shard * job.layout.expert > 1)
        self.used = self.rest + max((layer.whole for layer in layers), default=0.0)
        self.unit = max([self.rest, *(layer.apart for layer in layers)])
        chosen = [i in self._layers for i in range(len(self.parts))]
        wholes, shares = ([part[k] for part in self.parts] for k in (0, 1))
        # sums over all segments from each one on; over layers up to each one, and after each one
        self.whole_from = list(accumulate(wholes[::-1]))[::-1]
        self.layers_to = list(accumulate(map(mul, wholes, chosen)))
        self.share_after = list(accumulate(map(mul, shares[::-1], chosen[::-1]), initial=0.0))[
            -2::-1
        ]

    @cached_property
    def _layers(self) -> list[int]:
        return [i for i, name in enumerate(self.names) if name.startswith(("enc", "dec"))]

    def waiting(self, gone: int) -> Beside:
        """Between the passes, when `gone` micro-batches have gone back."""
        if gone == self.pieces:
            return Beside(0.0, self.share)
        gathered = self.tables if self.zero == 3 else self.whole
        gradients = self.share if self.gathers and self.zero > 1 else self.whole
        return Beside(self.gathers * gathered, min(gone, 1) * gradients)

    def forward(self, gone: int, first: bool) -> Beside:
        """While a micro-batch goes forward; only the first one finds weights that must be gathered,
        unless they are released after every use."""
        beside = self.waiting(gone)
        flat = self.flat * (first or self.zero == 3)
        return beside._replace(gathered=beside.gathered + flat)

    def backward(self, gone: int, index: int) -> Beside:
        """While a micro-batch goes back through a segment."""
        part, last = self.parts[index], gone + 1 == self.pieces
        own = self.whole + part.fresh if gone else self.whole_from[index] + part.again
        if not self.gathers:
            return Beside(0.0, own)
        gathered = self.whole
        if self.zero == 3:
            gathered = self.tables + self._in_use(index)
        elif last:
            gathered = self.tables + self.layers_to[index]
        if not (last or self.zero > 1):
            return Beside(gathered, own)
        summed = self.share_after[index]
        if gone and self.zero == 1:  # whole sums of micro-batches before, each copied in its turn
            flat = max(part.fresh + self.unit, self.tables * (not index))
            return Beside(gathered, summed + self.layers_to[index] + self.tables + flat)
        return Beside(gathered, (self.share if gone else summed) + self._passing(index))

    def _in_use(self, index: int) -> float:
        """Layers that are gathered: one at work and the next one, beside the tables."""
        layer = index in self._layers
        return self.used if layer else self.rest * any(i < index for i in self._layers)

    def _passing(self, index: int) -> float:
        """Whole gradients and flat buffers of them: of the layer at work and the one before it, and
        of tables, which are summed at the end."""
        again, layers = self.parts[index].again, self._layers
        tables = self.whole_from[index] - sum(self.parts[i].whole for i in layers if i >= index)
        if not index:
            return max(2 * tables, tables + again + self.unit)
        return tables + again + (2 if index in layers else 1) * self.unit


def _parts(job: Job, names: Sequence[str]) -> list[Part]:
    first: dict[str, str] = {}  # reader, from the end
    found = []
    for name in reversed(names):
        whole = share = apart = again = fresh = 0.0
        for weight in job.held[name]:
            size = FP32 * float(here(job, weight))
            kept = 0.0 if job.parallel.offload else size / ranks(job, weight)
            apart += size * (weight.copies > 1 and job.layout.expert > 1)
            fresh += size * (name in ("source", "target"))
            reader = first.setdefault(weight.name, name)
            if reader == name:
                whole, share = whole + size, share + kept
            else:
                again += size
                fresh += size * (reader != "head")  # the head's is counted with the loss
        found.append(Part(whole, share, apart, again, fresh))
    return found[::-1]
