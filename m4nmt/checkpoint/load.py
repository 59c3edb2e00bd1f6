"""Find the newest good training checkpoint and read it, strictly, into tensors that exist.

DCP by itself reads `.metadata` with pickle, ignores unexpected keys, casts dtypes without a word
and checks no hash. Here hashes come first, the metadata goes through an unpickler that knows
a dozen names, and names, shapes and dtypes must agree both ways. Not its job: writing (`store`).
"""

import io
import logging
import pickle
import warnings
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from m4nmt.checkpoint.manifest import CheckpointError, folder_name, verify
from m4nmt.checkpoint.store import DCP, steps

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """A verified checkpoint, and what was wrong with newer ones."""

    path: Path
    step: int
    skipped: tuple[str, ...]


def newest_good(root: Path) -> Found | None:
    """The newest checkpoint whose every file agrees with its manifest; None where there is none.

    Damaged ones are passed over with one log line each.

    Raises:
        CheckpointError: there are checkpoints but none is good; lists what is wrong with each.
    """
    bad: list[str] = []
    for step in reversed(steps(root)):
        path = root / folder_name(step)
        try:
            verify(path)
        except CheckpointError as reason:
            bad.append(f"{path}: {reason}")
            log.warning("skipping the damaged checkpoint %s", bad[-1])
        else:
            return Found(path, step, tuple(bad))
    if bad:
        raise CheckpointError("no checkpoint can be read:\n  " + "\n  ".join(bad))
    return None


def restore(path: Path, tensors: dict[str, Any]) -> dict[str, bytes]:
    """Read a checkpoint into `tensors` in place.

    Returns:
        The blobs that were saved beside them.

    Raises:
        CheckpointError: a file is damaged, or names, shapes or dtypes differ (all are listed).
    """
    try:
        manifest = verify(path)
        metadata = _read_metadata(path / DCP / ".metadata")
    except CheckpointError as reason:
        raise CheckpointError(f"{path} cannot be read: {reason}") from reason
    _agree(path, metadata, tensors)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        state_dict_loader.load(
            dict(tensors),
            storage_reader=_Reader(path / DCP),
            no_dist=not (dist.is_available() and dist.is_initialized()),
        )
    blobs = [name for name in manifest.files if "/" not in name]
    return {name: (path / name).read_bytes() for name in blobs}


def _agree(path: Path, metadata: Metadata, tensors: Mapping[str, Tensor]) -> None:
    """Refuse any difference between what was saved and what is wanted."""
    saved = metadata.state_dict_metadata
    wrong = [f"missing in the checkpoint: {name}" for name in sorted(tensors.keys() - saved.keys())]
    wrong += [f"only in the checkpoint: {name}" for name in sorted(saved.keys() - tensors.keys())]
    for name in sorted(saved.keys() & tensors.keys()):
        entry, tensor = saved[name], tensors[name]
        if not isinstance(entry, TensorStorageMetadata):
            wrong.append(f"{name}: not a tensor in the checkpoint")
            continue
        ours, theirs = (tensor.dtype, tensor.shape), (entry.properties.dtype, entry.size)
        if ours != theirs:
            wrong.append(f"{name}: saved as {_show(*theirs)}, wanted as {_show(*ours)}")
    if wrong:
        more = [f"... and {len(wrong) - 20} more"] if len(wrong) > 20 else []
        raise CheckpointError(
            f"{path} belongs to another model or optimiser:\n  " + "\n  ".join(wrong[:20] + more)
        )


def _show(dtype: torch.dtype, shape: torch.Size) -> str:
    return f"{str(dtype).removeprefix('torch.')} {list(shape)}"


class _Reader(FileSystemReader):
    """DCP's reader with the safe unpickler."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        return _read_metadata(Path(self.path) / ".metadata")


def _read_metadata(path: Path) -> Metadata:
    metadata = _SafeUnpickler(io.BytesIO(path.read_bytes())).load()
    if not isinstance(metadata, Metadata):
        raise CheckpointError(f"{path.name}: holds no metadata of torch.distributed.checkpoint")
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
