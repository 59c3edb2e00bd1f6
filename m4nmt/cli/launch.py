"""`m4nmt train --devices N`: N processes on this machine, started again when one of them dies.

torch's elastic agent starts and ends the processes and gives them their ranks. What is ours: one
agent for each life of the group, so that nothing of a dead one is left in its store; signals are
passed on and then waited for, so that the processes can save; a verdict (exit codes 1 and 2) is not
tried again. Not its job: what a process does (train), several machines (torchrun), which devices
are left out (devices).
"""

import ctypes
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from m4nmt.cli.devices import Devices
from m4nmt.core.config import ConfigError

log = logging.getLogger(__name__)

_LAUNCHER = "M4NMT_LAUNCHER"
_TORCHRUN = "TORCHELASTIC_RUN_ID"
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_FINAL = (0, 1, 2, 130)  # good, failed, wrong use, Ctrl-C: another try would end in the same
_PR_SET_PDEATHSIG = 1


class _StoppedError(Exception):
    """A signal came before the processes were there to save anything."""


class _Stop:
    """What signals ask of a group of processes.

    The processes stand in sessions of their own, so that a terminal's Ctrl-C reaches this one only.
    """

    def __init__(self) -> None:
        self.agent: Any = None
        self.wanted = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Pass a signal on: first the wish to save and leave, at a second Ctrl-C the interruption.

        Raises:
            _StoppedError: there is nobody yet to pass it on to.
        """
        again, self.wanted = self.wanted, True
        hard = again and number == signal.SIGINT
        if again and not hard:
            return
        pids = [w.id for w in self.agent.get_worker_group().workers] if self.agent else []
        if not pids or not all(isinstance(pid, int) for pid in pids):
            raise _StoppedError
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT if hard else signal.SIGTERM)


def launch(command: Sequence[str], devices: Devices, restarts: int, gpus: bool = False) -> int:
    """Run a command of Python (`-m m4nmt ...`) in a process a device; exit code of the group.

    A group in which a process is killed, or loses another (75), is started again from the last
    checkpoint, at most `restarts` times. Rank 0 keeps the terminal; what the others write to stderr
    is shown with their rank before it.

    Args:
        gpus: the devices are GPUs.
    """
    _quiet()
    stop = _Stop()
    try:
        with _signals(stop), tempfile.TemporaryDirectory("m4nmt") as logs:
            for left in range(restarts, -1, -1):
                with _environment(_variables(devices, gpus)):
                    failures = _live(command, len(devices.group), logs, stop)
                code = _verdict(failures)
                if code in _FINAL or stop.wanted or not left:
                    break
                devices.died(failures)
                if gpus:
                    devices.seen(_gpus())
                log.warning("a process died (exit code %d); starting again, %d left", code, left)
        return code
    except _StoppedError:
        return 128 + signal.SIGTERM
    except ConfigError as error:
        log.error("%s", error)
        return code


def _variables(devices: Devices, gpus: bool) -> dict[str, str]:
    """Of the processes of one life."""
    threads = str(max(1, len(os.sched_getaffinity(0)) // len(devices.group)))
    found = {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        "TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGQUIT",  # the others are passed on by `_Stop`
        _LAUNCHER: str(os.getpid()),
    }
    if gpus and not devices.whole:
        names = os.environ.get(_VISIBLE, "").split(",")
        chosen = [names[d] if d < len(names) and names[d] else str(d) for d in devices.group]
        found[_VISIBLE] = ",".join(chosen)
    return found


def _gpus() -> int:
    """How many there are now, asked without touching one."""
    import torch

    return torch.cuda.device_count()


def _live(command: Sequence[str], devices: int, logs: str, stop: _Stop) -> dict[int, int]:
    """One life of the group, from its start to the end of its last process.

    Returns:
        Exit codes by rank of the processes that failed, the first one first.
    """
    from torch.distributed.elastic.agent.server.api import WorkerSpec
    from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.elastic.rendezvous import RendezvousParameters
    from torch.distributed.elastic.rendezvous.registry import get_rendezvous_handler

    others = range(1, devices)
    where = RendezvousParameters(
        backend="c10d",
        endpoint="localhost:0",  # a free port
        run_id=uuid.uuid4().hex,
        min_nodes=1,
        max_nodes=1,
        local_addr="localhost",
    )
    spec = WorkerSpec(
        role="m4nmt",
        local_world_size=devices,
        entrypoint=sys.executable,
        args=tuple(word.replace("$", "$$") for word in command),  # the agent fills in templates
        rdzv_handler=get_rendezvous_handler(where),
        max_restarts=0,
        local_addr="localhost",
    )
    agent = LocalElasticAgent(
        spec,
        DefaultLogsSpecs(
            log_dir=logs,
            redirects=dict.fromkeys(others, Std.ALL),
            tee=dict.fromkeys(others, Std.ERR),
        ),
        log_line_prefix_template="[rank ${rank}] ",
    )
    stop.agent = agent
    try:
        result = agent.run()
    finally:
        stop.agent = None
        spec.rdzv_handler.shutdown()
    return {rank: failure.exitcode for rank, failure in result.failures.items()}


def _verdict(failures: Mapping[int, int]) -> int:
    """Exit code of a group, from those of the processes that failed, the first one first.

    The first one is the cause, for the others were then told to leave; unless it only lost another
    (75), which may have failed before it but ended after it.
    """
    from m4nmt.parallel.watchdog import EXIT

    codes = [code if code > 0 else 128 - code for code in failures.values()]
    if not codes:
        return 0
    causes = [code for code in codes if code != EXIT]
    if codes[0] == EXIT and causes:
        return min(causes)  # one that says what is wrong before one that was killed
    return codes[0]


def follow() -> None:
    """In a process that `launch` or torchrun started: leave, saving, when the launcher dies.

    One that went on would train, and hold the run folder, beside the group that is started again.
    """
    if os.environ.get(_LAUNCHER) == str(os.getppid()) or _TORCHRUN in os.environ:
        with suppress(OSError, AttributeError):  # Linux only
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))


def _quiet() -> None:
    """The agent reports every failure on a screenful; the processes have said it in a line."""
    import torch.distributed.elastic.agent.server.local_elastic_agent  # noqa: F401

    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _signals(stop: _Stop) -> Iterator[None]:
    before = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
