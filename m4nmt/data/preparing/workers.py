"""Worker processes of a preparation: many tasks spread over them. Not its job: what is done."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

from m4nmt.core.progress import progress

T = TypeVar("T")
R = TypeVar("R")


def processes(workers: int, *begin: Any) -> ProcessPoolExecutor:
    """A pool of processes that see what this one holds, and die with it.

    Args:
        workers: how many.
        begin: what each does first: a function and its arguments, or nothing.
    """
    return ProcessPoolExecutor(workers, get_context("fork"), _begin, begin)


def _begin(*begin: Any) -> None:
    Thread(target=_follow, daemon=True).start()
    if begin:
        begin[0](*begin[1:])


def _follow() -> None:
    """End when the parent has ended. One that was killed would leave workers behind, which wait
    for work for ever and hold the lock of the folder."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def spread(
    work: Callable[[T], R], tasks: Sequence[T], workers: int, label: str
) -> Iterator[tuple[T, R]]:
    """Do all tasks, in worker processes where there are several; results come as they are done.

    Raises:
        RuntimeError: a worker process was killed.
    """
    if workers < 2 or len(tasks) < 2:
        yield from _shown(((task, work(task)) for task in tasks), label, len(tasks))
        return
    with processes(workers) as pool:
        futures = {pool.submit(work, task): task for task in tasks}
        try:
            done = ((futures[future], future.result()) for future in as_completed(futures))
            yield from _shown(done, label, len(tasks))
        except BrokenProcessPool as error:
            raise RuntimeError(
                f"{label}: a worker process was killed, most often for want of memory; what is "
                "done stays done: run it again"
            ) from error
        finally:
            for future in futures:
                future.cancel()


def _shown(results: Iterable[Any], label: str, total: int) -> Iterator[Any]:
    with progress(label, total) as ticker:
        for result in results:
            yield result
            ticker.advance()
