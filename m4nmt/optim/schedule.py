"""Learning rate of a step as a pure function of the step: nothing to save, nothing to resume.

Steps count from 0. `warmup` steps rise linearly, and the first has lr / warmup, never 0.
"""

import math
from collections.abc import Callable

from m4nmt.optim.settings import (
    Constant,
    Cosine,
    InverseSqrt,
    Linear,
    Schedule,
    WarmupStableDecay,
)


def build(config: Schedule, lr: float, dim: int, steps: int) -> Callable[[int], float]:
    """The learning rate of each step.

    Args:
        config: the schedule section of a recipe.
        lr: the optimiser's learning rate, reached after the warm-up.
        dim: width D of the model, read by `InverseSqrt` alone.
        steps: of the whole run; beyond the last the rate stays where it ended.
    """
    match config:
        case InverseSqrt():
            return _inverse_sqrt(config, lr, dim)
        case Constant():
            return _warmed(config.warmup, lr, lambda step: 1.0)
        case Linear():
            return _warmed(config.warmup, lr, _line(config.warmup, config.floor, steps))
        case Cosine():
            return _warmed(config.warmup, lr, _half_cosine(config.warmup, config.floor, steps))
        case WarmupStableDecay():
            return _warmed(config.warmup, lr, _cooldown(config, steps))


def _warmed(warmup: int, lr: float, factor: Callable[[int], float]) -> Callable[[int], float]:
    return lambda step: lr * ((step + 1) / warmup if step < warmup else factor(step))


def _inverse_sqrt(config: InverseSqrt, lr: float, dim: int) -> Callable[[int], float]:
    """Vaswani et al. 2017, section 5.3, counted as in lingvo's TransformerSchedule."""
    warmup = config.warmup
    peak = config.scale * warmup**-0.5 if config.scale else lr
    if config.scale and config.dim_factor:
        peak *= dim**-0.5
    return lambda step: peak * min((step + 1) / warmup, math.sqrt(warmup / (step + 1)))


def _progress(step: int, warmup: int, steps: int) -> float:
    """0 at the first step after the warm-up, 1 at the last of the run."""
    return min(1.0, (step - warmup) / max(1, steps - 1 - warmup))


def _line(warmup: int, floor: float, steps: int) -> Callable[[int], float]:
    return lambda step: 1 - (1 - floor) * _progress(step, warmup, steps)


def _half_cosine(warmup: int, floor: float, steps: int) -> Callable[[int], float]:
    """Loshchilov and Hutter 2017 (arXiv:1608.03983), equation 5, one period."""
    return lambda step: (
        floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * _progress(step, warmup, steps)))
    )


def _cooldown(config: WarmupStableDecay, steps: int) -> Callable[[int], float]:
    """Hägele et al. 2024 (arXiv:2405.18392): the "1-sqrt" shape beats the line."""
    length = max(1, round(config.decay * steps))

    def factor(step: int) -> float:
        done = min(1.0, max(0.0, (step + 1 - (steps - length)) / length))
        fallen = math.sqrt(done) if config.shape == "sqrt" else done
        return config.floor + (1 - config.floor) * (1 - fallen)

    return factor
