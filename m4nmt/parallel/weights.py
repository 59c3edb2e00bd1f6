"""Weights of a laid model as wholes: norms over all ranks, gathering to one, spreading from a copy.

Not its job: what they are used for.
"""

import logging
from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from m4nmt.model.init import Part, all_here
from m4nmt.parallel.mesh import Mesh

# It warns of each gathering of a tensor that is sharded twice, which happens at saves only.
logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)


def local(tensor: Tensor) -> Tensor:
    """What of a tensor lies here, sharing its memory."""
    kept = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return kept.detach()


@torch.no_grad()
def norms(
    tensors: Mapping[str, Tensor], holders: Mapping[str, int], mesh: Mesh, device: torch.device
) -> dict[str, float]:
    """L2 norms of tensors that lie like parameters, every name of every rank on all of them.

    Each rank adds the squares of what it holds, over the number of ranks that hold the same; one
    reduction over a vector of all names.

    Args:
        holders: how many pipeline ranks have each parameter of the whole model, in one order.
    """
    squares = {name: _square_sum(local(t)) / _copies(t, mesh) for name, t in tensors.items()}
    if not mesh.spread:
        return {name: float(square.sqrt()) for name, square in squares.items()}
    zero = torch.zeros((), dtype=torch.float64, device=device)
    vector = torch.stack([squares.get(n, zero).to(device) / held for n, held in holders.items()])
    there = torch.tensor([float(n in squares) for n in holders], device=device)
    both = torch.cat((vector, there.double()))
    dist.all_reduce(both)
    found, there = both.chunk(2)
    return {
        name: value
        for name, value, known in zip(holders, found.sqrt().tolist(), there.tolist(), strict=True)
        if known
    }


def _square_sum(value: Tensor) -> Tensor:
    # Rows first: over a table of millions of numbers one fp32 sum is off by 1e-4 on the CPU.
    rows: Tensor = torch.linalg.vector_norm(value.float(), dim=-1)
    return rows.double().square().sum()


def _copies(tensor: Tensor, mesh: Mesh) -> int:
    """How many ranks of a stage hold the same part of a tensor."""
    behind = mesh.layout.world // mesh.layout.pipeline
    if not isinstance(tensor, DTensor):
        return behind
    parts = 1
    for size, placement in zip(tensor.device_mesh.shape, tensor.placements, strict=True):
        parts *= 1 if placement.is_replicate() else size  # a strided shard is none of `is_shard`
    return behind // parts


def gathered(
    parameters: Mapping[str, nn.Parameter], owners: Mapping[str, int], mesh: Mesh
) -> dict[str, Tensor]:
    """Whole fp32 copies of all weights on the CPU of rank 0; nothing elsewhere.

    Args:
        owners: the pipeline rank that has each parameter of the whole model, in one order.
    """
    place, found = mesh.place, {}
    lane = dist.get_process_group_ranks(mesh.group("pipeline")) if mesh.spread else [0]
    for name, owner in owners.items():
        whole = _whole(parameters[name]) if owner == place.pipeline else None
        if mesh.rank == 0:
            found[name] = whole if whole is not None else _receive(lane[owner])
        elif whole is not None and 0 in lane:
            _send(whole)
    return found


def _receive(rank: int) -> Tensor:
    """A tensor of unknown shape, which `_send` sent."""
    dims = torch.zeros(1, dtype=torch.long)
    dist.recv(dims, rank)
    size = torch.zeros(int(dims), dtype=torch.long)
    dist.recv(size, rank)
    value = torch.empty(size.tolist())
    dist.recv(value, rank)
    return value


def _send(value: Tensor) -> None:
    dist.send(torch.tensor([value.dim()]), 0)
    dist.send(torch.tensor(value.shape), 0)
    dist.send(value.contiguous(), 0)


def _whole(parameter: nn.Parameter) -> Tensor:
    value = parameter.detach()
    value = value.full_tensor() if isinstance(value, DTensor) else value
    return value.to("cpu", torch.float32, copy=True)


def check(parameters: Mapping[str, nn.Parameter], whole: Mapping[str, Tensor], mesh: Mesh) -> None:
    """Refuse weights of another model.

    Raises:
        ValueError: names or shapes differ.
    """
    wrong = sorted(parameters.keys() - whole.keys())
    if mesh.layout.pipeline == 1:
        wrong += sorted(whole.keys() - parameters.keys())
    shared = parameters.keys() & whole.keys()
    wrong += [n for n in sorted(shared) if parameters[n].shape != whole[n].shape]
    if wrong:
        raise ValueError(f"weights of another model: names or shapes differ at {wrong[:5]}")


def part(parameter: Tensor) -> Part:
    """What of a parameter lies here, and where in the whole it lies."""
    if not isinstance(parameter, DTensor):
        return all_here(parameter)
    size, offset = compute_local_shape_and_global_offset(
        parameter.shape, parameter.device_mesh, parameter.placements
    )
    place = tuple(slice(o, o + s) for o, s in zip(offset, size, strict=True))
    return Part(local(parameter), place)


@torch.no_grad()
def assign(parameter: nn.Parameter, value: Tensor) -> None:
    """Copy what belongs here out of a whole tensor that every rank has."""
    here, place = part(parameter)
    here.copy_(value[place])
