"""How gradients are bounded before the update. Each class is built from the config of its name."""

import math
from collections.abc import Callable, Mapping

from m4nmt.parallel.engine import Engine
from m4nmt.train import settings

# (engine with gradients, norm of each parameter's) -> gradients changed in place
Clip = Callable[[Engine, Mapping[str, float]], None]
TINY = 1e-6


def total(norms: Mapping[str, float]) -> float:
    """L2 norm of all gradients together."""
    return math.sqrt(math.fsum(norm * norm for norm in norms.values()))


def build(config: settings.Clip) -> Clip:
    """The rule that `config` describes."""
    match config:
        case settings.GlobalClip():
            return Global(config.norm)
        case settings.ParameterClip():
            return PerParameter(config.norm)
        case settings.NoClip():
            return nothing


def nothing(engine: Engine, norms: Mapping[str, float]) -> None:
    """Leave gradients as they come."""


class Global:
    """Scales all gradients alike when their global L2 norm is above `norm`."""

    def __init__(self, norm: float) -> None:
        self.norm = norm

    def __call__(self, engine: Engine, norms: Mapping[str, float]) -> None:
        factor = self.norm / (total(norms) + TINY)
        if factor < 1:
            engine.scale_grads(factor)


class PerParameter:
    """Scales each parameter's gradient when its own L2 norm is above `norm`
    (lingvo, clip_gradient_single_norm_to_value)."""

    def __init__(self, norm: float) -> None:
        self.norm = norm

    def __call__(self, engine: Engine, norms: Mapping[str, float]) -> None:
        engine.scale_grads({n: min(1.0, self.norm / (found + TINY)) for n, found in norms.items()})
