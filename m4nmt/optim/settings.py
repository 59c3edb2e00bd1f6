"""The optim and schedule sections of a recipe."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay, fused."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-9
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.eps <= 0 or self.weight_decay < 0:
            raise ValueError("need lr > 0, eps > 0 and weight_decay >= 0")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"need 0 <= beta < 1, got betas={self.betas}")


@dataclass(frozen=True, kw_only=True)
class Adafactor:
    """Factored second moments (Shazeer and Stern 2018, arXiv:1804.04235).

    Attributes:
        lr: relative step when `scale_by_parameter`, absolute otherwise.
        beta1: 0 keeps no momentum.
        decay: "pow": b_t = 1 - t^-0.8; "adam": Adam-like with `beta2`.
        clip_threshold: update clipping d (RMS per tensor).
    """

    lr: float = 1e-2
    beta1: float = 0.0
    decay: Literal["pow", "adam"] = "pow"
    decay_exponent: float = 0.8
    beta2: float = 0.99
    clip_threshold: float = 1.0
    scale_by_parameter: bool = True
    weight_decay: float = 0.0
    min_dim_factored: int = 2

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.clip_threshold <= 0 or self.weight_decay < 0:
            raise ValueError("need lr > 0, clip_threshold > 0 and weight_decay >= 0")
        if not 0 <= self.beta1 < 1 or not 0 < self.beta2 < 1 or self.decay_exponent <= 0:
            raise ValueError("need 0 <= beta1 < 1, 0 < beta2 < 1 and decay_exponent > 0")


Optim = AdamW | Adafactor


def _warmed_and_floored(warmup: int, floor: float = 0.0) -> None:
    if warmup < 0 or not 0 <= floor <= 1:
        raise ValueError("need warmup >= 0 and 0 <= floor <= 1")


@dataclass(frozen=True, kw_only=True)
class Constant:
    """lr after a linear warm-up of `warmup` steps (0: none)."""

    warmup: int = 0

    def __post_init__(self) -> None:
        _warmed_and_floored(self.warmup)


@dataclass(frozen=True, kw_only=True)
class InverseSqrt:
    """The papers' (scale, warmup) pair: scale * dim^-0.5 * min((t+1) w^-1.5, (t+1)^-0.5).

    With scale 0 the peak is the optimiser's `lr`. `dim_factor` False leaves dim^-0.5 out, as a
    relative step for Adafactor.
    """

    scale: float = 0.0
    warmup: int = 4000
    dim_factor: bool = True

    def __post_init__(self) -> None:
        if self.warmup < 1 or self.scale < 0:
            raise ValueError("need warmup >= 1 and scale >= 0")


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Warm-up, then straight down to `floor` * lr at the last step."""

    warmup: int = 0
    floor: float = 0.0

    def __post_init__(self) -> None:
        _warmed_and_floored(self.warmup, self.floor)


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Warm-up, then half a cosine down to `floor` * lr at the last step."""

    warmup: int = 0
    floor: float = 0.0

    def __post_init__(self) -> None:
        _warmed_and_floored(self.warmup, self.floor)


@dataclass(frozen=True, kw_only=True)
class WarmupStableDecay:
    """Warm-up, constant, then down to `floor` * lr over the last `decay` share of the steps."""

    warmup: int = 0
    decay: float = 0.2
    floor: float = 0.0
    shape: Literal["linear", "sqrt"] = "sqrt"

    def __post_init__(self) -> None:
        _warmed_and_floored(self.warmup, self.floor)
        if not 0 < self.decay <= 1:
            raise ValueError("need 0 < decay <= 1")


Schedule = Constant | InverseSqrt | Linear | Cosine | WarmupStableDecay
