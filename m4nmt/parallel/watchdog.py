"""Ends a run in which a rank hangs, and leaves the stack of every rank behind.

    run/stacks/rank<r>.txt     where each rank stood, appended

A rank that hangs can be stuck anywhere, also where no Python runs. So nobody asks it anything:
every rank times its own steps, and writes its own stack where one takes too long, if need be from a
thread of C (faulthandler) that needs no GIL. It leaves a note in the folder of the run, which the
others look for, and sends SIGCONT to those of its machine, which makes them write their stacks even
if they were stopped (SIGSTOP) or hold the GIL. Then all end with exit code 75, and the launcher
starts them again. Not its job: noticing that a rank died (its connections close, see world.joined).
"""

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from m4nmt.core import ranks
from m4nmt.parallel.world import World, lost

COURTESY = 3.0  # seconds that a rank which lost another lets it end first, with its own exit code
EXIT = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong with the run, start it again
DEVICE = 74  # EX_IOERR: likewise, but this rank's own device failed
_TICK = 1.0  # seconds, at most, between two looks at the clock and the folder
_SLACK = 0.02  # of the timeout by which the thread of C may be late, for not being armed each step
_GRACE = 3.0  # seconds, beside this, in which the others can write their stacks


class Peer(NamedTuple):
    """A process of the run, and where its number means something."""

    host: str
    space: str
    pid: int


class Watchdog:
    """Watches the steps of this process; `alive` is called at each. Every process must enter it.

    Does nothing where there is one process: a slow step is then just slow.

    Args:
        folder: of the run, seen by all processes.
        timeout: seconds that a step may take.
        last_words: called with the message before the process ends, say to write a journal.
    """

    def __init__(
        self,
        world: World,
        folder: Path,
        timeout: float,
        last_words: Callable[[str], None] | None = None,
    ) -> None:
        self._world = world
        self._folder = folder / "stacks"
        self._timeout = timeout
        self._last_words = last_words
        self._slack = timeout * _SLACK
        self._tick = min(_TICK, timeout / 20)
        self._limit = timeout
        self._steps = 0
        self._peers: list[Peer] = []
        self._note = self._folder
        self._done = threading.Event()
        self._firing = threading.Lock()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")

    def __enter__(self) -> "Watchdog":
        if self._world.size == 1:
            return self
        self._folder.mkdir(parents=True, exist_ok=True)
        self._note = self._folder / f".hung-{self._world.told(uuid.uuid4().hex)}"
        self._peers = ranks.gathered(Peer(socket.gethostname(), _space(), os.getpid()))
        if self._world.leader:
            for old in self._folder.glob(".hung-*"):
                old.unlink(missing_ok=True)
        self._file: TextIOWrapper = self._path(self._world.rank).open("a", encoding="utf-8")
        self._sizes = [_size(self._path(rank)) for rank in range(self._world.size)]
        faulthandler.register(signal.SIGCONT, file=self._file)
        self._began = self._armed = time.monotonic()
        self.alive()
        self._thread.start()
        return self

    def alive(self, patience: float = 1.0) -> None:
        """A step begins.

        Args:
            patience: times the timeout that this one may take (the first step compiles, say). A
                rank that waits in a collective for another one is given only the timeout.
        """
        if self._world.size == 1 or self._done.is_set():
            return
        now = time.monotonic()
        limit = self._timeout * patience
        self._steps += 1
        if self._steps == 1 or limit != self._limit or now - self._armed > self._slack:
            faulthandler.dump_traceback_later(limit + self._slack + 2 * self._tick, file=self._file)
            self._armed = now
        self._began, self._limit = now, limit

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._world.size == 1:
            return
        said = _words(error)
        if "timed out" in said.lower() or (said and self._note.exists()):
            # A collective gave up before the watchdog did: some rank hangs.
            self._file.write("".join(traceback.format_exception(kind, error, trace)))
            self._fire("a collective failed")
        self._done.set()
        faulthandler.cancel_dump_traceback_later()
        faulthandler.unregister(signal.SIGCONT)
        self._thread.join()
        self._file.close()
        with contextlib.suppress(OSError):
            if _size(self._path(self._world.rank)) == 0:
                self._path(self._world.rank).unlink()
            self._folder.rmdir()  # where it is empty

    def _watch(self) -> None:
        while not self._done.wait(self._tick):
            if self._note.exists():
                self._fire("another rank noticed that the run hangs")
            elif time.monotonic() - self._began > self._limit:
                self._fire(f"step {self._steps} took more than {self._limit:g} s")

    def _fire(self, reason: str) -> None:
        """Write this rank's stack, see that the others write theirs, end the process."""
        self._firing.acquire()  # never given back: only one thread ends the process
        try:
            faulthandler.cancel_dump_traceback_later()
            self._file.flush()
            faulthandler.dump_traceback(self._file)
            me = self._world.rank
            print(f"{self._named(me)}: {reason}\n", file=self._file, flush=True)
            self._note.touch()
            self._wake()
            self._speak(reason, self._wait())
        finally:
            for child in multiprocessing.active_children():
                child.kill()
            os._exit(EXIT)

    def _wake(self) -> None:
        """Have the silent ranks of this machine write their stacks, also if they are stopped."""
        mine = self._peers[self._world.rank]
        for rank in self._silent():
            if self._peers[rank][:2] == mine[:2]:
                with contextlib.suppress(OSError):
                    os.kill(self._peers[rank].pid, signal.SIGCONT)

    def _silent(self) -> list[int]:
        """Ranks whose stack is not there yet."""
        sizes = [_size(self._path(rank)) for rank in range(self._world.size)]
        return [rank for rank, size in enumerate(sizes) if size <= self._sizes[rank]]

    def _wait(self) -> list[int]:
        """Give the others time to write their stacks; the ranks that did not."""
        until = time.monotonic() + self._slack + _GRACE
        while (silent := self._silent()) and time.monotonic() < until:
            time.sleep(self._tick / 5)
        return silent

    def _speak(self, reason: str, silent: list[int]) -> None:
        missing = ", ".join(self._named(rank) for rank in silent[:10])
        message = (
            f"{self._named(self._world.rank)}: {reason}; "
            + (f"no stack from {missing}; " if silent else "")
            + f"stacks: {self._folder}. Start the run again, it goes on from its last checkpoint; "
            "if steps take that long, raise parallel.timeout"
        )
        print(f"LostRankError: {message}", file=sys.stderr, flush=True)
        if self._last_words is not None:
            self._last_words(message)

    def _named(self, rank: int) -> str:
        peer = self._peers[rank]
        return f"rank {rank} of {self._world.size} ({peer.host}, process {peer.pid})"

    def _path(self, rank: int) -> Path:
        return self._folder / f"rank{rank}.txt"


def _words(error: BaseException | None) -> str:
    """What collectives said in an error and in those that it came from."""
    found = []
    while error is not None:
        found.append(lost(error) or (str(error) if isinstance(error, ranks.LostRankError) else ""))
        error = error.__cause__ or error.__context__
    return " ".join(found)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _space() -> str:
    """Of process numbers: containers of one machine have their own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
