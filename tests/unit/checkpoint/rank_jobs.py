"""What the ranks of a test do in their processes: layouts of one state, saves, loads, faults."""

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from checkpoint_toys import flip
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard, distribute_tensor

from m4nmt.checkpoint import load, store
from m4nmt.checkpoint.manifest import CheckpointError

BLOBS = {"state.json": b'{"step": 1}', "random.bin": bytes(range(256))}

# Of a mesh's shape and placements; "stages": the first half of the ranks and the second have other
# names, and both the tied table, each sharded over its half; "mixed": in two ways.
LAYOUTS: dict[int, dict[str, tuple[tuple[int, ...], tuple[Placement, ...]] | None]] = {
    1: {"plain": None},
    2: {
        "plain": None,
        "rows": ((2,), (Shard(0),)),
        "columns": ((2,), (Shard(1),)),
        "replicas": ((2,), (Replicate(),)),
        "stages": ((1,), (Shard(0),)),
        "plain stages": None,
    },
    4: {
        "rows": ((4,), (Shard(0),)),
        "columns": ((4,), (Shard(1),)),
        "grid": ((2, 2), (Shard(0), Shard(1))),
        "rows twice": ((2, 2), (Shard(0), Shard(0))),
        "hybrid": ((2, 2), (Replicate(), Shard(0))),
        "stages": ((2,), (Shard(0),)),
        "mixed stages": ((2,), (Shard(0),)),
    },
}


def whole(step: int) -> dict[str, Tensor]:
    """The state of a step: sizes that no number of ranks divides, every kind of dtype."""
    generator = torch.Generator().manual_seed(step)
    return {
        "model.tied": torch.randn(7, 5, generator=generator),
        "model.enc.weight": torch.randn(6, 3, generator=generator).bfloat16(),
        "model.dec.weight": torch.randn(3, 9, generator=generator),
        "optim.enc.few": torch.rand(2, 1, generator=generator, dtype=torch.float64),
        "optim.dec.step": torch.tensor(float(step)),
        "optim.dec.count": torch.randint(0, 99, (5, 2), generator=generator),
    }


def laid(rank: int, size: int, layout: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A rank's part of a state under a layout."""
    plan, half = LAYOUTS[size][layout], rank // max(size // 2, 1)
    if layout.endswith("stages"):
        other = ("dec", "enc")[half]
        tensors = {n: t for n, t in tensors.items() if f".{other}." not in n}
    if plan is None:
        return {name: tensor.clone() for name, tensor in tensors.items()}
    shape, placements = plan
    if layout == "mixed stages" and half:
        placements = (Shard(1),)
    first = half * (size // 2) if layout.endswith("stages") else 0
    members = torch.arange(first, first + torch.Size(shape).numel()).reshape(shape)
    mesh = DeviceMesh("cpu", members, _init_backend=False)
    return {name: _placed(tensor, mesh, placements) for name, tensor in tensors.items()}


def _placed(tensor: Tensor, mesh: DeviceMesh, placements: tuple[Placement, ...]) -> Tensor:
    fit = [
        p if not isinstance(p, Shard) or p.dim < tensor.dim() else Replicate() for p in placements
    ]
    return distribute_tensor(tensor, mesh, fit, src_data_rank=None)


def zeros(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}


def local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def alike(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two parts of one layout hold the same bits."""
    return a.keys() == b.keys() and all(torch.equal(local(a[n]), local(b[n])) for n in a)


# ---- jobs


def save_each(rank: int, size: int, root: Path, step: int) -> list[str]:
    """Save a state under every layout; gives the folders."""
    for layout in LAYOUTS[size]:
        folder = root / f"{size} {layout}"
        path = store.save(folder, step, laid(rank, size, layout, whole(step)), BLOBS)
        assert path == folder / f"step-{step:010d}"
    return sorted(path.name for path in root.iterdir())


def load_each(rank: int, size: int, root: Path, step: int, most: int) -> list[str]:
    """Read each saved one under `most` layouts, other ones each time; gives what was wrong."""
    wrong = []
    for number, folder in enumerate(sorted(root.iterdir())):
        found = load.newest_good(folder)
        assert found == (folder / f"step-{step:010d}", step, ())
        for layout in [*LAYOUTS[size], *LAYOUTS[size]][number % len(LAYOUTS[size]) :][:most]:
            expected = laid(rank, size, layout, whole(step))
            into = zeros(expected)
            held = dict(into)
            blobs = load.restore(found.path, into)
            same = alike(into, expected) and all(into[n] is held[n] for n in held)
            if not same or blobs != BLOBS or alike(into, laid(rank, size, layout, whole(9))):
                wrong.append(f"{folder.name} -> {layout}")
    return wrong


def differences(rank: int, size: int, path: Path) -> list[str]:
    """Messages for what only rank 1 wants otherwise."""

    def refused(change: Callable[[dict[str, Tensor]], object]) -> str:
        into = zeros(laid(rank, size, "stages", whole(1)))
        if rank == 1:
            change(into)
        try:
            load.restore(path, into)
        except CheckpointError as error:
            touched = any(local(tensor).any() for tensor in into.values())
            return "changed its tensors" if touched else str(error)
        return ""

    name = "model.dec.weight"
    return [
        refused(lambda into: None),
        refused(lambda into: into.pop(name)),
        refused(lambda into: into.update(new=torch.zeros(1))),
        refused(lambda into: into.update({name: torch.zeros(3, 8)})),
        refused(lambda into: into.update({"model.tied": into["model.tied"].double()})),
    ]


@contextmanager
def fault(what: str) -> Iterator[None]:
    """Break one thing in this process."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "some file")
    places = {
        "plan": (store, "_check"),
        "write": (store, "write"),
        "fsync": (os, "fsync"),
        "hash": (store, "entry"),
        "metadata": (store, "finish"),
        "blob": (store, "write_atomic"),
        "manifest": (store, "describe"),
        "rename": (Path, "rename"),
        "read back": (store, "verify"),
    }
    with mock.patch.object(*places[what], side_effect=full):
        yield


LEADERS = ("metadata", "blob", "manifest", "rename")
FAULTS = [
    (what, victim)
    for what in ("plan", "write", "fsync", "hash", "read back", *LEADERS)
    for victim in ((0,) if what in LEADERS else (0, 1))
]


def fail_each(rank: int, size: int, root: Path) -> list[tuple[str, list[str]]]:
    """Every fault on every rank: the message, and what the folder then holds."""
    store.save(root, 1, laid(rank, size, "rows", whole(1)), BLOBS)
    seen = []
    for what, victim in FAULTS:
        message = ""
        try:
            with fault(what) if rank == victim else mock.patch.object(store, "log"):
                store.save(root, 2, laid(rank, size, "rows", whole(2)), BLOBS, keep=1)
        except CheckpointError as error:
            message = str(error)
        dist.barrier()
        found = load.newest_good(root)
        assert found == (root / "step-0000000001", 1, ())
        seen.append((message, sorted(path.name for path in root.iterdir())))
        dist.barrier()
    store.save(root, 2, laid(rank, size, "rows", whole(2)), BLOBS, keep=1)
    dist.barrier()
    seen.append(("", sorted(path.name for path in root.iterdir())))
    return seen


def real_fault(rank: int, size: int, root: Path) -> str:
    """Rank 1 may write only so much, as under a quota."""
    import resource

    tensors = {**laid(rank, size, "plain", whole(1)), f"big{rank}": torch.zeros(100_000)}
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if rank == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        store.save(root, 1, tensors, BLOBS)
    except CheckpointError as error:
        return str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    return ""


def unlike(rank: int, size: int, root: Path) -> list[str]:
    """States that make no whole."""
    states: list[tuple[int, dict[str, Any]]] = [
        (rank, {"a": torch.zeros(2)}),
        (1, {"a": torch.zeros(2 + rank)}),
        (1, {"a": torch.zeros(2, dtype=(torch.float32, torch.int32)[rank])}),
        (1, {"a": (torch.zeros(1), 0.5)[rank]}),
    ]
    messages = []
    for step, tensors in states:
        try:
            store.save(root, step, tensors, {})
        except CheckpointError as error:
            messages.append(str(error))
    return messages


def flips(rank: int, size: int, root: Path) -> list[Any]:
    """With one bit of each file of the newest flipped in turn: what is found."""
    for step in (1, 2):
        store.save(root, step, laid(rank, size, "rows", whole(step)), BLOBS)
    newest = root / "step-0000000002"
    answers = []
    for path in sorted(p for p in newest.rglob("*") if p.is_file()):
        found = []
        for _ in range(2):
            if rank == 0:
                flip(path, 8 * 3)
            dist.barrier()
            answer = load.newest_good(root)
            assert answer is not None
            found.append((answer.step, answer.skipped))
            dist.barrier()
        answers.append((path.relative_to(newest).as_posix(), *found))
    return answers


def views(rank: int, size: int, root: Path) -> list[Any]:
    """What is written and found where rank 1 never sees the leader's folder, and where late."""
    mine = root / ("real" if rank == 0 else "view")
    messages = []
    try:
        store.save(mine, 1, laid(rank, size, "rows", whole(1)), BLOBS)
    except CheckpointError as error:
        messages.append(str(error))
    store.save(root / "real", 1, laid(rank, size, "rows", whole(1)), BLOBS)
    try:
        load.newest_good(mine)
    except CheckpointError as error:
        messages.append(str(error))
    if rank == 1:
        threading.Timer(0.7, lambda: mine.symlink_to(root / "real")).start()
    found = load.newest_good(mine)
    assert found == (mine / "step-0000000001", 1, ())
    into = zeros(laid(rank, size, "columns", whole(1)))
    load.restore(found.path, into)
    assert alike(into, laid(rank, size, "columns", whole(1)))
    return messages
