"""Saves in the background, and ranks that die or hang in a save. Runs in the ranks' processes."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from kill_driver import CALLS
from rank_jobs import BLOBS, fault, laid, local, whole

from m4nmt.checkpoint import load, store
from m4nmt.checkpoint.manifest import CheckpointError
from m4nmt.core.ranks import Ranks


def contents(path: Path) -> list[Any]:
    """All of a checkpoint but the names that DCP gives each."""
    metadata = load._metadata((path / "dcp" / ".metadata").read_bytes())
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".json")
    names = [p.relative_to(path).as_posix() for p in files]
    data = [p.read_bytes() for p in files if p.name != ".metadata"]
    return [
        names,
        data,
        (path / "state.json").read_bytes(),
        metadata.state_dict_metadata,
        metadata.planner_data,
        metadata.storage_data,
    ]


def in_background(rank: int, size: int, root: Path) -> tuple[bool, bool]:
    """(returned before it wrote, wrote the same as a save), though the tensors changed at once."""
    tensors = laid(rank, size, "rows" if size > 1 else "plain", whole(1))
    usual = store.save(root / "usual", 1, tensors, BLOBS)
    gate, write = threading.Event(), store.write

    def late(*args: Any) -> Any:
        gate.wait(10)
        return write(*args)

    with mock.patch.object(store, "write", late):
        handle = store.save_async(root / "background", 1, tensors, BLOBS)
        early = not handle.done()
        for tensor in tensors.values():
            local(tensor).fill_(3)
        gate.set()
        path = handle.result(20)
    return early, contents(path) == contents(usual)


def background_faults(rank: int, size: int, root: Path) -> list[str]:
    """Messages of saves that fail on rank 1, asked for and not; and the folder after more saves."""
    heard: list[str] = []

    def hear(call: Callable[[], object]) -> None:
        try:
            call()
            heard.append("")
        except CheckpointError as error:
            heard.append(str(error))

    def begin(step: int) -> store.Saving:
        return store.save_async(root, step, laid(rank, size, "rows", whole(step)), BLOBS)

    def fail(step: int) -> store.Saving:
        with fault("fsync") if rank == 1 else mock.patch.object(store, "log"):
            handle = begin(step)
            while not handle.done():
                time.sleep(0.01)
        return handle

    hear(fail(1).result)
    handle = fail(2)
    if rank == 0:
        hear(handle.result)
    else:
        heard.append("did not ask")
    hear(lambda: store.save(root, 3, laid(rank, size, "rows", whole(3)), BLOBS))
    hear(lambda: store.save(root, 3, laid(rank, size, "rows", whole(3)), BLOBS))
    both = begin(4), begin(5)
    assert both[0].done()
    hear(both[1].result)
    return [*heard, *sorted(path.name for path in root.iterdir())]


def die_at(point: int, how: int = signal.SIGKILL) -> None:
    """End this process before its `point`-th call of the system or message to the others."""
    moments = itertools.count(1)

    def watch(call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            if next(moments) == point:
                os.kill(os.getpid(), how)
            return call(*args, **kwargs)

        return watched

    for name in CALLS:
        setattr(os, name, watch(getattr(os, name)))
    Ranks._talk = watch(Ranks._talk)  # type: ignore[method-assign]


def end_in_save(
    rank: int, size: int, root: Path, victim: int, point: int, how: int = signal.SIGKILL
) -> tuple[str, str, float]:
    """A rank ends in its second save; what the others hear, and after how many seconds."""
    layout = "rows"
    if how == signal.SIGSTOP:
        store.TIMEOUT = type(store.TIMEOUT)(seconds=2)
    store.save(root, 1, laid(rank, size, layout, whole(1)), BLOBS, keep=1)
    if rank == victim:
        die_at(point, how)
    started = time.monotonic()
    try:
        store.save(root, 2, laid(rank, size, layout, whole(2)), BLOBS, keep=1)
    except CheckpointError as error:
        return type(error).__name__, str(error), time.monotonic() - started
    return "", "", time.monotonic() - started
