"""Whether a step's gradient may be applied: refuses what is not finite or far above the usual.

Median and MAD of the accepted values decide, one-sided; refused values never enter, so neither a
NaN nor a plateau of bad batches becomes the new normal (measured against window rules that do).
Not its job: discarding the gradient (the trainer), stopping the run (the run).
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from m4nmt.train.settings import GuardConfig

MAD_TO_SIGMA = 1.4826  # of a normal distribution
# Added to the spread, so that a window of nearly equal values does not refuse what is harmless.
# Batches are of one length each, and short ones have twice the gradient of long ones: with 1e-3,
# training on Multi30k refused 17 steps in 10,000, all with norms below 2.2.
LOSS_SPREAD = 0.05  # nats per token
NORM_SPREAD = 0.1  # of log(1 + norm)


class Verdict(NamedTuple):
    """On one step.

    Attributes:
        accept: whether the update may be made.
        reason: for people; empty when accepted.
        loss_z, norm_z: robust deviations of loss and log(1 + gradient norm) above their medians;
            0 until the guard is armed, NaN where the value is not finite.
    """

    accept: bool
    reason: str
    loss_z: float
    norm_z: float


class Guard:
    """Judges one step after another. Its memory is part of the training state."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self._losses: deque[float] = deque(maxlen=config.window)
        self._norms: deque[float] = deque(maxlen=config.window)
        self.refused_in_a_row = 0

    @property
    def exhausted(self) -> bool:
        """Whether so many steps in a row were refused that the run should stop."""
        return self.refused_in_a_row >= self.config.patience

    def judge(self, loss: float, norm: float, finite: bool) -> Verdict:
        """Decide on a step and remember it.

        Args:
            loss: of the global batch, per token.
            norm: global L2 norm of its gradient, before clipping.
            finite: whether the loss was finite on every rank before it was reduced.
        """
        verdict = self._verdict(loss, norm, finite)
        if verdict.accept:
            self._losses.append(loss)
            self._norms.append(math.log1p(norm))
            self.refused_in_a_row = 0
        else:
            self.refused_in_a_row += 1
        return verdict

    def _verdict(self, loss: float, norm: float, finite: bool) -> Verdict:
        if not (finite and math.isfinite(loss) and math.isfinite(norm)):
            what = "loss" if not (finite and math.isfinite(loss)) else "gradient"
            return Verdict(False, f"the {what} is not finite", math.nan, math.nan)
        sigma = self.config.sigma
        if not sigma or len(self._losses) < self.config.armed:
            return Verdict(True, "", 0.0, 0.0)
        loss_z = deviations(loss, self._losses, LOSS_SPREAD)
        norm_z = deviations(math.log1p(norm), self._norms, NORM_SPREAD)
        if loss_z > sigma:
            reason = f"the loss {loss:.4g} is {loss_z:.1f} deviations above its median"
        elif norm_z > sigma:
            reason = f"the gradient norm {norm:.4g} is {norm_z:.1f} deviations above its median"
        else:
            reason = ""
        return Verdict(not reason, reason, loss_z, norm_z)

    def state(self) -> dict[str, Any]:
        """Plain data that `load` takes back, exact to the bit."""
        return {
            "losses": list(self._losses),
            "norms": list(self._norms),
            "refused_in_a_row": self.refused_in_a_row,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave. A smaller window keeps the newest values."""
        self._losses = deque(state["losses"], maxlen=self.config.window)
        self._norms = deque(state["norms"], maxlen=self.config.window)
        self.refused_in_a_row = state["refused_in_a_row"]


def deviations(value: float, values: Sequence[float], least: float) -> float:
    """How many robust standard deviations, plus `least`, `value` is above the median."""
    middle = median(values)
    mad = median(abs(v - middle) for v in values)
    return (value - middle) / (MAD_TO_SIGMA * mad + least)
