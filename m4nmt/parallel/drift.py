"""Whether replicas still hold the same weights: a flipped bit on one of them is seen by no loss and
no gradient norm, since both are reduced over all.

Not its job: when to look, and what follows (the trainer).
"""

import socket
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from m4nmt.core import ranks
from m4nmt.parallel.weights import local


class Drift(NamedTuple):
    """A piece of the weights that its holders do not agree on.

    Attributes:
        name: of the parameter.
        ranks: those in the minority, with their hosts; all holders where there is no majority.
    """

    name: str
    ranks: tuple[str, ...]


def drifts(parameters: Mapping[str, nn.Parameter]) -> list[Drift]:
    """Compare what several ranks hold of the same; every rank must call this.

    Each rank sums the bits of what it holds; sums of the same piece must be equal.
    """
    mine = {(name, *_place(p)): _bits(local(p)) for name, p in parameters.items()}
    told = ranks.gathered((socket.gethostname(), mine))
    pieces: dict[tuple[object, ...], dict[int, list[str]]] = {}
    for rank, (host, sums) in enumerate(told):
        for piece, bits in sums.items():
            pieces.setdefault(piece, {}).setdefault(bits, []).append(f"rank {rank} ({host})")
    found = []
    for piece, holders in pieces.items():
        if len(holders) > 1:
            sizes = sorted(len(names) for names in holders.values())
            most = sizes[-1] if sizes[-1] > sizes[-2] else max(sizes) + 1
            strays = [name for names in holders.values() if len(names) < most for name in names]
            found.append(Drift(str(piece[0]), tuple(strays)))
    return found


def _place(parameter: Tensor) -> tuple[int, ...]:
    """Where in the whole parameter lies what is held here."""
    if not isinstance(parameter, DTensor):
        return ()
    _, offset = compute_local_shape_and_global_offset(
        parameter.shape, parameter.device_mesh, parameter.placements
    )
    return tuple(offset)


def _bits(value: Tensor) -> int:
    """The sum of the bit patterns: any one flipped bit changes it."""
    words = value.contiguous().view(torch.int32 if value.element_size() == 4 else torch.int16)
    return int(words.sum(dtype=torch.int64))
