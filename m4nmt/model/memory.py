"""Memory rules: what each decoder layer attends to, built up while the stream passes the encoder.

A rule has no state; what it needs travels in `Flow.carry`, batch dimension first, so that a model
may be cut anywhere and its batch split. Shape letters: B rows, S source length, D width,
N sources = encoder layers + 1, M decoder layers.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from m4nmt.model import settings
from m4nmt.model.dropout import Dropout
from m4nmt.model.init import Ruled, zeros

Carry = tuple[Tensor, ...]


class Nothing(nn.Module):
    """The beginning of a rule that carries nothing through the encoder."""

    def forward(self, x_BSD: Tensor) -> Carry:
        return ()


class TopLayer:
    """The encoder's top for every decoder layer."""

    def begin(self) -> nn.Module:
        return Nothing()

    def add(self, carry: Carry, x_BSD: Tensor) -> Carry:
        return carry

    def finish(self, carry: Carry, x_BSD: Tensor, end: Callable[[Tensor], Tensor]) -> Carry:
        return (end(x_BSD),)

    def take(self, carry: Carry) -> tuple[Tensor, Carry]:
        return carry[0], carry


def _mix(acc_BMSD: Tensor | None, weights_BMN: Tensor, x_BSD: Tensor) -> Carry:
    """Add the next source by its weights, and drop them."""
    weight_BM11 = weights_BMN[:, :, 0, None, None].to(x_BSD.dtype)
    x_B1SD = x_BSD[:, None]
    acc_BMSD = x_B1SD * weight_BM11 if acc_BMSD is None else acc_BMSD + x_B1SD * weight_BM11
    rest_BMN = weights_BMN[:, :, 1:]
    return (acc_BMSD, rest_BMN) if rest_BMN.shape[2] else (acc_BMSD,)


class Mixture(Ruled):
    """The weights of transparent attention and the mixtures' first term, the embedding."""

    def __init__(self, config: settings.Transparent, sources: int, readers: int) -> None:
        super().__init__()
        self.rules = {"weight": zeros}
        self.weight = nn.Parameter(torch.empty(readers, sources))
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BSD: Tensor) -> Carry:
        logits_MN = self.dropout(self.weight + 1.0 / self.weight.shape[1])
        weights_BMN = logits_MN.softmax(-1).expand(x_BSD.shape[0], -1, -1)
        return _mix(None, weights_BMN, x_BSD)


class Transparent:
    """A learned mixture of the embedding and all encoder layers for each decoder layer (Bapna et
    al. 2018, section 4), as running sums: the carry is (mixtures so far [B,M,S,D], weights of the
    sources still to come [B,M,.]); each decoder layer takes the first mixture off.

    The weights exist once, in `source`, and travel with the stream: no copy to keep equal.
    """

    def __init__(self, config: settings.Transparent, sources: int, readers: int) -> None:
        self.config, self.sources, self.readers = config, sources, readers

    def begin(self) -> nn.Module:
        return Mixture(self.config, self.sources, self.readers)

    def add(self, carry: Carry, x_BSD: Tensor) -> Carry:
        acc_BMSD, weights_BMN = carry
        return _mix(acc_BMSD, weights_BMN, x_BSD)

    def finish(self, carry: Carry, x_BSD: Tensor, end: Callable[[Tensor], Tensor]) -> Carry:
        return (end(carry[0]),)

    def take(self, carry: Carry) -> tuple[Tensor, Carry]:
        acc_BMSD = carry[0]
        return acc_BMSD[:, 0], (acc_BMSD[:, 1:],) if acc_BMSD.shape[1] > 1 else ()


Rule = TopLayer | Transparent


def build(config: settings.Memory, encoder_layers: int, decoder_layers: int) -> Rule:
    """The rule that `config` describes."""
    if isinstance(config, settings.Transparent):
        return Transparent(config, encoder_layers + 1, decoder_layers)
    return TopLayer()
