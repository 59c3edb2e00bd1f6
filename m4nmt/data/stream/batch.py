"""Ids of planned rows, and padded tensors out of them, without a Python loop over rows.

Shape letters: B rows, S source length, T target length, R rows of a chunk, W length of a side,
D directions, K tags.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from m4nmt.data.stream.plan import BlockPlan, Reader
from m4nmt.data.types import Batch, Shape, Slices

Ints = NDArray[np.int64]


class Side(NamedTuple):
    """Ids of one side of some rows: row r is values[starts_R[r] : starts_R[r] + lengths_R[r]]."""

    values: Tensor
    starts_R: Tensor
    lengths_R: Tensor


class Chunk(NamedTuple):
    """The rows of some consecutive batches, of one rank; tensors, so that they cross processes
    through shared memory.

    Attributes:
        direction_R: of each row; -1 is padding.
        src, tgt: text ids.
        shapes: of each batch here, as this rank sees it.
        first_rows: where each batch begins.
        tokens: real target tokens of each global batch.
        first: number of the first batch in its block.
        last: whether the block ends with this chunk.
    """

    direction_R: Tensor
    src: Side
    tgt: Side
    shapes: list[Shape]
    first_rows: list[int]
    tokens: list[int]
    first: int
    last: bool


def fetch(
    reader: Reader,
    plan: BlockPlan,
    first: int,
    end: int,
    rank: int = 0,
    world: int = 1,
    pieces: int = 1,
) -> Chunk:
    """Read the rows that `rank` of `world` has of batches `first` to `end` of a block.

    A rank holds an equal, contiguous part of each batch's rows, a multiple of `pieces`. Where they
    do not divide, rows of padding stand at the end.
    """
    places = plan.places[first:end]
    shapes = [
        Shape(-(-shape.rows // (world * pieces)) * pieces, shape.src, shape.tgt)
        for shape in plan.shapes[first:end]
    ]
    parts = []
    for (start, stop), shape in zip(places.tolist(), shapes, strict=True):
        row = start + rank * shape.rows + np.arange(shape.rows)
        parts.append(np.where(row < stop, row, -1))
    place_R = np.concatenate(parts)
    direction_R = np.where(place_R >= 0, plan.direction_N[place_R], -1)
    example_R = plan.example_N[place_R]
    src, tgt = _read(reader, direction_R, example_R)
    first_rows = np.cumsum([0, *map(len, parts)]).tolist()
    return Chunk(
        torch.from_numpy(direction_R),
        src,
        tgt,
        shapes,
        first_rows,
        plan.tokens[first:end].tolist(),
        first,
        end == len(plan.shapes),
    )


def _read(reader: Reader, direction_R: Ints, example_R: Ints) -> tuple[Side, Side]:
    """Ids of rows; padding rows come out empty."""
    real = np.flatnonzero(direction_R >= 0)
    src, tgt = reader.tokens(direction_R[real], example_R[real])
    return _side(src, real, len(direction_R)), _side(tgt, real, len(direction_R))


def _side(found: Slices, real: Ints, rows: int) -> Side:
    starts_R, lengths_R = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    starts_R[real], lengths_R[real] = found.starts_N, found.lengths_N
    # one id more, so that a row at the very end may be read one place too far
    values = np.append(found.values, found.values.dtype.type(0))
    return Side(*map(torch.from_numpy, (values, starts_R, lengths_R)))


def assemble(chunk: Chunk, reader: Reader, index: int) -> Batch:
    """Pad batch `index` of a chunk."""
    shape = chunk.shapes[index]
    rows = slice(chunk.first_rows[index], chunk.first_rows[index] + shape.rows)
    direction_B = chunk.direction_R[rows].numpy()
    real_B = direction_B >= 0
    tags_B = np.where(real_B, reader.tag_count_D[direction_B], 0)
    src_BS = _padded(chunk.src, rows, tags_B, shape.src, reader.pad)
    for tag in range(int(tags_B.max(initial=0))):
        here = np.flatnonzero(tags_B > tag)
        src_BS[here, tag] = reader.tags_DK[direction_B[here], tag]
    end_B = tags_B + chunk.src.lengths_R[rows].numpy()
    src_BS[real_B, end_B[real_B]] = reader.eos
    none_B = np.zeros_like(tags_B)
    out_BT = _padded(chunk.tgt, rows, none_B, shape.tgt, reader.pad)
    tgt_BT = np.full_like(out_BT, reader.pad)
    tgt_BT[:, 1:] = out_BT[:, :-1]
    tgt_BT[real_B, 0] = reader.bos
    out_BT[real_B, chunk.tgt.lengths_R[rows].numpy()[real_B]] = reader.eos
    ids = [torch.from_numpy(array) for array in (src_BS, tgt_BT, out_BT)]
    return Batch(ids[0], ids[1], ids[2], chunk.direction_R[rows], shape, chunk.tokens[index])


def _padded(side: Side, rows: slice, shift_B: Ints, width: int, pad: int) -> Ints:
    """Rows of ids, each moved right by its shift, padded to `width` [B, W]."""
    starts_B = side.starts_R[rows].numpy() - shift_B
    column_BW = np.arange(width)[None, :]
    inside_BW = column_BW >= shift_B[:, None]
    inside_BW &= column_BW < (shift_B + side.lengths_R[rows].numpy())[:, None]
    index_BW = np.where(inside_BW, starts_B[:, None] + column_BW, 0)
    return np.where(inside_BW, side.values.numpy()[index_BW], pad).astype(np.int64)
