"""What travels through the segments (Flow) and what lies beside them all (Tokens).

Shape letters: B rows, S source length (or keys), T target length (or queries), D width, H heads,
G key/value heads, K head width, V vocabulary.

`Flow` holds float tensors only, so that a pipeline can send it and gradients can come back.
`Tokens` holds what every stage is given for itself: ids, the key/value store of the decoder
(`Store`, pass-through in training), and the `Readout` that turns last states into logits or a loss.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

PAD = 0


class Flow(NamedTuple):
    """The stream between two segments.

    Attributes:
        x: encoder states [B,S,D] up to the bridge, decoder states [B,T,D] from `target` on; after
            `head`, what the readout returned.
        aux: auxiliary loss so far, a scalar shaped [1].
        carry: what the memory rule needs, batch dimension first (TopLayer: nothing in the encoder,
            the memory [B,S,D] after the bridge; Transparent: running mixtures [B,n,S,D]).
    """

    x: Tensor
    aux: Tensor
    carry: tuple[Tensor, ...] = ()


class Seen(NamedTuple):
    """What self-attention sees; rows may be fewer than those that look, which are then several
    beams of one row, one after another.

    Attributes:
        k, v: keys and values [B,G,S,K].
        mask: True where a query of a row sees a key, [B,1,T,S]; None: the past, in order.
        position_BS: of each key in its sentence; None: in order.
    """

    k: Tensor
    v: Tensor
    mask: Tensor | None = None
    position_BS: Tensor | None = None


class Store(Protocol):
    """Where attention keeps keys and values. Heads come second: [B,H,L,K]."""

    @property
    def offset(self) -> int:
        """Position of the first token of this call in its sentence."""

    def self_attention(self, layer: str, k: Tensor, v: Tensor) -> Seen:
        """Take this call's keys and values, give those to attend to."""

    def cross_attention(
        self, layer: str, project: Callable[[], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Keys and values of the memory, projected at most once."""


class PassThrough:
    """The store of training: keeps nothing."""

    offset = 0

    def self_attention(self, layer: str, k: Tensor, v: Tensor) -> Seen:
        return Seen(k, v)

    def cross_attention(
        self, layer: str, project: Callable[[], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        return project()


class Projection(Protocol):
    """States [...,D] to logits [...,V], in any number of leading dimensions, so that a loss may
    project a chunk of the states at a time and never hold all logits."""

    @property
    def table(self) -> Tensor:
        """[V,D]."""

    @property
    def soft_cap(self) -> float:
        """Logits are c tanh(logit / c); 0 is off."""

    def __call__(self, x: Tensor) -> Tensor: ...


# (last states [B,T,D], projection) -> what `head` leaves in Flow.x
Readout = Callable[[Tensor, Projection], Tensor]


def unnoticed(segment: str) -> None:
    """Nobody wants to know which segment comes next."""


def logits(x_BTD: Tensor, project: Projection) -> Tensor:
    """The readout of inference: all logits [B,T,V]."""
    return project(x_BTD)


@dataclass(frozen=True)
class Tokens:
    """Beside the stream: ids, masks, the store and the readout.

    Attributes:
        src_BS: source ids, right-padded with PAD.
        tgt_BT: decoder input ids, right-padded with PAD.
        enter: told the name of each segment before it runs (an engine seeds its dropout there).
        beams: rows of tgt per row of src (1 in training); row b*beams+i belongs to source b.
        src_mask_B11S: True where a source token may be attended to.
    """

    src_BS: Tensor
    tgt_BT: Tensor
    beams: int = 1
    store: Store = field(default_factory=PassThrough)
    readout: Readout = logits
    enter: Callable[[str], None] = unnoticed
    src_mask_B11S: Tensor = field(init=False)

    def __post_init__(self) -> None:
        # once for all layers; no cached_property, whose lock a compiler cannot see through
        object.__setattr__(self, "src_mask_B11S", (self.src_BS != PAD)[:, None, None, :])


def start(src_BS: Tensor) -> Flow:
    """An empty stream for the first segment, whose x nobody reads."""
    return Flow(torch.zeros(0, device=src_BS.device), torch.zeros(1, device=src_BS.device))
