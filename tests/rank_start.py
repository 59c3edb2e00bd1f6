"""Ranks for a test, forked from a server that has imported what they run: seconds less for each.

Forked ranks share the order of their sets. Where that is in question start them with
`torch.multiprocessing.spawn`, as the tests of layouts and of bitwise equal runs do.
"""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from typing import Any

import torch

IMPORTED = ["torch._dynamo", "torch.distributed.tensor", "m4nmt.parallel.apply", "m4nmt.train.run"]


def server() -> ForkServerContext:
    """The context of processes that the server forks: one server for a whole test process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def start(work: Callable[..., None], arguments: tuple[Any, ...], size: int) -> None:
    """`work(rank, *arguments)` in so many processes, to their end; raises what one of them does."""
    server()
    torch.multiprocessing.start_processes(work, arguments, nprocs=size, start_method="forkserver")  # type: ignore[no-untyped-call]
