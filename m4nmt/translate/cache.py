"""The store of decoding: keys and values of the tokens so far, and of the source, kept.

Self-attention's lie in preallocated room that grows by blocks, so that a step writes one position.
A choice of beams copies whole rows into the room that the last choice left, or, where few rows
move, those alone. The source's are projected once a sentence and shared by its beams.

Not its job: which rows go on (`select` is told), or what attention does with keys and values.

Shape letters: B sentences, R rows, G key/value heads, L positions, K head width.
"""

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 16


class Cache:
    """A `model.flow.Store` for one batch of sentences."""

    def __init__(self) -> None:
        self.offset = 0
        self._own: dict[str, tuple[_Rows, _Rows]] = {}
        self._source: dict[str, tuple[Tensor, Tensor]] = {}
        self._spare = torch.empty(0)

    def self_attention(self, layer: str, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write keys and values [R,G,n,K] at the offset; give all so far, [R,G,offset+n,K]."""
        if layer not in self._own:
            self._own[layer] = _Rows(k), _Rows(v)
        keys, values = self._own[layer]
        return keys.write(k, self.offset), values.write(v, self.offset)

    def cross_attention(
        self, layer: str, project: Callable[[], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Keys and values [B,G,S,K] of the source; `project` is called at the first use only."""
        if layer not in self._source:
            k, v = project()
            self._source[layer] = (k.contiguous(), v.contiguous())
        return self._source[layer]

    def advance(self, count: int) -> None:
        """`count` more tokens of every row are known."""
        self.offset += count

    def select(self, rows_R: Tensor, sentences_B: Tensor | None) -> None:
        """Row i becomes what row rows_R[i] was; sentences likewise (None: all stay)."""
        moved = _moved(rows_R)
        for rows in (rows for pair in self._own.values() for rows in pair):
            data = _choose(rows.data, rows_R, moved, self._spare)
            if data.data_ptr() != rows.data.data_ptr():
                self._spare = rows.data
            rows.data = data
        if sentences_B is not None:
            none, moved = torch.empty(0), _moved(sentences_B)
            self._source = {
                layer: (_choose(k, sentences_B, moved, none), _choose(v, sentences_B, moved, none))
                for layer, (k, v) in self._source.items()
            }


class _Rows:
    """Keys, or values, of the tokens so far, with room for more: [R,G,room,K]."""

    def __init__(self, like: Tensor) -> None:
        R, G, _, K = like.shape
        self.data = like.new_empty(R, G, BLOCK, K)

    def write(self, x: Tensor, offset: int) -> Tensor:
        """Put x [R,G,n,K] at the offset; give everything up to its end."""
        end = offset + x.shape[2]
        if end > self.data.shape[2]:
            R, G, _, K = self.data.shape
            room = self.data.new_empty(R, G, -(-end // BLOCK) * BLOCK, K)
            room[:, :, :offset] = self.data[:, :, :offset]
            self.data = room
        self.data[:, :, offset:end] = x
        return self.data[:, :, :end]


def _moved(index: Tensor) -> Tensor:
    """Places whose new content is not their own."""
    return (index != torch.arange(len(index), device=index.device)).nonzero()[:, 0]


def _choose(x: Tensor, index: Tensor, moved: Tensor, spare: Tensor) -> Tensor:
    """x[index], in place if few rows move (that takes two copies a row), else in the spare room if
    it is large enough (fresh memory costs more than the copying)."""
    if len(index) <= len(x) and 3 * len(moved) <= len(index):
        kept = x[: len(index)]
        return kept.index_copy_(0, moved, x.index_select(0, index[moved])) if len(moved) else kept
    fits = spare.shape[1:] == x.shape[1:] and len(spare) >= len(index) and spare.dtype == x.dtype
    room = spare[: len(index)] if fits else x.new_empty(len(index), *x.shape[1:])
    return torch.index_select(x, 0, index, out=room)
