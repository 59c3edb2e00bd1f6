"""Tensors of all ranks in and out of one folder, in torch's distributed checkpoint format (DCP).

DCP's planner, writer and reader do the work; the messages between the ranks go over
`core.ranks`, so that a rank that fails or dies is known to all. Plain tensors and DTensors mix. A
name may be on many ranks: replicas share the writing; of a table tied over two pipeline stages the
first stage writes. Not its job: hashes, durability, the commit (`store`), trust (`load`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex, TensorStorageMetadata
from torch.distributed.checkpoint.planner import SavePlan
from torch.distributed.checkpoint.storage import WriteResult
from torch.distributed.tensor import DTensor

from m4nmt.core.ranks import Ranks

COPY_AHEAD = 10_000_000  # bytes on their way from a GPU while others are written
_PLAIN = -1


@dataclass(frozen=True)
class Share:
    """What this rank writes of a checkpoint.

    Attributes:
        plan: its pieces.
        data: place -> local tensor, of its pieces and maybe more.
        metadata: of the whole checkpoint; on the leader only.
        size: bytes of the whole checkpoint's tensors.
    """

    plan: SavePlan
    data: Mapping[MetadataIndex, Tensor]
    metadata: Metadata | None
    size: int

    def copied(self) -> "Share":
        """With its pieces copied to the CPU: what happens to the tensors later does not matter."""
        indices = [item.index for item in self.plan.items]
        copies = {index: _copy(self.data[index]) for index in indices}
        if any(self.data[index].is_cuda for index in indices):
            torch.cuda.synchronize()
        return replace(self, data=copies)


class Offer(NamedTuple):
    """What a rank has: pieces, and for each name the lowest rank that it is laid over."""

    plan: SavePlan
    homes: dict[str, int]


def share(world: Ranks, tensors: Mapping[str, Tensor]) -> Share:
    """Divide the writing among all ranks that call this.

    Args:
        tensors: names to this rank's tensors; plain ones of one name are the same on every rank.

    Raises:
        ValueError: tensors of one name differ in shape or dtype, or do not make up a whole.
        RankError: the same, in a world of several.
    """
    planner = DefaultSavePlanner()

    def offer() -> tuple[Offer, dict[MetadataIndex, Tensor]]:
        planner.set_up_planner(dict(tensors), is_coordinator=world.leader)
        plan = planner.create_local_plan()
        data = {item.index: planner.lookup_object(item.index).detach() for item in plan.items}
        return Offer(plan, {name: _home(tensor) for name, tensor in tensors.items()}), data

    ((mine, data), *_) = _privately(world, offer)
    offers = world.collected(mine)
    merged: list[tuple[list[SavePlan], Metadata]] = []
    size = world.led(lambda: _merge(planner, offers, merged))
    plans, metadata = merged[0] if world.leader else ([], None)
    return Share(world.dealt(plans), data, metadata, size)


def _privately(world: Ranks, job: Any) -> list[Any]:
    """Run a job everywhere, agree on failure, keep what it gave to this rank."""
    kept: list[Any] = []
    world.agree(lambda: kept.append(job()))
    return kept


def _home(tensor: Tensor) -> int:
    if isinstance(tensor, DTensor):
        return int(tensor.device_mesh.mesh.min())
    return _PLAIN


def _merge(
    planner: DefaultSavePlanner,
    offers: list[Offer],
    into: list[tuple[list[SavePlan], Metadata]],
) -> int:
    """All ranks' plans without duplicates, and the metadata; returns the bytes of the tensors."""
    first: dict[str, int] = {}
    for offer in offers:
        for name, home in offer.homes.items():
            first[name] = min(home, first.get(name, home))
    _one_kind(offers)
    plans = []
    for plan, homes in offers:
        items = [i for i in plan.items if homes[i.index.fqn] == first[i.index.fqn]]
        plans.append(replace(plan, items=items))
    plans, metadata = planner.create_global_plan(plans)
    lost = sorted(first.keys() - metadata.state_dict_metadata.keys())
    if lost:
        raise ValueError(f"no rank of its mesh gives {', '.join(lost[:5])}")
    into.append((FileSystemWriter("").prepare_global_plan(plans), metadata))
    entries = metadata.state_dict_metadata.values()
    return sum(
        math.prod(entry.size) * entry.properties.dtype.itemsize
        for entry in entries
        if isinstance(entry, TensorStorageMetadata)
    )


def _one_kind(offers: list[Offer]) -> None:
    """Tensors of one name must be one tensor; DCP would take the first without a word."""
    kinds: dict[str, tuple[Any, int]] = {}
    for rank, offer in enumerate(offers):
        for item in offer.plan.items:
            data = item.tensor_data
            if data is None:
                continue
            kind = (tuple(data.size), data.properties.dtype)
            known, where = kinds.setdefault(item.index.fqn, (kind, rank))
            if known != kind:
                raise ValueError(
                    f"{item.index.fqn} is {known} on rank {where} and {kind} on rank {rank}"
                )


def _copy(tensor: Tensor) -> Tensor:
    if not tensor.is_cuda:
        return tensor.clone()
    place = torch.empty_like(tensor, device="cpu", pin_memory=True)
    return place.copy_(tensor, non_blocking=True)


class _Written(DefaultSavePlanner):
    """DCP's planner at the time of writing: only looks tensors up."""

    def __init__(self, data: Mapping[MetadataIndex, Tensor]) -> None:
        super().__init__()
        self._data = data

    def lookup_object(self, index: MetadataIndex) -> Any:
        return self._data[index]


def _writer(folder: Path, ahead: int = 0) -> FileSystemWriter:
    # Serial where nothing is on a GPU: the other way would wake GPU 0 in every rank's thread.
    return FileSystemWriter(folder, sync_files=False, overwrite=False, per_thread_copy_ahead=ahead)


def write(world: Ranks, share: Share, folder: Path) -> tuple[list[WriteResult], list[Path]]:
    """Write this rank's pieces into a folder that exists.

    Returns:
        What the leader needs to `finish`, and the files, which are not durable yet.
    """
    on_gpu = any(tensor.is_cuda for tensor in share.data.values())
    writer = _writer(folder, COPY_AHEAD if on_gpu else 0)
    writer.set_up_storage_writer(world.leader, rank=world.rank, use_collectives=True)
    planner = _Written(share.data)
    results = writer.write_data(planner.finish_plan(share.plan), planner).wait()
    return results, sorted(folder.glob(f"__{world.rank}_*"))


def finish(share: Share, folder: Path, results: list[list[WriteResult]]) -> Path:
    """Write the metadata, on the leader, once all have written; gives the file, not durable yet."""
    if share.metadata is None:
        raise ValueError("only the leader knows the whole checkpoint")
    writer = _writer(folder)
    writer.set_up_storage_writer(True, rank=0, use_collectives=True)
    writer.finish(share.metadata, results)
    return folder / ".metadata"


class _Reader(FileSystemReader):
    """DCP's reader, which would read metadata with pickle: it must be given them instead."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        raise RuntimeError("metadata are read by `load` only")


def read(folder: Path, metadata: Metadata, tensors: Mapping[str, Tensor]) -> None:
    """Fill this rank's tensors in place; whatever layout wrote the folder, no rank need be asked.

    Args:
        metadata: of the folder; names, shapes and dtypes must have been compared.
    """
    reader, planner = _Reader(folder), DefaultLoadPlanner()
    reader.set_up_storage_reader(metadata, is_coordinator=False)
    planner.set_up_planner(dict(tensors), metadata, is_coordinator=False)
    plan = reader.prepare_local_plan(planner.create_local_plan())
    reader.read_data(planner.finish_plan(plan), planner).wait()
