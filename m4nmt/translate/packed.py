"""Linear maps as a decoder wants them: weights laid out once for this CPU, or in eight bits.

`pack` swaps the linear maps of a model that will only be read. On a CPU torch's oneDNN products of
packed weights are up to five times faster for the few rows of a decoding step than those of plain
weights, and never slower; eight bits are two to four times faster again.

Not its job: which model, or what is computed with it. Experts of a mixture stay as they are.

Shape letters: N rows, I inputs, O outputs, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m4nmt.core.config import ConfigError
from m4nmt.model.embedding import Head, capped
from m4nmt.model.flow import Flow, Tokens
from m4nmt.model.linear import Linear
from m4nmt.model.translation import TranslationModel

_ROWS = 32  # a hint to oneDNN; measured: any will do for all
_LEVELS = 127  # of eight bits with a sign
_ZERO = 128  # where 0 lies in unsigned eight bits
_LEAST = 1e-30  # of a scale: a row of zeros stays one


class Packed(nn.Module):
    """x W^T + b, W [O,I] in oneDNN's layout."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return y


class Eight(nn.Module):
    """x W^T + b with both factors in eight bits, scaled by the largest of each row of x and of W.

    A row's scale is its own, so that its result does not depend on the rows beside it.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        # one bit less where sums of two products could overflow 16 bits
        self.levels = _LEVELS if torch.cpu._is_vnni_supported() else _LEVELS // 2
        self.scale_O = weight.float().abs().amax(1).clamp_min_(_LEAST) / _LEVELS
        eight_OI = (weight.float() / self.scale_O[:, None]).round_().to(torch.int8)
        self.packed = torch.ops.onednn.qlinear_prepack(eight_OI, None)
        self.zero_O = torch.zeros(len(weight), dtype=torch.int32)
        self.middle = torch.tensor(_ZERO + 0.5)  # so that cutting off rounds
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        largest = x.abs().amax(-1, keepdim=True).clamp_min_(_LEAST)
        eight = torch.addcmul(self.middle, x, self.levels / largest).to(torch.uint8)
        # fmt: off
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            eight, 1 / self.levels, _ZERO, self.packed, self.scale_O, self.zero_O, None,
            1.0, 0, torch.float32, "none", [], "",
        )
        # fmt: on
        return y.mul_(largest) if self.bias is None else torch.addcmul(self.bias, y, largest)


class PackedProjection:
    """A `model.flow.Projection` by a packed table."""

    def __init__(self, table_VD: Tensor, soft_cap: float, make: type[Packed] | type[Eight]) -> None:
        self.table, self.soft_cap = table_VD, soft_cap
        self._map = make(table_VD, None)

    def __call__(self, x: Tensor) -> Tensor:
        return capped(self._map(x), self.soft_cap)


class PackedHead(nn.Module):
    """The segment `head` with a packed table."""

    def __init__(self, head: Head, make: type[Packed] | type[Eight]) -> None:
        super().__init__()
        self.norm = head.norm
        self.project = PackedProjection(head.table, head.soft_cap, make)

    def forward(self, flow: Flow, tokens: Tokens) -> Flow:
        return Flow(tokens.readout(self.norm(flow.x), self.project), flow.aux)


def pack(model: TranslationModel, eight_bits: bool = False) -> TranslationModel:
    """Swap the linear maps of a model that will only be read, in place; elsewhere than on a CPU
    with oneDNN plain weights stay as they are.

    Raises:
        ConfigError: eight bits, where torch cannot multiply them.
    """
    kind = _kind(next(model.parameters()), eight_bits)
    if kind is None:
        return model
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Linear):
                bias = child.bias
                setattr(module, name, kind(child.weight.data, None if bias is None else bias.data))
    head = model.get_submodule("head")
    assert isinstance(head, Head)  # a whole model ends with it
    model.add_module("head", PackedHead(head, kind))
    return model


def _kind(sample: Tensor, eight_bits: bool) -> type[Packed] | type[Eight] | None:
    """What plain linear maps become here."""
    on_cpu = sample.device.type == "cpu"
    if eight_bits:
        if not on_cpu or not _works(Eight, torch.float32):
            raise ConfigError(
                f"precision 'int8' is for CPUs whose torch multiplies eight bits, not for "
                f"{sample.device.type} here; use bf16 or fp32"
            )
        return Eight
    return Packed if on_cpu and _works(Packed, sample.dtype) else None


def _works(kind: type[Packed] | type[Eight], dtype: torch.dtype) -> bool:
    """Whether this build of torch has the operators, for this dtype, and they say the truth."""
    weight, x = torch.eye(32, dtype=dtype), torch.linspace(-1, 1, 64, dtype=dtype).view(2, 32)
    try:
        return bool(torch.allclose(kind(weight, None)(x), F.linear(x, weight), atol=0.02))
    except (RuntimeError, AttributeError):
        return False
