"""From examples of two lengths to padded batches of a closed set of shapes, with little padding.

Lengths are rounded up to a grid of four significant bits (8 values per power of two, all multiples
of `length_multiple`). Examples are laid in strips by one side, each strip holding whole grid
values, and inside a strip sorted by the other side, up and down in turn (boustrophedon), so that
neighbours are alike on both sides. The line is cut into batches as large as the token budget
allows. The strips' width and the side that makes them are tried out; the least padding wins.
Not its job: which examples these are, or shuffling.
Shape letters: N examples, G grid values.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from m4nmt.core.config import ConfigError
from m4nmt.data.settings import BlockConfig
from m4nmt.data.types import Shape

Ints = NDArray[np.int64]
_SIGNIFICANT_BITS = 4
_STRIP_WIDTHS = (1, 2, 4, 6)  # in batches


class Packing(NamedTuple):
    """Where each example goes.

    Attributes:
        order_N: examples in the order of the batches.
        starts: first place in `order_N` of each batch, and the end of the last.
        shapes: of each batch; only the last may have more rows than examples.
    """

    order_N: Ints
    starts: Ints
    shapes: list[Shape]


def length_grid(config: BlockConfig) -> Ints:
    """All padded lengths there are, rising, up to the first that holds `max_length` [G].

    Raises:
        ConfigError: the budget cannot hold one batch of the longest examples.
    """
    multiple = config.length_multiple
    if min(multiple, config.rows_multiple, config.max_length) < 1:
        raise ConfigError("data.blocks: length_multiple, rows_multiple and max_length must be >= 1")
    lengths = [multiple]
    while lengths[-1] < config.max_length:
        step = 1 << max(0, lengths[-1].bit_length() - _SIGNIFICANT_BITS)
        step = -(-step // multiple) * multiple
        lengths.append((lengths[-1] // step + 1) * step)
    if config.rows_multiple * lengths[-1] > config.tokens:
        raise ConfigError(
            f"data.blocks.tokens: {config.tokens} cannot hold {config.rows_multiple} rows "
            f"(rows_multiple) of {lengths[-1]} tokens (max_length {config.max_length}, rounded "
            "up); raise tokens, or lower max_length or rows_multiple"
        )
    return np.array(lengths, np.int64)


def pack(src_N: Ints, tgt_N: Ints, config: BlockConfig) -> Packing:
    """Lay examples of these (source, target) lengths, specials included, into batches.

    Raises:
        ValueError: an example is longer than `max_length`.
    """
    grid = length_grid(config)
    longest = max(int(src_N.max()), int(tgt_N.max()))
    if longest > config.max_length:
        raise ValueError(
            f"an example has {longest} tokens, data.blocks.max_length is {config.max_length}; "
            "prepare the data again with this setting"
        )
    sides = (np.asarray(src_N, np.int64), np.asarray(tgt_N, np.int64))
    padded = tuple(grid[np.searchsorted(grid, side)] for side in sides)
    best: Packing | None = None
    for first in (0, 1):
        for width in _STRIP_WIDTHS:
            order = _snake(sides[first], sides[1 - first], padded[first], config.tokens * width)
            packing = _cut(order, padded[0][order], padded[1][order], config)
            if best is None or _area(packing) < _area(best):
                best = packing
    assert best is not None
    return best


def _area(packing: Packing) -> int:
    return sum(shape.rows * (shape.src + shape.tgt) for shape in packing.shapes)


def _snake(first_N: Ints, other_N: Ints, padded_N: Ints, least: int) -> Ints:
    """Order by strips of falling `padded_N`, each of at least `least` tokens, and snake inside."""
    values, which_N, counts = np.unique(-padded_N, return_inverse=True, return_counts=True)
    strip_of_value = np.zeros(len(values), np.int64)
    strip, work = 0, 0
    for index, (value, count) in enumerate(zip(values, counts, strict=True)):
        if work >= least:
            strip, work = strip + 1, 0
        strip_of_value[index] = strip
        work += -int(value) * int(count)
    strip_N = strip_of_value[which_N]
    return np.lexsort((first_N, np.where(strip_N % 2 == 0, -other_N, other_N), strip_N))


def _cut(order_N: Ints, src_N: Ints, tgt_N: Ints, config: BlockConfig) -> Packing:
    """Cut a line of examples into batches as large as allowed."""
    multiple, total = config.rows_multiple, len(order_N)
    longer_N = np.maximum(src_N, tgt_N)
    starts, shapes = [0], []
    while (start := starts[-1]) < total:
        window = longer_N[start : start + max(multiple, config.tokens // int(longer_N[start]))]
        need = np.maximum.accumulate(window) * np.arange(1, len(window) + 1)
        fitting = int(np.searchsorted(need, config.tokens, side="right"))
        rows = max(multiple, fitting // multiple * multiple)
        end = min(start + rows, total)
        src, tgt = int(src_N[start:end].max()), int(tgt_N[start:end].max())
        if start + rows >= total:
            # The last one: round its rows up coarsely, lest every block bring another shape.
            rows = multiple << (-(-(end - start) // multiple) - 1).bit_length()
            rows = min(rows, config.tokens // max(src, tgt) // multiple * multiple)
        starts.append(end)
        shapes.append(Shape(rows, src, tgt))
    return Packing(order_N, np.array(starts, np.int64), shapes)
