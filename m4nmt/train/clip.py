"""How gradients are bounded before the update. Each class is built from the config of its name."""

from collections.abc import Callable

import torch
from torch import Tensor

from m4nmt.parallel.engine import Engine
from m4nmt.train import settings

# (engine with gradients, their global norm) -> gradients changed in place
Clip = Callable[[Engine, Tensor], None]
TINY = 1e-6


def build(config: settings.Clip) -> Clip:
    """The rule that `config` describes."""
    match config:
        case settings.GlobalClip():
            return Global(config.norm)
        case settings.ParameterClip():
            return PerParameter(config.norm)
        case settings.NoClip():
            return nothing


def nothing(engine: Engine, norm: Tensor) -> None:
    """Leave gradients as they come."""


class Global:
    """Scales all gradients alike when their global L2 norm is above `norm`."""

    def __init__(self, norm: float) -> None:
        self.norm = norm

    def __call__(self, engine: Engine, norm: Tensor) -> None:
        factor = self.norm / (float(norm) + TINY)
        if factor < 1:
            engine.scale_grads(factor)


class PerParameter:
    """Scales each parameter's gradient when its own L2 norm is above `norm`
    (lingvo, clip_gradient_single_norm_to_value)."""

    def __init__(self, norm: float) -> None:
        self.norm = norm

    def __call__(self, engine: Engine, norm: Tensor) -> None:
        grads = [p.grad for _, p in engine.named_parameters() if p.grad is not None]
        factors = [(self.norm / (n + TINY)).clamp(max=1.0) for n in torch._foreach_norm(grads)]
        torch._foreach_mul_(grads, factors)
