"""Whether a step's gradient may be applied, and whether refusing steps is enough.

Refused is what is not finite or far above the usual. Median and MAD of the accepted values decide,
one-sided; refused values never enter, so neither a NaN nor a plateau of bad batches becomes the new
normal (measured against window rules that do). What creeps in below that is seen by two running
means of the loss, a fast and a slow one.
Not its job: discarding the gradient (the trainer), going back (the session, with rewind).
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple

from m4nmt.train.settings import GuardConfig

MAD_TO_SIGMA = 1.4826  # of a normal distribution
# Added to the spread, so that a window of nearly equal values does not refuse what is harmless.
# Batches are of one length each, and short ones have twice the gradient of long ones: with 1e-3,
# training on Multi30k refused 17 steps in 10,000, all with norms below 2.2.
LOSS_SPREAD = 0.05  # nats per token
NORM_SPREAD = 0.1  # of log(1 + norm)
STRETCH = 10_000  # steps over which refusals are counted


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


class Trouble(NamedTuple):
    """What refusing single steps does not mend.

    Attributes:
        age: how many steps ago it began; 1: with the last one.
        reason: for people.
    """

    age: int
    reason: str


@dataclass
class Mean:
    """Exponential running mean of about the last `2 / share` values, unbiased from the first on."""

    share: float
    total: float = 0.0
    weight: float = 0.0

    @property
    def value(self) -> float:
        """Infinite before the first value."""
        return self.total / self.weight if self.weight else math.inf

    def add(self, value: float) -> None:
        """Take in a value."""
        self.total += self.share * (value - self.total)
        self.weight += self.share * (1 - self.weight)


class Guard:
    """Judges one step after another. Its memory is part of the training state."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._losses: deque[float] = deque(maxlen=self.config.window)
        self._norms: deque[float] = deque(maxlen=self.config.window)
        self._fast = Mean(2 / (self.config.fast + 1))
        self._slow = Mean(2 / (self.config.slow + 1))
        self._above = 0  # steps since the fast mean came above the slow one
        self._rising = False
        self._judged = 0
        self._refusals: list[int] = []  # numbers of the steps refused lately
        self.refused_in_a_row = 0

    @property
    def trouble(self) -> Trouble | None:
        """Why the run should go back, if it should."""
        if self.refused_in_a_row >= self.config.patience:
            return Trouble(
                self.refused_in_a_row, f"{self.refused_in_a_row} steps in a row were refused"
            )
        fast, slow, rise = self._fast.value, self._slow.value, self.config.rise
        on = self.config.sigma and rise and len(self._losses) >= self.config.armed
        if on and self._rising and fast > slow + rise:
            return Trouble(
                self._above,
                f"the loss rose from about {slow:.4g} to {fast:.4g} in {self._above} steps",
            )
        return None

    @property
    def overdrawn(self) -> str:
        """Why the run should stop, though each refused step for itself did no harm; or nothing."""
        count = len(self._refusals)
        if count <= self.config.refusals:
            return ""
        return f"{count} of the last {min(self._judged, STRETCH)} steps were refused"

    def judge(self, loss: float, norm: float, finite: bool) -> Verdict:
        """Decide on a step and remember it.

        Args:
            loss: of the global batch, per token.
            norm: global L2 norm of its gradient, before clipping.
            finite: whether the loss was finite on every rank before it was reduced.
        """
        verdict = self._verdict(loss, norm, finite)
        self._judged += 1
        self._refusals = [n for n in self._refusals if n > self._judged - STRETCH]
        if verdict.accept:
            self._losses.append(loss)
            self._norms.append(math.log1p(norm))
            self._follow(loss)
            self.refused_in_a_row = 0
        else:
            self.refused_in_a_row += 1
            self._refusals.append(self._judged)
            self._above += bool(self._above)
            self._rising = False
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

    def _follow(self, loss: float) -> None:
        """Move the running means."""
        before = self._fast.value
        self._fast.add(loss)
        self._slow.add(loss)
        self._rising = self._fast.value > before
        self._above = self._above + 1 if self._fast.value > self._slow.value else 0

    def state(self) -> dict[str, Any]:
        """Plain data that `load` takes back, exact to the bit."""
        return {
            "losses": list(self._losses),
            "norms": list(self._norms),
            "fast": asdict(self._fast),
            "slow": asdict(self._slow),
            "above": self._above,
            "rising": self._rising,
            "judged": self._judged,
            "refusals": list(self._refusals),
            "refused_in_a_row": self.refused_in_a_row,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave. A smaller window keeps the newest values."""
        self._losses = deque(state["losses"], maxlen=self.config.window)
        self._norms = deque(state["norms"], maxlen=self.config.window)
        self._fast, self._slow = Mean(**state["fast"]), Mean(**state["slow"])
        self._above, self._rising = state["above"], state["rising"]
        self._judged, self._refusals = state["judged"], list(state["refusals"])
        self.refused_in_a_row = state["refused_in_a_row"]


def deviations(value: float, values: Sequence[float], least: float) -> float:
    """How many robust standard deviations, plus `least`, `value` is above the median."""
    middle = median(values)
    mad = median(abs(v - middle) for v in values)
    return (value - middle) / (MAD_TO_SIGMA * mad + least)
