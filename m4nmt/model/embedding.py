"""Tables: ids to states at the beginning, states to logits at the end.

Shape letters: B rows, L length, T target length, D width, V vocabulary.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m4nmt.model import memory, norm, position
from m4nmt.model.dropout import Dropout
from m4nmt.model.flow import Flow, Tokens
from m4nmt.model.init import Ruled, normal
from m4nmt.model.settings import ModelConfig


class Slices(Protocol):
    """How the words of a table are spread over ranks: this one has `count` from `first` on.

    Attributes:
        words: of the whole table.
    """

    words: int
    first: int
    count: int

    def own(self, table: Tensor) -> Tensor:
        """The rows that lie here, as a plain tensor."""

    def lookup(self, ids_BL: Tensor, table: Tensor) -> Tensor:
        """Rows of the whole table [B,L,D]."""

    def sum_(self, value: Tensor) -> Tensor:
        """Sum over all ranks, in place."""

    def max_(self, value: Tensor) -> Tensor:
        """Largest of all ranks, in place."""


class Unsliced:
    """A table in one piece."""

    first = 0

    def __init__(self, words: int) -> None:
        self.words = self.count = words

    def own(self, table: Tensor) -> Tensor:
        return table

    def lookup(self, ids_BL: Tensor, table: Tensor) -> Tensor:
        return F.embedding(ids_BL, table)

    def sum_(self, value: Tensor) -> Tensor:
        return value

    def max_(self, value: Tensor) -> Tensor:
        return value


class Embedding(Ruled):
    """Rows of a table, scaled, with a position, dropped out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.rules = {"table": normal(config.dim**-0.5)}
        self.table = nn.Parameter(torch.empty(config.vocab, config.dim))
        self.slices: Slices = Unsliced(config.vocab)
        self.scale = config.dim**0.5 if config.scale_embedding else 1.0
        self.position = position.added(config.position, config.dim, config.dim**-0.5)
        self.dropout = Dropout(config.embedding_dropout)

    def embed(self, ids_BL: Tensor, offset: int) -> Tensor:
        """States [B,L,D] of ids at positions from `offset` on."""
        x_BLD = self.slices.lookup(ids_BL, self.table) * self.scale
        kind = ids_BL.device.type
        if torch.is_autocast_enabled(kind):
            x_BLD = x_BLD.to(torch.get_autocast_dtype(kind))
        out: Tensor = self.dropout(self.position(x_BLD, offset))
        return out


class Source(Embedding):
    """The segment `source`: embeds the source and begins the memory."""

    def __init__(self, config: ModelConfig, rule: memory.Rule) -> None:
        super().__init__(config)
        self.memory = rule.begin()

    def forward(self, flow: Flow, tokens: Tokens) -> Flow:
        x_BSD = self.embed(tokens.src_BS, 0)
        return Flow(x_BSD, flow.aux, self.memory(x_BSD))


class Target(Embedding):
    """The segment `target`: embeds the decoder's input; the encoder's stream ends here."""

    def forward(self, flow: Flow, tokens: Tokens) -> Flow:
        return flow._replace(x=self.embed(tokens.tgt_BT, tokens.store.offset))


@dataclass(frozen=True)
class Vocabulary:
    """States [...,D] to logits [...,V], or to those of the words that lie here."""

    table: Tensor
    soft_cap: float
    slices: Slices

    def __call__(self, x: Tensor) -> Tensor:
        return capped(F.linear(x, self.table), self.soft_cap)


def capped(logits: Tensor, soft_cap: float) -> Tensor:
    """c tanh(logit / c); 0 leaves them as they are."""
    return soft_cap * torch.tanh(logits / soft_cap) if soft_cap else logits


class Head(Ruled):
    """The segment `head`: the last norm and the readout of the vocabulary."""

    def __init__(self, config: ModelConfig, normed: bool) -> None:
        super().__init__()
        self.rules = {"table": normal(config.dim**-0.5)}
        self.norm = norm.build(config.norm, config.dim) if normed else nn.Identity()
        self.table = nn.Parameter(torch.empty(config.vocab, config.dim))
        self.slices: Slices = Unsliced(config.vocab)
        self.soft_cap = config.soft_cap

    def forward(self, flow: Flow, tokens: Tokens) -> Flow:
        project = Vocabulary(self.slices.own(self.table), self.soft_cap, self.slices)
        return Flow(tokens.readout(self.norm(flow.x), project), flow.aux)
