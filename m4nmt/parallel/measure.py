"""What each segment of a model costs here: seconds of a forward and a backward pass, for a cut that
is balanced by measurement. Equal layers are measured once.

Not its job: where to cut (cut).
"""

import time
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from m4nmt.data.types import Shape
from m4nmt.model.settings import ModelConfig
from m4nmt.model.translation import build, segment_names
from m4nmt.parallel.engine import Loss
from m4nmt.parallel.stage import Stage, Step, crossing

REPEATS = 3


def measured(
    model: ModelConfig, shape: Shape, loss: Loss, device: torch.device, dtype: torch.dtype
) -> list[float]:
    """Seconds of every segment, in order, for a micro-batch of this shape without padding."""
    names = segment_names(model)
    known: dict[Hashable, float] = {}
    for number, name in enumerate(names):
        kind = _kind(model, name)
        if kind not in known:
            following = names[number + 1] if number + 1 < len(names) else ""
            known[kind] = _seconds(model, name, following, shape, loss, device, dtype)
    return [known[_kind(model, name)] for name in names]


def _kind(model: ModelConfig, name: str) -> Hashable:
    """Segments of one kind cost the same."""
    if name.startswith("enc"):
        return ("enc", model.encoder[int(name[3:])])
    if name.startswith("dec"):
        return ("dec", model.decoder[int(name[3:])])
    return name


def _seconds(
    model: ModelConfig,
    name: str,
    following: str,
    shape: Shape,
    loss: Loss,
    device: torch.device,
    dtype: torch.dtype,
) -> float:
    """The quickest of some passes through one segment."""
    stage = Stage(build(model, [name]), following, loss, Step(0), dtype).to_empty(device=device)
    with torch.no_grad():
        for parameter in stage.parameters():
            parameter.normal_(0.0, 0.02)
    received = [
        torch.randn(t.shape, device=device).to(dtype).requires_grad_()
        for t in crossing(model, name, shape, dtype)
    ]
    src, tgt, out = (
        torch.randint(1, model.vocab, (shape.rows, length), device=device)
        for length in (shape.src, shape.tgt, shape.tgt)
    )
    ids = {"src_BS": src, "tgt_BT": tgt, "out_BT": out, "piece": torch.tensor([0])}
    stage.step.begin(shape.rows * shape.tgt, 1, 0, device)
    half = dtype == torch.bfloat16

    def once() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            made = stage(*received, **ids)
        tensors = [made] if isinstance(made, Tensor) else list(made)
        with_graph = [t for t in tensors if t.requires_grad]
        if with_graph:
            torch.autograd.backward(with_graph, [torch.ones_like(t) for t in with_graph])

    once()
    return min(_timed(once, device) for _ in range(REPEATS))


def _timed(work: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
