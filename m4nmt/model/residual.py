"""Residual rules: how sub-layers join the stream.

A rule owns the norms of a layer and its residual dropout; it is given the sub-layers as functions
of the (possibly normalised) stream. Shape letters: B rows, L length, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from m4nmt.model import norm, settings
from m4nmt.model.dropout import Dropout

Branch = Callable[[Tensor], Tensor]
Kind = Literal["layer", "rms"]


@dataclass(frozen=True)
class Place:
    """Where a layer stands: DeepNorm's constants depend on it."""

    stack: Literal["encoder", "decoder"]
    encoder_layers: int
    decoder_layers: int


class _NormEach(nn.Module):
    """One norm for each sub-layer, named after it."""

    def __init__(self, names: Sequence[str], dim: int, kind: Kind, dropout: float) -> None:
        super().__init__()
        self.names = tuple(names)
        self.dropout = Dropout(dropout)
        for name in names:
            self.add_module(name, norm.build(kind, dim))


class PreNorm(_NormEach):
    """x + f(norm(x)) for each f in turn."""

    def forward(self, x_BLD: Tensor, branches: Sequence[Branch]) -> Tensor:
        for name, branch in zip(self.names, branches, strict=True):
            x_BLD = self.dropout.join(x_BLD, branch(self.get_submodule(name)(x_BLD)))
        return x_BLD


class PostNorm(_NormEach):
    """norm(x + f(x)) for each f in turn."""

    def forward(self, x_BLD: Tensor, branches: Sequence[Branch]) -> Tensor:
        for name, branch in zip(self.names, branches, strict=True):
            x_BLD = self.get_submodule(name)(self.dropout.join(x_BLD, branch(x_BLD)))
        return x_BLD


class DeepNorm(_NormEach):
    """norm(alpha x + f(x)) for each f in turn."""

    def __init__(
        self, names: Sequence[str], dim: int, kind: Kind, dropout: float, alpha: float
    ) -> None:
        super().__init__(names, dim, kind, dropout)
        self.alpha = alpha

    def forward(self, x_BLD: Tensor, branches: Sequence[Branch]) -> Tensor:
        for name, branch in zip(self.names, branches, strict=True):
            out_BLD = self.dropout(branch(x_BLD)).add(x_BLD, alpha=self.alpha)
            x_BLD = self.get_submodule(name)(out_BLD)
        return x_BLD


class Parallel(nn.Module):
    """x + sum of every f(norm(x))."""

    def __init__(self, dim: int, kind: Kind, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.norm = norm.build(kind, dim)

    def forward(self, x_BLD: Tensor, branches: Sequence[Branch]) -> Tensor:
        normed_BLD = self.norm(x_BLD)
        total_BLD = branches[0](normed_BLD)
        for branch in branches[1:]:
            total_BLD = total_BLD + branch(normed_BLD)
        return self.dropout.join(x_BLD, total_BLD)


def deepnorm_constants(place: Place) -> tuple[float, float]:
    """(alpha, beta) of a layer in an encoder-decoder (arXiv:2203.00555, table in section 3)."""
    n, m = place.encoder_layers, place.decoder_layers
    if place.stack == "encoder":
        return 0.81 * (n**4 * m) ** (1 / 16), 0.87 * (n**4 * m) ** (-1 / 16)
    return (3 * m) ** 0.25, (12 * m) ** -0.25


def gain(config: settings.Residual, place: Place) -> float:
    """Factor on the first weights of feed-forwards, values and attention outputs."""
    return deepnorm_constants(place)[1] if isinstance(config, settings.DeepNorm) else 1.0


def ends_with_norm(config: settings.Residual) -> bool:
    """Whether a stack of such layers leaves its stream unnormalised, so that it needs one more."""
    return isinstance(config, settings.PreNorm | settings.Parallel)


def build(layer: settings.LayerConfig, names: Sequence[str], dim: int, place: Place) -> nn.Module:
    """The rule of one layer whose sub-layers are called `names`."""
    kind, dropout = layer.norm, layer.dropout
    match layer.residual:
        case settings.PreNorm():
            return PreNorm(names, dim, kind, dropout)
        case settings.PostNorm():
            return PostNorm(names, dim, kind, dropout)
        case settings.DeepNorm():
            return DeepNorm(names, dim, kind, dropout, deepnorm_constants(place)[0])
        case settings.Parallel():
            return Parallel(dim, kind, dropout)
