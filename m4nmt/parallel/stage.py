"""Consecutive segments as an engine runs them: tensors and ids in, tensors or the loss out.

Every engine runs stages: one with all segments, or the stages of a pipeline. What crosses a cut are
float tensors that get gradients, in the precision of the run; ids go beside them to every stage.

Shape letters: B rows, S source length, T target length, D width, M decoder layers, N sources of
the memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from m4nmt.core.seeds import seed_for
from m4nmt.data.types import Shape
from m4nmt.model.flow import Flow, Projection, Tokens, start
from m4nmt.model.settings import ModelConfig, MoEConfig, Transparent
from m4nmt.model.translation import TranslationModel
from m4nmt.parallel.engine import Loss


@dataclass
class Step:
    """What the stages of a process know of the step being computed.

    Attributes:
        number: of the step, `seed`: of the run; dropout follows from both.
        tokens: real target tokens of the global batch.
        pieces: micro-batches of the global batch.
        first: number of this rank's first micro-batch among them.
        loss: this rank's share of the loss so far.
        nll_B: -log p of the rows of each micro-batch, by its number.
    """

    seed: int
    number: int = 0
    tokens: int = 1
    pieces: int = 1
    first: int = 0
    loss: Tensor = field(default_factory=lambda: torch.zeros(()))
    nll_B: dict[int, Tensor] = field(default_factory=dict)

    def begin(self, tokens: int, pieces: int, first: int, device: torch.device) -> None:
        """Of another batch."""
        self.tokens, self.pieces, self.first = tokens, pieces, first
        self.loss, self.nll_B = torch.zeros((), device=device), {}

    def rows(self) -> Tensor:
        """-log p of all rows here, in the order of the batch [B]."""
        return torch.cat([self.nll_B[piece] for piece in sorted(self.nll_B)])

    def seed_segment(self, piece: int, segment: str) -> None:
        """Make dropout a function of run, step, micro-batch and segment: whatever the cut."""
        torch.manual_seed(seed_for(self.seed, "dropout", self.number, piece, segment))


class Stage(nn.Module):
    """Some consecutive segments.

    Args:
        part: the segments.
        following: name of the first segment of the next stage; "" for the last stage.
        loss: what is minimised.
        step: shared by the stages of this process.
        dtype: in which tensors cross the cut.
    """

    def __init__(
        self,
        part: TranslationModel,
        following: str,
        loss: Loss,
        step: Step,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.part = part
        self.following = following
        self.loss = loss
        self.step = step
        self.dtype = dtype

    def forward(
        self, *received: Tensor, src_BS: Tensor, tgt_BT: Tensor, out_BT: Tensor, piece: Tensor
    ) -> Tensor | tuple[Tensor, ...]:
        """One micro-batch: the tensors of the next stage, or this micro-batch's share of the loss.

        Args:
            received: what the stage before gave, see `crossing`.
            piece: number of the micro-batch among this rank's, [1].
        """
        number = self.step.first + int(piece)
        tokens = Tokens(
            src_BS,
            tgt_BT,
            readout=self._readout(number, out_BT),
            enter=self._seeding(number),
        )
        flow = self.part(tokens, self._unpack(received, src_BS))
        if self.following:
            return self._pack(flow)
        share: Tensor = flow.x / self.step.tokens + flow.aux.sum() / self.step.pieces
        self.step.loss += share.detach()
        return share

    def _readout(self, number: int, out_BT: Tensor) -> Callable[[Tensor, Projection], Tensor]:
        def readout(x_BTD: Tensor, project: Projection) -> Tensor:
            objective, self.step.nll_B[number] = self.loss(x_BTD, project, out_BT)
            return objective

        return readout

    def _seeding(self, number: int) -> Callable[[str], None]:
        def enter(segment: str) -> None:
            if self.training:
                self.step.seed_segment(number, segment)

        return enter

    def _pack(self, flow: Flow) -> tuple[Tensor, ...]:
        """What the next stage needs, and nothing else: a tensor nobody reads gets no gradient."""
        wants = Wants.of(self.part.config, self.following)
        kept = [flow.x] if wants.x else []
        kept += flow.carry if wants.carry else ()
        kept += [flow.aux] if wants.aux else []
        return tuple(t.to(self.dtype).contiguous() for t in kept)

    def _unpack(self, received: Sequence[Tensor], src_BS: Tensor) -> Flow | None:
        if not received:
            return None
        wants = Wants.of(self.part.config, self.part.names[0])
        rest, empty = list(received), start(src_BS)
        x = rest.pop(0) if wants.x else empty.x
        aux = rest.pop().float() if wants.aux else empty.aux
        return Flow(x, aux, tuple(rest))


@dataclass(frozen=True)
class Wants:
    """Which parts of a Flow the segment after a cut reads."""

    x: bool
    carry: bool
    aux: bool

    @classmethod
    def of(cls, config: ModelConfig, segment: str) -> "Wants":
        """Of the first segment behind a cut."""
        return cls(
            x=segment != "target",
            carry=segment != "head" and (_past_encoder(segment) or _mixes(config)),
            aux=_has_auxiliary_loss(config, segment),
        )


def _past_encoder(segment: str) -> bool:
    return segment in ("target", "head") or segment.startswith("dec")


def _mixes(config: ModelConfig) -> bool:
    return isinstance(config.memory, Transparent)


def _has_auxiliary_loss(config: ModelConfig, segment: str) -> bool:
    """Whether a layer before `segment` adds to the auxiliary loss."""
    layers = dict(enumerate(config.encoder))
    if segment.startswith("enc"):
        before = [layers[i] for i in range(int(segment[3:]))]
    else:
        done = int(segment[3:]) if segment.startswith("dec") else 0
        done = len(config.decoder) if segment == "head" else done
        before = [*config.encoder, *config.decoder[:done]]
    return any(isinstance(layer.ffn, MoEConfig) for layer in before)


def crossing(
    config: ModelConfig, segment: str, shape: Shape, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """Tensors on `meta` like those that cross the cut before `segment`, for one micro-batch.

    Args:
        segment: first of a stage; the first stage of all receives nothing.
        shape: of the micro-batch.
    """
    if segment == "source":
        return ()
    wants = Wants.of(config, segment)
    B, D = shape.rows, config.dim
    N, M = len(config.encoder) + 1, len(config.decoder)
    sizes: list[tuple[int, ...]] = []
    if wants.x:
        sizes.append((B, shape.tgt if _past_encoder(segment) else shape.src, D))
    if wants.carry and not _mixes(config):
        sizes.append((B, shape.src, D))
    elif wants.carry:
        readers = M - int(segment[3:]) if segment.startswith("dec") else M
        sizes.append((B, readers, shape.src, D))
        passed = N if _past_encoder(segment) else int(segment[3:]) + 1 if segment != "bridge" else N
        if passed < N:
            sizes.append((B, M, N - passed))
    if wants.aux:
        sizes.append((1,))
    return tuple(
        torch.empty(size, dtype=dtype, device="meta", requires_grad=True) for size in sizes
    )
