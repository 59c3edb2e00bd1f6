"""What a segment keeps for its backward pass: its own code, run on tensors without memory.

Every tensor that autograd saves is seen by a hook and counted once by its storage. A CPU's code
runs on fake tensors, a GPU's on meta tensors with the GPU's kernels (gpu): it need not be there.
Not its job: how many micro-batches are alive (orders), which layers compute again (memory).

Shape letters: B rows, S source length, T target length, D width, M decoder layers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from m4nmt.model import attention, position
from m4nmt.model.flow import Flow, Projection, Tokens
from m4nmt.model.settings import LayerConfig, ModelConfig, MoEConfig, Transparent
from m4nmt.model.translation import build
from m4nmt.parallel.cut import Shape
from m4nmt.parallel.remat import KEPT
from m4nmt.plan.gpu import gpu
from m4nmt.plan.weights import dense_twin

Precision = Literal["fp32", "bf16"]
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Footprint:
    """Of one segment and one micro-batch, in bytes.

    The tensors of a flow are its slots: the stream first, then what the memory rule carries.

    Attributes:
        own: kept tensors that are made inside, less those that leave it.
        fixed: the part of `own` that does not depend on rows: bf16 copies of weights.
        products: results of matrix products and attention, which `Selective` keeps.
        largest: of the kept tensors.
        reads: which slots that come in are kept.
        gives: for each slot that goes out, the slot that came in with the same memory, or -1.
        saved: which new slots that go out are kept inside, too.
        sizes: of the slots that go out.
        entering: of the slots that come in.
    """

    own: float
    fixed: float
    products: float
    largest: float
    reads: tuple[bool, ...]
    gives: tuple[int, ...]
    saved: tuple[bool, ...]
    sizes: tuple[float, ...]
    entering: tuple[float, ...]


def footprint(
    model: ModelConfig, name: str, shape: Shape, precision: Precision, device: Device
) -> Footprint:
    """Of a segment; `model` may have other layers beside (only their number matters, and that only
    to transparent attention)."""
    stack = {"enc": model.encoder, "dec": model.decoder}.get(name[:3])
    if stack and isinstance((layer := stack[int(name[3:])]).ffn, MoEConfig):
        return _mixture(model, name, layer, shape, precision, device)
    one, two = (
        _run(model, name, shape._replace(rows=rows), precision, device)
        for rows in (shape.rows, 2 * shape.rows)
    )
    return replace(one, own=two.own - one.own, fixed=2 * one.own - two.own)


def _mixture(
    model: ModelConfig,
    name: str,
    layer: LayerConfig,
    shape: Shape,
    precision: Precision,
    device: Device,
) -> Footprint:
    """A layer whose feed-forward is a mixture, from its dense twin: what grows with the hidden
    units is kept once for every chosen expert; and rows given out and taken back, and scores."""
    assert isinstance(layer.ffn, MoEConfig)
    config = layer.ffn
    index, is_encoder = int(name[3:]), name.startswith("enc")

    def twin(hidden: int) -> Footprint:
        one = replace(config.expert, hidden=hidden)
        dense = replace(layer, ffn=one, ffn_dropout=config.dropout)
        layers = list(model.encoder if is_encoder else model.decoder)
        layers[index] = dense
        if is_encoder:
            changed = dense_twin(replace(model, encoder=tuple(layers)))
        else:
            changed = dense_twin(replace(model, decoder=tuple(layers)))
        return footprint(changed, name, shape, precision, device)

    one, two = twin(config.expert.hidden), twin(2 * config.expert.hidden)
    number = 2 if precision == "bf16" else 4
    tokens = shape.rows * (shape.src if is_encoder else shape.tgt)
    moved = 2.0 * config.choices * tokens * model.dim * number
    units = tokens if config.level == "token" else shape.rows
    scores = units * (16.0 * config.experts + 24.0 * config.choices)
    more = config.choices - 1
    return replace(
        one,
        own=one.own + more * (two.own - one.own) + moved + scores,
        products=one.products + more * (two.products - one.products) + moved / 2,
        largest=max(one.largest, config.choices * (two.largest - one.largest)),
    )


@lru_cache(maxsize=512)
def _run(
    model: ModelConfig, name: str, shape: Shape, precision: Precision, device: Device
) -> Footprint:
    with _CALLED[device](precision):
        part = build(model, [name], _LIES[device]).train()
        with torch.device(_LIES[device]):
            flow, tokens = _entering(model, name, shape, precision), _tokens(shape)
        outside = {_key(t) for t in (*part.parameters(), tokens.src_BS, tokens.tgt_BT)}
        with _Kept() as kept, _Products() as products:
            out = part(tokens, flow)
    entering, leaving = (flow.x, *flow.carry), (out.x, *out.carry)
    into, made = [_key(t) for t in entering], [_key(t) for t in leaving]
    own = {k: n for k, n in kept.bytes.items() if k not in {*outside, *into, *made}}
    return Footprint(
        own=sum(own.values()),
        fixed=0.0,
        products=products.bytes,
        largest=max(own.values(), default=0.0),
        reads=tuple(key in kept.bytes for key in into),
        gives=tuple(into.index(key) if key in into else -1 for key in made),
        saved=tuple(key in kept.bytes and key not in into for key in made),
        sizes=tuple(_bytes(t) for t in leaving),
        entering=tuple(_bytes(t) for t in entering),
    )


def _entering(model: ModelConfig, name: str, shape: Shape, precision: Precision) -> Flow:
    """What comes into a segment."""
    B, S, T = shape
    D, N, M = model.dim, len(model.encoder) + 1, len(model.decoder)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    mixes = isinstance(model.memory, Transparent)
    past = name in ("target", "head") or name.startswith("dec")

    def made(*size: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.empty(size, dtype=dtype, requires_grad=True)

    if name == "source":
        return Flow(torch.zeros(0), torch.zeros(1))
    x = made(B, T if past and name != "target" else S, D)
    carry: tuple[Tensor, ...] = ()
    if past and name != "head":
        carry = (made(B, M, S, D) if mixes else made(B, S, D),)
    elif mixes and not past:
        carry = (made(B, M, S, D),)
        carry += (made(B, M, N, dtype=torch.float32),) if name != "bridge" else ()
    return Flow(x, torch.zeros(1), carry)


def _tokens(shape: Shape) -> Tokens:
    B, S, T = shape

    def readout(x_BTD: Tensor, project: Projection) -> Tensor:
        return x_BTD.sum()  # what the loss keeps is counted apart: see memory

    return Tokens(
        torch.ones(B, S, dtype=torch.int64), torch.ones(B, T, dtype=torch.int64), readout=readout
    )


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _bytes(tensor: Tensor) -> float:
    return float(tensor.untyped_storage().nbytes())


class _Kept:
    """Bytes of what autograd saves, by storage."""

    def __init__(self) -> None:
        self.bytes: dict[int, float] = {}
        self._alive: list[Tensor] = []  # so that no storage's key is used twice
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Tensor:
        self._alive.append(tensor)
        self.bytes[_key(tensor)] = _bytes(tensor)
        return tensor

    def __enter__(self) -> "_Kept":
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)


class _Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the results that `Selective` keeps."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in KEPT:
            found = out if isinstance(out, tuple | list) else (out,)
            self.bytes += sum(_bytes(t) for t in found if isinstance(t, Tensor))
        return out


@contextmanager
def _own_tables() -> Iterator[None]:
    """Let no table without memory stay in the model's caches, nor one with memory come out."""
    tables = (attention._causal, position._angles, position._sinusoids, position._rotations)
    for table in tables:
        table.cache_clear()
    try:
        yield
    finally:
        for table in tables:
            table.cache_clear()


@contextmanager
def _cpu(precision: Precision) -> Iterator[None]:
    """Run code for a CPU on tensors that have no memory."""
    on = precision == "bf16"
    with FakeTensorMode(), _own_tables(), torch.autocast("cpu", torch.bfloat16, enabled=on):
        yield


_CALLED = {"cpu": _cpu, "cuda": gpu}
_LIES = {"cpu": "cpu", "cuda": "meta"}
