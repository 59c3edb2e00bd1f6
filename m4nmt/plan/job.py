"""What is planned: a recipe on so many devices, taken apart as far as the counting needs it.

Not its job: counting bytes and seconds (memory, cost).
"""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from m4nmt.data.stream.packing import length_grid
from m4nmt.model.settings import ModelConfig
from m4nmt.optim.settings import Optim
from m4nmt.parallel.check import check
from m4nmt.parallel.cut import TYPICAL, Shape, Work, segment_work, stage_names
from m4nmt.parallel.settings import Layout, ParallelConfig
from m4nmt.plan.trace import Device, Footprint, Precision, footprint
from m4nmt.plan.weights import Held, alone, local, weights
from m4nmt.train.settings import RunConfig

GIB = float(1 << 30)


class Machine(NamedTuple):
    """The devices. The defaults are like those of NVIDIA's H100 SXM (data sheet: 80 GB, 989 TFLOP/s
    of dense bf16) less what the driver takes, with one 400 Gbit/s network card each.

    Attributes:
        devices: how many.
        memory: bytes of each.
        flops: operations a second of each in the recipe's precision, as in the data sheet.
        bandwidth: bytes a second that each sends to others while it receives as many.
        efficiency: share of `flops` that the products of a real step reach, the time of all that
            is no product included.
        launch: seconds that the forward pass of a layer takes at least, however small it is: its
            kernels are started one by one. Its backward pass takes twice that.
    """

    devices: int = 1
    memory: float = 76 * GIB
    flops: float = 989e12
    bandwidth: float = 50e9
    efficiency: float = 0.5
    launch: float = 1e-4


@dataclass(frozen=True)
class Job:
    """A recipe laid over devices.

    Attributes:
        model: of the recipe, with its vocabulary.
        batch: global batch of the longest sentences. `multiple`: its rows are one of this.
        piece: micro-batch of one rank.
        stages: segments of each.
        whole: weights of the model. `held`, `prints`: weights and footprints of what one of the
            tensor-parallel devices holds.
        works: of the whole segments. `parts`: of what one of the tensor-parallel devices computes.
        device: whose kernels run.
    """

    name: str
    model: ModelConfig
    optim: Optim
    parallel: ParallelConfig
    layout: Layout
    batch: Shape
    multiple: int
    piece: Shape
    stages: tuple[tuple[str, ...], ...]
    whole: dict[str, Held]
    held: dict[str, Held]
    prints: dict[str, Footprint]
    works: dict[str, Work]
    parts: dict[str, Work]
    device: Device

    @property
    def pipelined(self) -> bool:
        """Whether torch.distributed.pipelining runs it."""
        return len(self.stages) > 1

    @property
    def number(self) -> int:
        """Bytes of a number of the stream."""
        return 2 if self.parallel.precision == "bf16" else 4

    @property
    def vocabulary(self) -> int:
        """Words of a table that lie on one device."""
        return -(-self.model.vocab // self.layout.tensor)


@dataclass
class Known:
    """What was counted before for other layouts of the same recipe."""

    shares: dict[int, ModelConfig] = field(default_factory=dict)
    held: dict[int, dict[str, Held]] = field(default_factory=dict)
    prints: dict[Any, dict[str, Footprint]] = field(default_factory=dict)
    works: dict[tuple[int, Shape], dict[str, Work]] = field(default_factory=dict)
    stages: dict[Any, tuple[tuple[str, ...], ...]] = field(default_factory=dict)


def longest(config: RunConfig) -> Shape:
    """The global batch of the longest sentences: any other has about as many tokens, and fewer
    products of attention."""
    blocks = config.data.blocks
    length = int(length_grid(blocks)[-1])
    rows = blocks.tokens // length // blocks.rows_multiple * blocks.rows_multiple
    return Shape(rows, length, length)


def with_vocabulary(config: RunConfig) -> ModelConfig:
    """The model, its vocabulary filled in with the tokenizer's."""
    return replace(config.model, vocab=config.model.vocab or config.data.tokenizer.vocab)


def job(
    config: RunConfig, devices: int, device: Device = "cuda", known: Known | None = None
) -> Job:
    """Lay a recipe over devices.

    Args:
        known: of the same recipe.

    Raises:
        ValueError: a layout that the model, the batch or the number of devices does not allow.
    """
    known = known or Known()
    parallel, model = config.parallel, with_vocabulary(config)
    layout = parallel.layout(devices)
    _refuse(model, parallel, layout)
    batch = longest(config)
    piece = _piece(config, layout, batch)
    tensor = layout.tensor
    share = known.shares.setdefault(tensor, model) if tensor == 1 else known.shares.get(tensor)
    if share is None:
        share = known.shares[tensor] = local(model, tensor)
    for size, part in ((1, model), (tensor, share)):
        if size not in known.held:
            known.held[size] = weights(part)
    for size, part in ((1, model), (tensor, share)):
        if (size, piece) not in known.works:
            found = segment_work(part, piece)
            known.works[size, piece] = dict(zip(known.held[1], found, strict=True))
    traced = tensor, piece, parallel.precision, device
    if traced not in known.prints:
        known.prints[traced] = footprints(share, piece, parallel.precision, device)
    cut = parallel.stages, parallel.cut
    if cut not in known.stages:
        known.stages[cut] = tuple(stage_names(model, parallel, TYPICAL))
    return Job(
        name=config.name,
        model=model,
        optim=config.optim,
        parallel=parallel,
        layout=layout,
        batch=batch,
        multiple=config.data.blocks.rows_multiple,
        piece=piece,
        stages=known.stages[cut],
        whole=known.held[1],
        held=known.held[tensor],
        prints=known.prints[traced],
        works=known.works[1, piece],
        parts=known.works[tensor, piece],
        device=device,
    )


def footprints(
    model: ModelConfig, piece: Shape, precision: Precision, device: Device
) -> dict[str, Footprint]:
    """Of every segment; layers that are alike are run once."""
    made = {}
    stacks = {"enc": model.encoder, "dec": model.decoder}
    small = alone(model, "enc", 0)
    for name in ("source", "bridge", "target", "head"):
        made[name] = footprint(small, name, piece, precision, device)
    for stack, layers in stacks.items():
        kinds: dict[Any, Footprint] = {}
        for index, layer in enumerate(layers):
            if layer not in kinds:
                one = alone(model, stack, index)
                kinds[layer] = footprint(one, f"{stack}000", piece, precision, device)
            made[f"{stack}{index:03d}"] = kinds[layer]
    return made


def _piece(config: RunConfig, layout: Layout, batch: Shape) -> Shape:
    """The micro-batch of one rank."""
    pieces = layout.data * config.parallel.microbatches
    multiple = config.data.blocks.rows_multiple
    if multiple % pieces:
        raise ValueError(
            f"rows come in multiples of {multiple}, which do not divide over {layout.data} "
            f"data-parallel ranks x {config.parallel.microbatches} microbatches; set "
            f"data.blocks.rows_multiple to a multiple of {pieces}, or take fewer microbatches"
        )
    return batch._replace(rows=batch.rows // pieces)


def _refuse(model: ModelConfig, parallel: ParallelConfig, layout: Layout) -> None:
    """What the engine would refuse on a machine that has all these devices."""
    alone_ = replace(parallel, pipeline=1, virtual=1, cut=(), offload=None, schedule="1f1b")
    check(model, alone_, layout)
    if parallel.stages > 1 and parallel.offload:
        raise ValueError("parallel: offload with a pipeline is not supported; take one of them")
