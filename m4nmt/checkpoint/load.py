"""Find the newest good training checkpoint and read it, strictly, into tensors that exist.

DCP by itself reads `.metadata` with pickle, ignores unexpected keys, casts dtypes without a word
and checks no hash. Here hashes come first, the metadata goes through an unpickler that knows
a dozen names, and names, shapes and dtypes must agree both ways. Where several processes (ranks)
train, each hashes a part, all find the same checkpoint, and each reads what its own layout wants,
whichever layout wrote it. Not its job: writing (`store`).
"""

import io
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from m4nmt.checkpoint import tensors as dcp
from m4nmt.checkpoint.manifest import (
    NAME,
    CheckpointError,
    LostRanksError,
    folder_name,
    read_manifest,
    verify,
    wait_for,
)
from m4nmt.checkpoint.store import DCP, LINE, TIMEOUT, reason, steps
from m4nmt.core import ranks
from m4nmt.core.ranks import LostRankError, RankError, Ranks

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """A verified checkpoint, and what was wrong with newer ones."""

    path: Path
    step: int
    skipped: tuple[str, ...]


def newest_good(root: Path) -> Found | None:
    """The newest checkpoint whose every file agrees with its manifest; None where there is none.

    Damaged ones are passed over with one log line each. Where torch.distributed runs, every rank
    must call this, and all get the same answer.

    Raises:
        CheckpointError: there are checkpoints but none is good; lists what is wrong with each. Or a
            rank does not see what the leader sees.
        LostRanksError: a rank is gone or hangs.
    """
    with _together(root):
        order = ranks.shared(LINE, TIMEOUT).led(lambda: steps(root)[::-1])
    return first_good(root, order)


def first_good(root: Path, order: Sequence[int]) -> Found | None:
    """The first of the checkpoints of these steps that is good; otherwise as `newest_good`."""
    bad: list[str] = []
    with _together(root):
        world = ranks.shared(LINE, TIMEOUT)
        for step in order:
            path = root / folder_name(step)
            wrong = _damage(world, path)
            if not wrong:
                return Found(path, step, tuple(bad))
            bad.append(f"{path}: {wrong}")
            log.warning("skipping the damaged checkpoint %s", bad[-1])
    if bad:
        raise CheckpointError("no checkpoint can be read:\n  " + "\n  ".join(bad))
    return None


def restore(path: Path, tensors: dict[str, Any]) -> dict[str, bytes]:
    """Read a checkpoint into `tensors` in place.

    Where torch.distributed runs, every rank must call this, with tensors or DTensors of its own
    layout and of its own stage of a pipeline: together the ranks must want all that was saved.

    Returns:
        The blobs that were saved beside them.

    Raises:
        CheckpointError: a file is damaged, or names, shapes or dtypes differ (all are listed).
        LostRanksError: a rank is gone or hangs.
    """
    with _together(path):
        world = ranks.shared(LINE, TIMEOUT)
        wrong = _damage(world, path)
        try:
            if wrong:
                raise CheckpointError(wrong)
            data, blobs = world.led(lambda: _small_files(path), reason)
            metadata = _metadata(data)
        except CheckpointError as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        _agree(world, path, metadata, tensors)
        world.agree(lambda: dcp.read(path / DCP, metadata, tensors), reason)
    return blobs


@contextmanager
def _together(path: Path) -> Iterator[None]:
    """Turn what other ranks reported into one message."""
    try:
        yield
    except LostRankError as error:
        raise LostRanksError(f"{path} was not read: {error}") from error
    except RankError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _damage(world: Ranks, path: Path) -> str:
    """What is wrong with a checkpoint, the same answer on every rank; empty: nothing."""

    def of_manifest() -> str:
        return _complaint(lambda: read_manifest(path))

    def of_part() -> str:
        wait_for(path / NAME)
        return _complaint(lambda: verify(path, part=world.rank, parts=world.size))

    return world.led(of_manifest) or next(filter(None, world.agree(of_part, reason)), "")


def _complaint(job: Callable[[], object]) -> str:
    try:
        job()
    except CheckpointError as error:
        return str(error)
    return ""


def _small_files(path: Path) -> tuple[bytes, dict[str, bytes]]:
    """Metadata and blobs, which the leader reads for all."""
    names = [name for name in read_manifest(path).files if "/" not in name]
    return (path / DCP / ".metadata").read_bytes(), {n: (path / n).read_bytes() for n in names}


def _agree(world: Ranks, path: Path, metadata: Metadata, tensors: Mapping[str, Tensor]) -> None:
    """Refuse any difference between what was saved and what is wanted by all ranks together."""
    saved = metadata.state_dict_metadata
    missing = [f"missing in the checkpoint: {name}" for name in tensors.keys() - saved.keys()]
    differing = []
    for name in saved.keys() & tensors.keys():
        entry, tensor = saved[name], tensors[name]
        if not isinstance(entry, TensorStorageMetadata):
            differing.append(f"{name}: not a tensor in the checkpoint")
            continue
        ours, theirs = (tensor.dtype, tensor.shape), (entry.properties.dtype, entry.size)
        if ours != theirs:
            differing.append(f"{name}: saved as {_show(*theirs)}, wanted as {_show(*ours)}")
    answers = world.collected((list(tensors), missing, differing))
    wrong = world.led(lambda: _differences(set(saved), answers))
    if wrong:
        more = [f"... and {len(wrong) - 20} more"] if len(wrong) > 20 else []
        raise CheckpointError(
            f"{path} belongs to another model or optimiser:\n  " + "\n  ".join(wrong[:20] + more)
        )


def _differences(
    saved: set[str], answers: list[tuple[list[str], list[str], list[str]]]
) -> list[str]:
    """Lines of all ranks, and what no rank wants."""
    unwanted = saved.difference(*(names for names, _, _ in answers))
    lines = {line for _, missing, _ in answers for line in missing}
    others = {line for _, _, differing in answers for line in differing}
    only = [f"only in the checkpoint: {name}" for name in sorted(unwanted)]
    return [*sorted(lines), *only, *sorted(others)]


def _show(dtype: torch.dtype, shape: torch.Size) -> str:
    return f"{str(dtype).removeprefix('torch.')} {list(shape)}"


def _metadata(data: bytes) -> Metadata:
    metadata = _SafeUnpickler(io.BytesIO(data)).load()
    if not isinstance(metadata, Metadata):
        raise CheckpointError(".metadata: holds no metadata of torch.distributed.checkpoint")
    return metadata


_NAMES = {
    "torch.distributed.checkpoint.metadata": {
        "Metadata",
        "TensorStorageMetadata",
        "BytesStorageMetadata",
        "TensorProperties",
        "ChunkStorageMetadata",
        "MetadataIndex",
        "StorageMeta",
        "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.serialization": {"_get_layout"},
    "pathlib": {"PosixPath", "Path"},
    "pathlib._local": {"PosixPath", "Path"},
    "collections": {"OrderedDict"},
}


def _member(kind: Any, name: str) -> Any:
    """Stands in for getattr, by which Python 3.11.0 to 3.11.3 pickle the members of an enum."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind[name]
    raise CheckpointError(
        f".metadata: asks for {name} of {kind!r}, which no checkpoint of ours does"
    )


class _SafeUnpickler(pickle.Unpickler):
    """Knows the names that DCP's metadata is made of and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and (
            name == "Size" or isinstance(getattr(torch, name, None), torch.dtype)
        ):
            return getattr(torch, name)
        if (module, name) == ("builtins", "getattr"):
            return _member
        if name in _NAMES.get(module, ()):
            return super().find_class(module, name)
        raise CheckpointError(f".metadata: names {module}.{name}, which no checkpoint of ours does")
