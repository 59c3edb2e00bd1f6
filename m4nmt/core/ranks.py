"""How the processes of a run (ranks) agree: short messages on the CPU, apart from training's own.

Every function that talks must be called by all ranks, in the same order. Without
torch.distributed, or in a world of one, nothing is sent and a failure is simply raised.

The messages have a gloo group of their own, whatever training uses (NCCL's would need a GPU), with
a timeout of their own. Once one message fails, ranks may stand at different ones, and nothing more
can be said safely: the group is closed at once, which wakes every rank that waits in it, and all
end with `LostRankError`, which names those that no longer answer. Not its job: starting processes,
laying a model over them (parallel).
"""

import contextlib
import socket
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")
Explain = Callable[[BaseException], str]

TIMEOUT = timedelta(seconds=120)
ROLL_CALL_SECONDS = 3.0


class RankError(RuntimeError):
    """A job failed on some ranks, and all know it; names each with host and reason.

    Attributes:
        reasons: rank -> reason.
    """

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__("; ".join(f"rank {rank}: {why}" for rank, why in reasons.items()))
        self.reasons = reasons


class LostRankError(RuntimeError):
    """Ranks can no longer agree: one is gone or hangs. Only a restart of all of them helps."""


def describe(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Ranks:
    """All ranks, and a line between them. Made by `shared`.

    Attributes:
        rank, size: of this process and their number.
    """

    def __init__(self, purpose: str, timeout: timedelta) -> None:
        together = initialised()
        self.rank = dist.get_rank() if together else 0
        self.size = dist.get_world_size() if together else 1
        self._purpose = purpose
        self._lost = ""
        self._group = dist.new_group(backend="gloo", timeout=timeout) if self.size > 1 else None

    @property
    def leader(self) -> bool:
        """Whether this rank acts for all."""
        return self.rank == 0

    def told(self, value: T) -> T:
        """The leader's value, everywhere."""
        if self.size == 1:
            return value
        box = [value if self.leader else None]
        self._talk(lambda group: dist.broadcast_object_list(box, src=0, group=group))
        return box[0]  # type: ignore[return-value]

    def gathered(self, value: T) -> list[T]:
        """Every rank's value by rank, everywhere."""
        if self.size == 1:
            return [value]
        box: list[Any] = [None] * self.size
        self._talk(lambda group: dist.all_gather_object(box, value, group=group))
        return box

    def collected(self, value: T) -> list[T]:
        """Every rank's value by rank, on the leader; nothing elsewhere."""
        if self.size == 1:
            return [value]
        box: list[Any] = [None] * self.size if self.leader else []
        place = box if self.leader else None
        self._talk(lambda group: dist.gather_object(value, place, dst=0, group=group))
        return box

    def dealt(self, values: list[T]) -> T:
        """Of the leader's values, one for each rank, this rank's."""
        if self.size == 1:
            return values[0]
        box: list[Any] = [None]
        given = values if self.leader else None
        self._talk(lambda group: dist.scatter_object_list(box, given, src=0, group=group))
        mine: T = box[0]
        return mine

    def agree(self, job: Callable[[], T], explain: Explain = describe) -> list[T]:
        """Run a job on every rank; what it gave by rank, or one failure for all.

        Args:
            explain: words for a failure of the job here.

        Raises:
            RankError: it failed somewhere. In a world of one the failure itself is raised.
            LostRankError: a rank did not answer.
        """
        if self.size == 1:
            return [job()]
        value, reason, failure = _attempt(job, explain)
        answers = self.gathered((value, reason))
        _raise({rank: why for rank, (_, why) in enumerate(answers) if why is not None}, failure)
        return [each for each, _ in answers]  # type: ignore[misc]

    def led(self, job: Callable[[], T], explain: Explain = describe) -> T:
        """Run a job on the leader; what it gave, or its failure, everywhere. Raises as `agree`."""
        if self.size == 1:
            return job()
        value, reason, failure = _attempt(job, explain) if self.leader else (None, None, None)
        value, reason = self.told((value, reason))
        _raise({} if reason is None else {0: reason}, failure)
        return value  # type: ignore[return-value]

    def _talk(self, message: Callable[[Any], None]) -> None:
        if self._group is None:
            raise LostRankError(self._lost)
        try:
            message(self._group)
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they hold the group, which must close now
            self._hang_up(describe(error))
            if not isinstance(error, Exception):
                raise
            raise LostRankError(self._lost) from None

    def _hang_up(self, reason: str) -> None:
        """Close the line, so that the others stop waiting, and find out who is left."""
        group, self._group = self._group, None
        with contextlib.suppress(Exception):
            dist.destroy_process_group(group)
        del group
        self._lost = f"the ranks can no longer agree, restart them all ({self._absent()}; {reason})"

    def _absent(self) -> str:
        """Names the ranks that do not report within a few seconds."""
        missing = set(range(self.size))
        until = time.monotonic() + ROLL_CALL_SECONDS
        try:
            store = dist.distributed_c10d._get_default_store()
            store.set(self._key(self.rank), "")
            while True:
                missing -= {rank for rank in missing if store.check([self._key(rank)])}
                if not missing or time.monotonic() > until:
                    break
                time.sleep(0.05)
        except Exception as error:
            return f"the store of rank 0 or its launcher is gone: {describe(error)}"
        if not missing:
            return "all ranks still answer"
        return f"no answer from rank {', '.join(map(str, sorted(missing)))}"

    def _key(self, rank: int) -> str:
        return f"m4nmt/lost/{self._purpose}/{rank}"


def _attempt(
    job: Callable[[], T], explain: Explain
) -> tuple[T | None, str | None, BaseException | None]:
    """(value, reason, failure) of a job; no failure leaves it."""
    try:
        return job(), None, None
    except BaseException as error:
        return None, f"{explain(error)} (on {socket.gethostname()})", error


def _raise(reasons: dict[int, str], failure: BaseException | None) -> None:
    if failure is not None and not isinstance(failure, Exception):
        raise failure
    if reasons:
        raise RankError(reasons) from failure


def initialised() -> bool:
    """Whether this process is one of a group of torch.distributed."""
    return dist.is_available() and dist.is_initialized()


_lines: dict[str, tuple[Any, Ranks]] = {}


def shared(purpose: str = "", timeout: timedelta = TIMEOUT) -> Ranks:
    """The line for a purpose, opened when all ranks first ask for it.

    Args:
        timeout: of one message; counts only where the line is opened.
    """
    world = dist.group.WORLD if initialised() else None
    held = _lines.get(purpose)
    if held is None or held[0] is not world:
        held = _lines[purpose] = (world, Ranks(purpose, timeout))
    return held[1]


def rank() -> int:
    """Of this process; 0 where there is one only."""
    return dist.get_rank() if initialised() else 0


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if initialised() else 1


def told(value: T) -> T:
    """See `Ranks.told`."""
    return shared().told(value)


def gathered(value: T) -> list[T]:
    """See `Ranks.gathered`."""
    return shared().gathered(value)


def agree(job: Callable[[], T], explain: Explain = describe) -> list[T]:
    """See `Ranks.agree`."""
    return shared().agree(job, explain)


def led(job: Callable[[], T], explain: Explain = describe) -> T:
    """See `Ranks.led`."""
    return shared().led(job, explain)
