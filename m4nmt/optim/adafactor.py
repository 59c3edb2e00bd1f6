"""Adafactor (Shazeer and Stern 2018, arXiv:1804.04235) with optional momentum.

A matrix [R,C] keeps R + C second-moment numbers, not R * C. Only elementwise operations, means
and norms are used, and reductions never in place (a sharded one is a partial sum that must not be
touched before it is reduced), so parameters may be DTensors. Statistics are fp32 whatever the
parameter is.
Not its job: the learning rate's schedule (the trainer writes `lr` into the groups).

Shape letters: R rows, C columns; more dimensions may stand before both.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from m4nmt.optim.settings import Adafactor
from m4nmt.optim.state import zeros_like

EPS_SQUARE = 1e-30  # added to squared gradients (the paper's epsilon 1)
EPS_SCALE = 1e-3  # smallest scale of a parameter (the paper's epsilon 2)


class AdafactorOptimizer(torch.optim.Optimizer):
    """Updates of RMS at most `clip_threshold` * lr (* the parameter's own RMS).

    At step t = 1, 2, ... with gradient g of a matrix w:
        r = b r + (1-b) mean over columns of (g^2 + 1e-30); c likewise over rows
        x = g / sqrt(r c / mean(r)); x /= max(1, RMS(x) / clip_threshold)
        m = beta1 m + (1-beta1) lr max(1e-3, RMS(w)) x; w -= m
    where b = 1 - t^-decay_exponent, or beta2 (1 - beta2^(t-1)) / (1 - beta2^t). Tensors with fewer
    than two dimensions, or with one of the last two under `min_dim_factored`, keep all of g^2.
    Weight decay is decoupled: w -= lr * weight_decay * w.

    Args:
        zeros: makes the moments that are as large as their parameter: fp32, laid like it.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        config: Adafactor,
        zeros: Callable[[Tensor], Tensor] = zeros_like,
    ) -> None:
        super().__init__(list(groups), {"lr": config.lr, "weight_decay": config.weight_decay})
        self.config = config
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = self._zero_state(parameter, zeros)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient, in place."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group["lr"], group["weight_decay"])
        return loss

    def _zero_state(self, w: Tensor, zeros: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        state = {"step": torch.zeros((), dtype=torch.float32)}
        if self._factored(w):
            whole = torch.zeros_like(w, dtype=torch.float32)
            state |= {"row": whole.mean(-1) + 0.0, "column": whole.mean(-2) + 0.0}
        else:
            state["square"] = zeros(w)
        if self.config.beta1:
            state["momentum"] = zeros(w)
        return state

    def _factored(self, w: Tensor) -> bool:
        return w.ndim >= 2 and min(w.shape[-2:]) >= self.config.min_dim_factored

    def _update(self, w: Tensor, lr: float, weight_decay: float) -> None:
        config, state = self.config, self.state[w]
        assert w.grad is not None
        g = w.grad.float()
        state["step"] += 1
        x = self._scaled(g, state, 1 - self._decay(state["step"].item()))
        x.div_((_rms(x) / config.clip_threshold).clamp(min=1.0))
        if config.scale_by_parameter:
            x.mul_(_rms(w.float()).clamp(min=EPS_SCALE))
        x.mul_(lr)
        if config.beta1:
            x = state["momentum"].lerp_(x, 1 - config.beta1)
        if weight_decay:
            w.mul_(1 - lr * weight_decay)
        w.sub_(x)

    def _decay(self, t: float) -> float:
        """How much of the second moment is kept at step t = 1, 2, ...; nothing at the first."""
        if self.config.decay == "pow":
            return float(1 - t**-self.config.decay_exponent)
        beta2 = self.config.beta2
        return float(beta2 * (1 - beta2 ** (t - 1)) / (1 - beta2**t))

    def _scaled(self, g: Tensor, state: dict[str, Tensor], new: float) -> Tensor:
        """g over the root of its second moment, a new tensor; `new` is the weight of g^2."""
        square = g.square()
        if not self._factored(g):
            state["square"].lerp_(square.add_(EPS_SQUARE), new)
            return torch.rsqrt(state["square"]).mul_(g)
        row_R = state["row"].lerp_(square.mean(-1) + EPS_SQUARE, new)
        column_C = state["column"].lerp_(square.mean(-2) + EPS_SQUARE, new)
        # Two broadcast products; the matrix r c / mean(r) is never formed.
        scale_R = (row_R / row_R.mean(-1, keepdim=True)).rsqrt()
        return torch.mul(g, scale_R.unsqueeze(-1), out=square).mul_(column_C.rsqrt().unsqueeze(-2))


def _rms(x: Tensor) -> Tensor:
    """Root mean square. Rows first: one long fp32 sum is off by 1e-4, and squaring is slower."""
    rows: Tensor = torch.linalg.vector_norm(x, dim=-1)
    return (rows.square().sum() / x.numel()).sqrt()
