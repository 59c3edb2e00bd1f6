"""Positions: added to embeddings (Sinusoidal, Learned) or used inside self-attention (Rotary,
RelativeBias). Each position kind gives both parts; the one it does not use changes nothing.

Tables of sines are computed, never stored: they are no part of a checkpoint and may be built on
any device. Shape letters: B rows, L length, T queries, S keys, D width, H heads, K head width.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m4nmt.model import settings
from m4nmt.model.init import Ruled, normal, zeros


def _room(length: int) -> int:
    """Rows to compute for `length` positions: a power of two, so that few tables are ever made."""
    return max(64, 1 << (length - 1).bit_length())


@lru_cache(maxsize=32)
def _angles(length: int, half: int, base: float, step: float, device: torch.device) -> Tensor:
    """position / base^(i / step) [length,half], fp32."""
    with torch.inference_mode(False), torch.no_grad():
        i = torch.arange(half, dtype=torch.float64, device=device)
        positions = torch.arange(length, dtype=torch.float64, device=device)
        return (positions[:, None] * base ** (-i / step)[None, :]).float()


@lru_cache(maxsize=32)
def _sinusoids(length: int, dim: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[sin | cos] with wavelengths from 2 pi to 10000 * 2 pi, [length,dim]."""
    with torch.inference_mode(False), torch.no_grad():
        angles = _angles(length, dim // 2, 10000.0, max(dim // 2 - 1, 1), device)
        return F.pad(torch.cat((angles.sin(), angles.cos()), -1), (0, dim % 2)).to(dtype)


@lru_cache(maxsize=32)
def _rotations(length: int, pairs: int, base: float, device: torch.device) -> Tensor:
    """Unit complex numbers [length,1,pairs]."""
    with torch.inference_mode(False), torch.no_grad():
        angles = _angles(length, pairs, base, pairs, device)[:, None, :]
        return torch.polar(torch.ones_like(angles), angles)


class NoneAdded(nn.Module):
    """Embeddings carry no position."""

    def forward(self, x_BLD: Tensor, offset: int) -> Tensor:
        return x_BLD


class SinusoidsAdded(nn.Module):
    """Vaswani et al. 2017, section 3.5; sines first, cosines second."""

    def forward(self, x_BLD: Tensor, offset: int) -> Tensor:
        end = offset + x_BLD.shape[1]
        table = _sinusoids(_room(end), x_BLD.shape[2], x_BLD.device, x_BLD.dtype)
        return x_BLD + table[offset:end]


class LearnedAdded(Ruled):
    """A trained vector for each position."""

    def __init__(self, length: int, dim: int, std: float) -> None:
        super().__init__()
        self.rules = {"table": normal(std)}
        self.table = nn.Parameter(torch.empty(length, dim))

    def forward(self, x_BLD: Tensor, offset: int) -> Tensor:
        end = offset + x_BLD.shape[1]
        if end > self.table.shape[0]:
            raise ValueError(
                f"a sequence of {end} tokens is longer than the {self.table.shape[0]} learned "
                "positions; raise model.position.length, split the text, or use another position"
            )
        return x_BLD + self.table[offset:end].to(x_BLD.dtype)


class Unmoved(nn.Module):
    """Self-attention that knows no position of its own."""

    def rotate(self, q_BTHK: Tensor, k_BTHK: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        return q_BTHK, k_BTHK

    def bias(self, queries: int, keys: int) -> Tensor | None:
        return None

    def bias_at(self, offset: int, position_BS: Tensor) -> Tensor | None:
        return None


class Rotations(Unmoved):
    """Rotated queries and keys, neighbours (2i, 2i + 1) paired (arXiv:2104.09864), in fp32.

    As complex products these take a fifth of the time of sines and cosines on a CPU (a third in
    bf16); a compiler, which knows no complex numbers, is given the latter.
    """

    def __init__(self, base: float, width: int) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(
                f"rotary positions pair numbers: a head's width must be even, not {width}"
            )
        self.base = base

    def rotate(self, q_BTHK: Tensor, k_BTHK: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        end, pairs = offset + q_BTHK.shape[1], q_BTHK.shape[3] // 2
        turns = _rotations(_room(end), pairs, self.base, q_BTHK.device)[offset:end]
        turn = _turn_by_parts if torch.compiler.is_compiling() else _turn
        return turn(q_BTHK, turns), turn(k_BTHK, turns)


def _turn(x: Tensor, turns: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def _turn_by_parts(x: Tensor, turns: Tensor) -> Tensor:
    a, b = x.float().reshape(*x.shape[:-1], -1, 2).unbind(-1)
    cos, sin = torch.view_as_real(turns).unbind(-1)
    return torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2).to(x.dtype)


def bucket(distance: Tensor, bidirectional: bool, buckets: int, furthest: int) -> Tensor:
    """T5's bucket of (key position - query position) (arXiv:1910.10683, section 2.1): small
    distances have their own, larger ones share logarithmically, beyond `furthest` all share one."""
    base = torch.zeros_like(distance)
    if bidirectional:
        buckets //= 2
        base = (distance > 0).long() * buckets
        distance = distance.abs()
    else:
        distance = -distance.clamp(max=0)
    exact = buckets // 2
    ratio = torch.log(distance.clamp(min=1).double() / exact) / torch.log(
        torch.tensor(furthest / exact, dtype=torch.float64)
    )
    large = exact + (ratio * (buckets - exact)).long()
    return base + torch.where(distance < exact, distance, large.clamp(max=buckets - 1))


class Biased(Ruled):
    """A learned bias by bucketed distance, a number for each head."""

    def __init__(self, config: settings.RelativeBias, heads: int, bidirectional: bool) -> None:
        super().__init__()
        self.rules = {"table": zeros}
        self.config = config
        self.bidirectional = bidirectional
        self.table = nn.Parameter(torch.empty(config.buckets, heads))

    def rotate(self, q_BTHK: Tensor, k_BTHK: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        return q_BTHK, k_BTHK

    def bias(self, queries: int, keys: int) -> Tensor | None:
        """[H,T,S] for the last `queries` of `keys` positions."""
        device = self.table.device
        query = torch.arange(keys - queries, keys, device=device)
        distance_TS = torch.arange(keys, device=device)[None, :] - query[:, None]
        return self._of(distance_TS).permute(2, 0, 1)

    def bias_at(self, offset: int, position_BS: Tensor) -> Tensor | None:
        """[B,H,1,S] for a query at `offset` and keys at these positions."""
        return self._of(position_BS - offset).transpose(1, 2)[:, :, None]

    def _of(self, distance: Tensor) -> Tensor:
        """A number for each distance and head, [...,H]."""
        config = self.config
        return F.embedding(
            bucket(distance, self.bidirectional, config.buckets, config.distance), self.table
        )


def added(config: settings.Position, dim: int, std: float) -> nn.Module:
    """The part that joins embeddings; `std` is that of the embeddings after scaling."""
    match config:
        case settings.Sinusoidal():
            return SinusoidsAdded()
        case settings.Learned():
            return LearnedAdded(config.length, dim, std)
        case _:
            return NoneAdded()


def inside(
    config: settings.Position, heads: int, width: int, bidirectional: bool
) -> Unmoved | Biased:
    """The part that self-attention of `heads` heads of this width uses.

    Raises:
        ValueError: a width that the position cannot be used with.
    """
    match config:
        case settings.Rotary():
            return Rotations(config.base, width)
        case settings.RelativeBias():
            return Biased(config, heads, bidirectional)
        case _:
            return Unmoved()
