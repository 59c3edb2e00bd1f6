"""Run a function in several processes of one gloo group, as a launcher would.

The processes are forked from a server that has imported torch once. The store that they meet at
lives in the caller, so that any of them may die.
"""

import os
import signal
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import rank_start
import torch
import torch.distributed as dist

from m4nmt.checkpoint import manifest
from m4nmt.core import ranks

SECONDS = 60.0


class End(NamedTuple):
    """How a process ended: what it returned, or the error that left it, or neither (it died)."""

    value: Any
    error: str
    died: bool


def run(size: int, job: Callable[..., Any], *args: Any, hangs: bool = False) -> list[End]:
    """`job(rank, size, *args)` in each process; by rank, how they ended.

    Args:
        hangs: the last rank is not waited for, but killed when the others have ended.
    """
    context = rank_start.server()
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    pipes = [context.Pipe(duplex=False) for _ in range(size)]
    processes = [
        context.Process(
            target=_main, args=(rank, size, store.port, pipe[1], job, args), daemon=True
        )
        for rank, pipe in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    for _, sender in pipes:
        sender.close()
    ends = []
    for rank, (receiver, _) in enumerate(pipes):
        value, error, died = None, "still running", False
        try:
            if receiver.poll(0 if hangs and rank == size - 1 else SECONDS):
                value, error = receiver.recv()
        except EOFError:
            error, died = "", True
        ends.append(End(value, error, died))
    for process in processes:  # only now: who leaves early breaks what others still read
        process.kill()
        process.join()
    return ends


def values(ends: list[End]) -> list[Any]:
    """What all returned; none may have failed."""
    assert [end.error for end in ends] == [""] * len(ends)
    assert not any(end.died for end in ends)
    return [end.value for end in ends]


def _main(rank: int, size: int, port: int, pipe: Any, job: Callable[..., Any], args: Any) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    ranks.ROLL_CALL_SECONDS = 0.5
    manifest.VISIBLE_SECONDS = 2.0
    store = dist.TCPStore("127.0.0.1", port, is_master=False)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=30)
    )
    try:
        answer = (job(rank, size, *args), "")
    except Exception as error:
        traceback.print_exc()
        answer = (None, f"{type(error).__name__}: {error}")
    pipe.send(answer)
    signal.pause()
