"""The processes of a run: how many there are, which one this is, and how they agree.

Started by torchrun, `accelerate launch` or `m4nmt train --devices`, all of which tell a process its
place by environment variables. Not its job: starting them (cli/launch), noticing that one hangs
(watchdog), laying a model over them (apply).
"""

import gc
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from m4nmt.core import ranks
from m4nmt.core.ranks import LostRankError

T = TypeVar("T")

_PATIENCE = 600.0  # seconds that processes wait for each other at the start: imports, slow disks
_LEAVING = 10.0  # seconds that a process which fails spends on closing its connections


@dataclass(frozen=True)
class World:
    """All processes of a run.

    What they say to each other here goes over the CPU (gloo), also where tensors go over NCCL.

    Attributes:
        rank, size: of this process and their number.
        local_rank: place on its machine, which chooses its GPU.
        machines: over which torchrun has spread them.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    machines: int = 1

    @property
    def leader(self) -> bool:
        """Whether this process writes files for all."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set anywhere; every process must ask."""
        if self.size == 1:
            return flag
        found = torch.tensor(int(flag))
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found)

    def told(self, value: T) -> T:
        """The leader's `value`, everywhere; every process must ask."""
        return ranks.told(value)

    def barrier(self) -> None:
        """Wait until every process has come here."""
        self.any(False)


# What mpirun calls the place of a process (accelerate starts CPU processes on several machines so).
_MPI = {
    "RANK": ("OMPI_COMM_WORLD_RANK", "PMI_RANK"),
    "WORLD_SIZE": ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"),
    "LOCAL_RANK": ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID"),
}


def place(env: Mapping[str, str]) -> World:
    """Where the launcher's variables put this process; alone where there are none.

    Raises:
        ValueError: the launch is half configured; says what is missing and how to mend it.
    """
    if "RANK" not in env and "WORLD_SIZE" not in env:
        mpi = {ours: env[n] for ours, names in _MPI.items() for n in names if n in env}
        env = {**env, **mpi}
    if "RANK" not in env and "WORLD_SIZE" not in env:
        if "MASTER_ADDR" in env and "ACCELERATE_MIXED_PRECISION" in env:
            raise ValueError(
                "accelerate was asked for several processes but starts only one on CPUs; use "
                "`m4nmt train --devices N`, or torchrun"
            )
        return World()
    if env.get("WORLD_SIZE", "") == "1":
        return World()
    needed = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in needed if not env.get(name)]
    if missing:
        there = ", ".join(f"{name}={env[name]}" for name in needed if env.get(name))
        raise ValueError(
            f"the launch is half configured: {there}, but {', '.join(missing)} not set; start with "
            "torchrun or `m4nmt train --devices N`, or unset them to train in one process"
        )
    rank, size = _number(env, "RANK"), _number(env, "WORLD_SIZE")
    if not 0 <= rank < size:
        raise ValueError(f"RANK={rank} does not lie in WORLD_SIZE={size}; ranks count from 0")
    _number(env, "MASTER_PORT")
    local = _number(env, "LOCAL_RANK") if "LOCAL_RANK" in env else 0
    machines = _number(env, "GROUP_WORLD_SIZE") if "GROUP_WORLD_SIZE" in env else 1
    return World(rank, size, local, machines)


def _number(env: Mapping[str, str], name: str) -> int:
    try:
        return int(env[name])
    except ValueError:
        raise ValueError(f"{name}={env[name]!r} is not a number; the launcher sets it") from None


def uses_cuda(wish: str, local_rank: int = 0) -> bool:
    """Whether the device behind "auto", "cpu" or "cuda" is a GPU, one that this process can have.

    Raises:
        ValueError: there are fewer GPUs than processes on this machine.
    """
    if wish == "cpu" or not torch.cuda.is_available():
        return False
    there = torch.cuda.device_count()
    if local_rank >= there:
        raise ValueError(
            f"LOCAL_RANK={local_rank}, but this process sees {there} GPU{'s' * (there > 1)}; start "
            f"at most {there} on this machine, or set parallel.device=cpu. (Where every process "
            "sees only its own GPU, LOCAL_RANK must be 0)"
        )
    return True


@contextmanager
def joined(device_wish: str, timeout: float, always: bool = False) -> Iterator[World]:
    """Meet the other processes of the run; part from them at the end, after errors too.

    On GPUs it chooses this process's, before anything is put there.

    Args:
        device_wish: "auto", "cpu" or "cuda", as in `ParallelConfig`.
        timeout: seconds after which a collective that hangs ends in LostRankError.
        always: make a process group for a single process too (a pipeline's stages need one).

    Raises:
        ValueError: the launch is half configured, or there are fewer GPUs than processes.
        TimeoutError: some processes never came; says which.
        ConnectionError: the first process could not be reached, or could not open its port.
        LostRankError: a collective failed, since another process hangs or is gone.
    """
    world = place(os.environ)
    cuda = uses_cuda(device_wish, world.local_rank)
    if world.size == 1 and not always:
        yield world
        return
    if cuda:
        torch.cuda.set_device(world.local_rank)
    store = _store(world)
    limit = timedelta(seconds=timeout)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        store=PrefixStore(meet(store, world.rank, world.size), store),
        rank=world.rank,
        world_size=world.size,
        timeout=limit,
    )
    try:
        ranks.shared(timeout=limit)
        yield world
    except BaseException as error:
        # A communicator that waits for a process which is gone may not want to be closed.
        leaving = threading.Thread(target=_part, daemon=True)
        leaving.start()
        leaving.join(_LEAVING)
        if (why := lost(error)) and world.size > 1:
            raise LostRankError(
                f"rank {world.rank} of {world.size} lost another rank or its device ({why}); start "
                "the run again, it goes on from its last checkpoint"
            ) from error
        raise
    _part()


def lost(error: BaseException) -> str:
    """What an error of a collective or a device says; empty for any other error."""
    words = ("gloo", "nccl", "closed by peer", "reset by peer", "timed out waiting")
    kinds = (dist.DistError, torch.cuda.AcceleratorError)
    known = isinstance(error, RuntimeError) and not isinstance(error, LostRankError)
    text = str(error).strip()
    if known and (isinstance(error, kinds) or any(word in text.lower() for word in words)):
        first = re.sub(r"^\[[^]]*\.cc:\d+\] ", "", text).splitlines()[:1]
        return first[0].partition(". ")[0] if first else type(error).__name__
    return ""


def _part() -> None:
    """Close the group, and let go of it, which ends its threads.

    One that lives until Python shuts down and then frees a tensor aborts the process.
    """
    with suppress(RuntimeError, AssertionError, ValueError):  # closed by someone else
        dist.destroy_process_group()
    ranks._lines.clear()
    gc.collect()


def _store(world: World) -> Store:
    """The store that every process can reach: the launcher's, or one that rank 0 opens."""
    if world.size == 1:
        return HashStore()
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    wait = timedelta(seconds=_PATIENCE)
    try:
        found: Store = next(rendezvous("env://", world.rank, world.size, timeout=wait))[0]
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise ConnectionError(
            f"rank {world.rank} of {world.size} found no meeting place at {where} "
            f"(MASTER_ADDR:MASTER_PORT): {first}; rank 0 must run there and the port must be free"
        ) from error
    return found


def meet(store: Store, rank: int, size: int, patience: float = _PATIENCE) -> str:
    """Wait until all are here; a name for this meeting, the same everywhere and never used before.

    A launcher that starts its workers again may hand them the store of the dead ones, with their
    addresses still in it (pytorch issue 135712), and nothing in the environment tells one life of
    the group from the next. So every process asks with a word that is new, and rank 0 answers it.

    Raises:
        TimeoutError: not all came within `patience` seconds.
    """
    word = uuid.uuid4().hex
    until = time.monotonic() + patience
    if rank == 0:
        _greet(store, word, size, until)
        return word
    store.set(f"m4nmt/hello/{rank}", word)
    while not store.check([f"m4nmt/welcome/{word}"]):
        if time.monotonic() > until:
            raise TimeoutError(f"rank {rank} of {size} waited {patience:.0f} s for rank 0 to start")
        time.sleep(0.02)
    name: str = store.get(f"m4nmt/welcome/{word}").decode()
    store.set(f"m4nmt/here/{name}/{rank}", "")
    return name


def _greet(store: Store, name: str, size: int, until: float) -> None:
    """Rank 0: answer every word there is until every rank has said that it heard `name`."""
    missing = set(range(1, size))
    while True:
        for rank in sorted(missing):
            if store.check([f"m4nmt/hello/{rank}"]):
                word = store.get(f"m4nmt/hello/{rank}").decode()
                store.set(f"m4nmt/welcome/{word}", name)
        missing -= {rank for rank in missing if store.check([f"m4nmt/here/{name}/{rank}"])}
        if not missing:
            return
        if time.monotonic() > until:
            few = ", ".join(str(rank) for rank in sorted(missing)[:10])
            raise TimeoutError(
                f"{len(missing)} of {size} processes never came: rank {few}"
                f"{', ...' if len(missing) > 10 else ''}; look at their output"
            )
        time.sleep(0.02)
