"""The devices of a group that `m4nmt train --devices` starts, and which of them are left out.

A process may die of many things, and mostly its device is sound. So a device is only suspected when
its process alone failed, and left out when that happens in two lives of the group in a row. Not its
job: starting processes (launch).
"""

import logging
import signal
from collections.abc import Callable, Mapping

from m4nmt.core.config import ConfigError

log = logging.getLogger(__name__)


class Devices:
    """Devices by their number on this machine; `group` holds those that are used.

    Args:
        number: at the start.
        fewest: the group goes on with; as many as at the start: none is ever left out.
        fits: raises ValueError where the recipe cannot be laid over so many.
    """

    def __init__(self, number: int, fewest: int, fits: Callable[[int], object]) -> None:
        self.group = list(range(number))
        self._number = number
        self._fewest = fewest
        self._fits = fits
        self._suspect: int | None = None

    @property
    def whole(self) -> bool:
        """Whether none was left out."""
        return len(self.group) == self._number

    def died(self, failures: Mapping[int, int]) -> None:
        """A life of the group has ended.

        Args:
            failures: exit code by rank, negative for signals, of processes that failed.

        Raises:
            ConfigError: a device is to be left out, and the others are too few.
        """
        from m4nmt.parallel.watchdog import DEVICE

        causes = [
            self.group[rank]
            for rank, code in failures.items()
            if code == DEVICE or (code < 0 and code != -signal.SIGTERM)
        ]
        alone = causes[0] if len(causes) == 1 else None
        again, self._suspect = alone is not None and alone == self._suspect, alone
        if not again:
            return
        if self._fewest == self._number:
            log.warning(
                "device %d failed twice in a row; with --min-devices %d the run goes on without it",
                alone,
                self._number - 1,
            )
            return
        self._keep([d for d in self.group if d != alone], f"device {alone} failed twice in a row")

    def seen(self, there: int) -> None:
        """So many are there now. Raises as `died`."""
        if there < len(self.group) or self.group[-1] >= there:
            left = [device for device in self.group if device < there]
            self._keep(left, f"only {there} of {self._number} devices are there")

    def _keep(self, rest: list[int], why: str) -> None:
        """Go on with as many of the rest as the recipe can use."""
        refusals = []
        for size in range(len(rest), max(self._fewest, 1) - 1, -1):
            try:
                self._fits(size)
            except ValueError as error:
                refusals.append(str(error))
                continue
            self.group = rest[:size]
            log.warning("%s; going on with %s", why, ", ".join(map(str, self.group)))
            return
        raise ConfigError(
            f"{why}, and a group needs at least {self._fewest} (--min-devices); {len(rest)} left. "
            + (f"{refusals[0]}. " if refusals else "")
            + f"`m4nmt plan RECIPE --devices {max(1, len(rest))}` shows the layouts that fit; "
            "parallel may change between two starts of a run"
        )
