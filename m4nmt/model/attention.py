"""Attention parts: projections, the kernel, and the three uses (encoder, causal, cross).

Shape letters: B rows, L length, T queries, S keys, D width, H query heads, G key/value heads,
K head width.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m4nmt.model import norm, position
from m4nmt.model.flow import Tokens
from m4nmt.model.linear import Linear
from m4nmt.model.settings import AttentionConfig, LayerConfig, Position

_FEW = 16


@lru_cache(maxsize=64)
def _causal(queries: int, keys: int, device: torch.device) -> Tensor:
    """True where the last `queries` of `keys` positions see [T,S]."""
    with torch.inference_mode(False), torch.no_grad():
        seen = torch.ones(queries, keys, dtype=torch.bool, device=device)
        return seen.tril(keys - queries)


def _by_products(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    mask: Tensor | None,
    bias_HTS: Tensor | None,
    dropout: float,
    soft_cap: float,
) -> Tensor:
    """Attention as plain products, all scores held at once. Grouped heads and their queries
    become rows of one product, so that keys and values are never repeated."""
    B, H, T, K = q_BHTK.shape
    G, S = k_BGSK.shape[1:3]
    q, k, v = (x.reshape(B * G, -1, K) for x in (q_BHTK, k_BGSK, v_BGSK))
    scores_BHTS = torch.bmm(q, k.transpose(1, 2)).view(B, H, T, S)
    scale = K**-0.5
    if bias_HTS is not None:
        bias = bias_HTS.to(scores_BHTS.dtype)
        scores_BHTS, scale = torch.add(bias, scores_BHTS, alpha=scale), 1.0
    if soft_cap:
        scores_BHTS, scale = soft_cap * torch.tanh(scores_BHTS * (scale / soft_cap)), 1.0
    if mask is None:
        scores_BHTS = scores_BHTS * scale
    else:
        # half of the lowest number: a row that sees nothing stays finite, in value and gradient
        hidden = torch.finfo(scores_BHTS.dtype).min / 2
        offset = torch.zeros_like(mask, dtype=scores_BHTS.dtype).masked_fill(~mask, hidden)
        scores_BHTS = torch.add(offset, scores_BHTS, alpha=scale)
    weights = F.dropout(scores_BHTS.softmax(-1), dropout, dropout > 0).view(B * G, -1, S)
    return torch.bmm(weights, v).view(B, H, T, K)


def _fused_pays(q_BHTK: Tensor) -> bool:
    """Whether torch's fused kernel is the faster one on a CPU (measured)."""
    rows, _, queries, _ = q_BHTK.shape
    single = q_BHTK.dtype == torch.float32
    if torch.is_grad_enabled():
        return single
    return rows <= _FEW or (single and not 1 < queries < _FEW)


def attend(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    bias_HTS: Tensor | None = None,
    dropout: float = 0.0,
    soft_cap: float = 0.0,
) -> Tensor:
    """softmax(cap(q k / sqrt(K) + bias)) v under a mask, [B,H,T,K].

    The one place where the kernel is chosen. torch's fused kernel knows no cap and no learned
    bias; on a CPU it is several times slower than the plain products in bf16, and half as fast for
    the few queries a row of a batch that is being decoded.

    Args:
        mask: True where a key may be seen, broadcastable to [B,H,T,S]. What a row gets that sees
            no key at all is finite and otherwise undefined.
        causal: instead of a mask: the queries are the last T of the S positions, and each sees
            those up to itself.
        bias_HTS: added to the scaled products; may be [B,H,T,S].
        dropout: probability on the weights, 0 in inference.
        soft_cap: c tanh(logit / c) before the mask; 0 is off.

    Query head h reads key head h // (H / G).
    """
    T, S = q_BHTK.shape[2], k_BGSK.shape[2]
    fused = bias_HTS is None and not soft_cap
    if q_BHTK.device.type == "cpu":
        fused = fused and _fused_pays(q_BHTK)
    square = causal and fused and T == S  # the kernel needs no mask for this one
    if causal and T > 1 and not square:
        mask = _causal(T, S, q_BHTK.device)
    if not fused:
        return _by_products(q_BHTK, k_BGSK, v_BGSK, mask, bias_HTS, dropout, soft_cap)
    return F.scaled_dot_product_attention(
        q_BHTK,
        k_BGSK,
        v_BGSK,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=square,
        enable_gqa=q_BHTK.shape[1] != k_BGSK.shape[1],
    )


class Attention(nn.Module):
    """What the three uses share: four projections and the call of the kernel."""

    def __init__(self, dim: int, config: AttentionConfig, gain: float) -> None:
        super().__init__()
        self.config = config
        self.width = config.head_dim or dim // config.heads
        self.kv_heads = config.kv_heads or config.heads
        inner, shared = config.heads * self.width, self.kv_heads * self.width
        self.q = Linear(dim, inner, config.bias)
        self.k = Linear(dim, shared, config.bias)
        self.v = Linear(dim, shared, config.bias, gain)
        self.out = Linear(inner, dim, config.bias, gain)

    def split(self, x_BLD: Tensor) -> Tensor:
        """[B,L,heads*K] to [B,L,heads,K], however many heads live here."""
        return x_BLD.view(*x_BLD.shape[:-1], -1, self.width)

    def keys_values(self, memory_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Projected without position, [B,G,S,K] each."""
        return (
            self.split(self.k(memory_BSD)).transpose(1, 2),
            self.split(self.v(memory_BSD)).transpose(1, 2),
        )

    def weigh(
        self,
        q_BTHK: Tensor,
        k_BGSK: Tensor,
        v_BGSK: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        bias_HTS: Tensor | None = None,
    ) -> Tensor:
        """Attend and project out, [B,T,D]."""
        out_BHTK = attend(
            q_BTHK.transpose(1, 2),
            k_BGSK,
            v_BGSK,
            mask,
            causal=causal,
            bias_HTS=bias_HTS,
            dropout=self.config.dropout if self.training else 0.0,
            soft_cap=self.config.soft_cap,
        )
        out_BTD: Tensor = self.out(out_BHTK.transpose(1, 2).flatten(2))
        return out_BTD


class SelfAttention(Attention):
    """Every source position sees every real source position."""

    def __init__(
        self, dim: int, layer: LayerConfig, where: Position, gain: float, causal: bool = False
    ) -> None:
        super().__init__(dim, layer.attention, gain)
        self.position = position.inside(where, layer.attention.heads, self.width, not causal)
        normed = layer.attention.qk_norm
        self.q_norm = norm.build(layer.norm, self.width) if normed else nn.Identity()
        self.k_norm = norm.build(layer.norm, self.width) if normed else nn.Identity()

    def project(self, x_BLD: Tensor, offset: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B,T,H,K], keys and values [B,G,T,K], positioned."""
        q_BTHK = self.q_norm(self.split(self.q(x_BLD)))
        k_BTGK = self.k_norm(self.split(self.k(x_BLD)))
        q_BTHK, k_BTGK = self.position.rotate(q_BTHK, k_BTGK, offset)
        return q_BTHK, k_BTGK.transpose(1, 2), self.split(self.v(x_BLD)).transpose(1, 2)

    def forward(self, x_BSD: Tensor, tokens: Tokens) -> Tensor:
        q_BSHK, k_BGSK, v_BGSK = self.project(x_BSD, 0)
        S = x_BSD.shape[1]
        bias_HSS = self.position.bias(S, S)
        return self.weigh(q_BSHK, k_BGSK, v_BGSK, tokens.src_mask_B11S, bias_HTS=bias_HSS)


class CausalAttention(SelfAttention):
    """Every target position sees itself and the past, some of which may lie in the store, where
    beams of one sentence share their past."""

    def __init__(
        self, dim: int, layer: LayerConfig, where: Position, gain: float, name: str
    ) -> None:
        super().__init__(dim, layer, where, gain, causal=True)
        self.name = name

    def forward(self, x_BTD: Tensor, tokens: Tokens) -> Tensor:
        q_BTHK, k_BGTK, v_BGTK = self.project(x_BTD, tokens.store.offset)
        seen = tokens.store.self_attention(self.name, k_BGTK, v_BGTK)
        rows, T, D = x_BTD.shape
        if seen.position_BS is None:
            bias = self.position.bias(T, seen.k.shape[2])
        else:
            bias = self.position.bias_at(tokens.store.offset, seen.position_BS)
        q_BQHK = q_BTHK.reshape(len(seen.k), -1, *q_BTHK.shape[2:])  # beams: further queries
        causal = seen.mask is None
        out_BQD = self.weigh(q_BQHK, seen.k, seen.v, seen.mask, causal=causal, bias_HTS=bias)
        return out_BQD.view(rows, T, D)


class CrossAttention(Attention):
    """Every target position sees every real source position.

    Beams of one source row become further queries of that row, so that keys and values exist once.
    """

    def __init__(self, dim: int, config: AttentionConfig, gain: float, name: str) -> None:
        super().__init__(dim, config, gain)
        self.name = name

    def forward(self, x_BTD: Tensor, memory_BSD: Tensor, tokens: Tokens) -> Tensor:
        k_BGSK, v_BGSK = tokens.store.cross_attention(
            self.name, lambda: self.keys_values(memory_BSD)
        )
        rows, T, D = x_BTD.shape
        q_BTHK = self.split(self.q(x_BTD.reshape(rows // tokens.beams, tokens.beams * T, D)))
        return self.weigh(q_BTHK, k_BGSK, v_BGSK, tokens.src_mask_B11S).view(rows, T, D)
