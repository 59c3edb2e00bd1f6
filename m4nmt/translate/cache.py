"""The store of decoding: keys and values of the tokens so far, and of the source, kept.

The beams of a sentence share one store of self-attention: every step adds a column for each beam,
and each beam knows which columns are its own past (its *sight*). So a choice of beams moves no key
and no value, only sight; columns that no beam sees any more are swept out now and then. What all
beams have in common, which is nearly all of a long sentence, exists once. The source's keys and
values are projected once a sentence and shared by its beams.

Not its job: which rows go on (`select` is told), or what attention does with keys and values.

Shape letters: B sentences, K beams, R = B*K rows, G key/value heads, C columns, W head width.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from m4nmt.model.flow import Seen

BLOCK = 16  # steps that room is made for at a time


class Cache:
    """A `model.flow.Store` for one batch of sentences; row b*K + i is beam i of sentence b.

    Args:
        sentences: B; there is one beam a sentence until `select` makes more.
    """

    def __init__(self, sentences: int) -> None:
        self.offset = 0
        self._sentences, self._beams, self._columns = sentences, 1, 0
        self._own: dict[str, tuple[_Columns, _Columns]] = {}
        self._source: dict[str, tuple[Tensor, Tensor]] = {}
        self._sight_BKC: Tensor | None = None  # None: every beam sees every column
        self._position_BC: Tensor | None = None  # of each column; None: in order
        self._sweep_at = 0

    def self_attention(self, layer: str, k: Tensor, v: Tensor) -> Seen:
        """Write keys and values [R,G,n,W] as the next columns; give all so far.

        Raises:
            ValueError: several tokens at once of sentences with several beams.
        """
        steps, width = k.shape[2], self._beams
        if width > 1 and steps > 1:
            raise ValueError("beams of one sentence go on by one token at a time")
        if layer not in self._own:
            self._own[layer] = _Columns(k, self._sentences), _Columns(v, self._sentences)
        keys, values = self._own[layer]
        end = self._columns + steps * width
        self._open(end, k.device)
        return Seen(
            keys.write(k, self._columns, end),
            values.write(v, self._columns, end),
            None if self._sight_BKC is None else self._sight_BKC[:, None],
            self._position_BC,
        )

    def cross_attention(
        self, layer: str, project: Callable[[], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Keys and values [B,G,S,W] of the source; `project` is called at the first use only."""
        if layer not in self._source:
            k, v = project()
            self._source[layer] = (k.contiguous(), v.contiguous())
        return self._source[layer]

    def advance(self, count: int) -> None:
        """`count` more tokens of every row are known."""
        self.offset += count
        self._columns += count * self._beams

    def select(self, rows_R: Tensor, sentences_B: Tensor | None) -> None:
        """Row i becomes what row rows_R[i] was, a beam of the same sentence; of the sentences,
        those in `sentences_B` stay, in this order (None: all)."""
        sentences = self._sentences if sentences_B is None else len(sentences_B)
        beams = len(rows_R) // sentences
        if self._sight_BKC is None and max(beams, self._beams) > 1:
            self._branch(rows_R.device)
        if self._sight_BKC is not None:
            sight_RC = self._sight_BKC.flatten(0, 1).index_select(0, rows_R)
            self._sight_BKC = sight_RC.view(sentences, beams, self._columns)
        if sentences_B is not None:
            self._keep(sentences_B)
        self._sentences, self._beams = sentences, beams
        self._sweep()

    def _open(self, end: int, device: torch.device) -> None:
        """Let each beam see the columns it is about to write; once a step, not once a layer."""
        if self._sight_BKC is None or self._sight_BKC.shape[2] == end:
            return
        B, K = self._sentences, self._beams
        own_BKK = torch.eye(K, dtype=torch.bool, device=device).expand(B, K, K)
        self._sight_BKC = torch.cat((self._sight_BKC, own_BKK), 2)
        if self._position_BC is not None:
            here_BK = self._position_BC.new_full((B, K), self.offset)
            self._position_BC = torch.cat((self._position_BC, here_BK), 1)

    def _branch(self, device: torch.device) -> None:
        """From one past that all beams of a sentence see to a sight of each."""
        shape = self._sentences, self._beams, self._columns
        self._sight_BKC = torch.ones(shape, dtype=torch.bool, device=device)
        self._position_BC = torch.arange(self._columns, device=device).expand(self._sentences, -1)

    def _keep(self, sentences_B: Tensor) -> None:
        """Of all but sight, which goes by rows, keep these sentences."""
        moved = _moved(sentences_B)
        for columns in self._stores():
            columns.data = _choose(columns.data, sentences_B, moved)
        self._source = {
            layer: (_choose(k, sentences_B, moved), _choose(v, sentences_B, moved))
            for layer, (k, v) in self._source.items()
        }
        if self._position_BC is not None:
            self._position_BC = self._position_BC.index_select(0, sentences_B)

    def _sweep(self) -> None:
        """Drop columns that no beam of their sentence sees, when they are many."""
        if self._sight_BKC is None or self._columns < self._sweep_at:
            return
        seen_BC = self._sight_BKC.any(1)
        most = int(seen_BC.sum(1).max())
        self._sweep_at = max(most, self._columns // 2) + BLOCK // 2 * self._beams
        if 3 * most > 2 * self._columns:
            return
        order_BC = seen_BC.to(torch.uint8).sort(dim=1, descending=True, stable=True).indices
        kept_BN = order_BC[:, :most]
        self._sight_BKC = self._sight_BKC.take_along_dim(kept_BN[:, None], 2)
        if self._position_BC is not None:
            self._position_BC = self._position_BC.take_along_dim(kept_BN, 1)
        for columns in self._stores():
            columns.data = columns.data.take_along_dim(kept_BN[:, None, :, None], 2)
        self._columns = most

    def _stores(self) -> Iterator["_Columns"]:
        return (columns for pair in self._own.values() for columns in pair)


class _Columns:
    """Keys, or values, of the tokens so far, with room for more: [B,G,room,W]."""

    def __init__(self, like: Tensor, sentences: int) -> None:
        R, G, n, W = like.shape
        self.data = like.new_empty(sentences, G, (BLOCK + n) * R // sentences, W)

    def write(self, x: Tensor, start: int, end: int) -> Tensor:
        """Put x [R,G,n,W] at `start`; give everything up to `end`."""
        B, G, room, W = self.data.shape
        if end > room:
            data = self.data.new_empty(B, G, end + max(end // 2, BLOCK * len(x) // B), W)
            data[:, :, :start] = self.data[:, :, :start]
            self.data = data
        beams_BKGnW = x.view(B, -1, G, x.shape[2], W)
        self.data[:, :, start:end] = beams_BKGnW.transpose(1, 2).flatten(2, 3)
        return self.data[:, :, :end]


def _moved(index: Tensor) -> Tensor:
    """Places whose new content is not their own."""
    return (index != torch.arange(len(index), device=index.device)).nonzero()[:, 0]


def _choose(x: Tensor, index: Tensor, moved: Tensor) -> Tensor:
    """x[index], in place if few move (that takes two copies each)."""
    if len(index) <= len(x) and 3 * len(moved) <= len(index):
        kept = x[: len(index)]
        return kept.index_copy_(0, moved, x.index_select(0, index[moved])) if len(moved) else kept
    return x.index_select(0, index)
