"""Drawing translations from the model instead of searching for the best.

A draw is a function of (seed, sentence, number of the draw, step): the random number is made from
these, so that neither the batch a sentence is in nor how many draws are asked for changes it
(floating-point noise of the batch aside). The scores are the model's own, not those of the shaped
distribution that was drawn from, so they compare with those of beam search.

Not its job: the model (`Decoder`), batching of sentences, text.

Shape letters: B sentences, K draws, R = B*K rows, V vocabulary, T steps, N choices left.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from m4nmt.core.seeds import numpy_generator
from m4nmt.core.stages import SearchConfig
from m4nmt.translate.constraints import Rules
from m4nmt.translate.decoder import (
    Cancelled,
    Decoder,
    Hypothesis,
    Symbols,
    check,
    length_penalty,
    log_probs,
    ranked,
)
from m4nmt.translate.search import close_ranks


def shape(logits_RV: Tensor, temperature: float, top_k: int, top_p: float) -> tuple[Tensor, Tensor]:
    """The distribution to draw from: (probabilities [R,N], ids [R,N]). Logits up to a constant.

    Temperature first, then the `top_k` likeliest (0: all), then of these the smallest set whose
    mass is at least `top_p` (nucleus, Holtzman et al. 2020, arXiv:1904.09751). Not renormalised.
    """
    scaled_RV = logits_RV.double() / temperature
    if not top_k and top_p == 1.0:
        ids_RV = torch.arange(scaled_RV.shape[1], device=scaled_RV.device).expand_as(scaled_RV)
        return scaled_RV.softmax(-1), ids_RV
    count = min(top_k or scaled_RV.shape[1], scaled_RV.shape[1])
    best_RN, ids_RN = scaled_RV.topk(count, -1)
    p_RN = best_RN.softmax(-1)
    before_RN = p_RN.cumsum(-1) - p_RN
    return p_RN.masked_fill(before_RN >= top_p, 0.0), ids_RN


def pick(p_RN: Tensor, uniform_R: Tensor) -> Tensor:
    """Index [R] into N of the draw at `uniform_R` in [0, 1), by the inverse of the distribution."""
    mass_RN = p_RN.cumsum(-1)
    return (mass_RN <= uniform_R[:, None] * mass_RN[:, -1:]).sum(-1)


def draw(
    logp_RV: Tensor, allowed_RV: Tensor, uniform_R: Tensor, config: SearchConfig
) -> tuple[Tensor, Tensor]:
    """A token of each row and its log-probability under the model, [R,1] each.

    Args:
        allowed_RV: the same log p, -inf where a token may not follow.
    """
    p_RN, ids_RN = shape(allowed_RV, config.temperature, config.top_k, config.top_p)
    token_R1 = ids_RN.gather(1, pick(p_RN, uniform_R)[:, None])
    return token_R1, logp_RV.gather(1, token_R1)


def uniforms(seed: int, key: Sequence[int], draws: int, steps: int) -> NDArray[np.float64]:
    """Random numbers [draws, steps] in [0, 1) of the sentence `key`."""
    name = " ".join(map(str, key))
    rows = [numpy_generator("draw", seed, name, i).random(steps) for i in range(draws)]
    return np.stack(rows)


def _random(config: SearchConfig, keys: Sequence[Sequence[int]], steps: int) -> Tensor:
    """The random numbers [B,K,T] of all sentences."""
    found = [uniforms(config.seed, key, config.beam, steps) for key in keys]
    return torch.from_numpy(np.stack(found))


def sample(
    decoder: Decoder,
    limits: list[int],
    keys: Sequence[Sequence[int]],
    config: SearchConfig,
    symbols: Symbols,
    device: torch.device,
    cancelled: Cancelled | None = None,
    rules: Rules | None = None,
) -> list[list[Hypothesis]]:
    """The best `config.n_best` of `config.beam` draws of each sentence, in order.

    Args:
        decoder: one row for each of the sentences.
        limits: most tokens of each sentence, end symbol included, at least 1.
        keys: what names each sentence, such as its source ids.
        cancelled: asked before every step.
        rules: what the sentences begin with, and what may not follow what.

    Raises:
        CancelledError: `cancelled` said so.
        FloatingPointError: the model gave numbers that are not finite.
    """
    if not limits:
        return []
    B, K, T = len(limits), config.beam, max(limits)
    random = np.stack([uniforms(config.seed, key, K, T) for key in keys])
    draws = _Draws(limits, torch.from_numpy(random).to(device))
    forbidden = torch.tensor(symbols.forbidden, dtype=torch.long, device=device)
    last_R = torch.full((B,), symbols.bos, device=device)
    for t in range(T):
        check(cancelled)
        logits_RV = decoder.step(last_R)
        if t == 0:
            everyone = draws.live_B.repeat_interleave(K)
            logits_RV = logits_RV[everyone]
            decoder.select(everyone, None)
        logp_RV = log_probs(logits_RV)
        allowed_RV = logp_RV.index_fill(1, forbidden, -torch.inf)
        if rules is not None:
            rules.apply(allowed_RV, draws.so_far(t), draws.live_B.repeat_interleave(K))
        token_R1, logp_R1 = draw(logp_RV, allowed_RV, draws.uniform(t), config)
        stay = draws.write(t, token_R1, logp_R1, symbols.eos)
        if not len(stay):
            break
        if len(stay) < len(draws.live_B):
            rows = (stay[:, None] * K + torch.arange(K, device=device)).flatten()
            decoder.select(rows, stay)
            token_R1, draws.live_B = token_R1[rows], draws.live_B[stay]
        last_R = token_R1[:, 0]
    return draws.results(config, symbols.eos)


class _Draws:
    """All draws of a batch so far.

    Attributes:
        live_B: the sentences that are not done.
    """

    def __init__(self, limits: list[int], random_BKT: Tensor) -> None:
        device = random_BKT.device
        self._limits, self._random_BKT = limits, random_BKT
        self._limit_B1 = torch.tensor(limits, device=device)[:, None]
        self._token_BKT = torch.zeros_like(random_BKT, dtype=torch.long)
        self._logp_BKT = torch.zeros_like(random_BKT, dtype=torch.float32)
        self._open_BK = torch.ones(random_BKT.shape[:2], dtype=torch.bool, device=device)
        self.live_B = torch.arange(len(limits), device=device)

    def so_far(self, t: int) -> Tensor:
        """The first `t` tokens of the live rows."""
        return self._token_BKT[self.live_B, :, :t].flatten(0, 1)

    def uniform(self, t: int) -> Tensor:
        """The random numbers of step `t` of the live rows."""
        return self._random_BKT[self.live_B, :, t].flatten()

    def write(self, t: int, token_R1: Tensor, logp_R1: Tensor, eos: int) -> Tensor:
        """Keep the tokens of step `t`; which of the live sentences go on."""
        live_B, K = self.live_B, self._token_BKT.shape[1]
        self._token_BKT[live_B, :, t] = token_R1.view(-1, K)
        self._logp_BKT[live_B, :, t] = logp_R1.view(-1, K)
        ends_BK = (token_R1.view(-1, K) == eos) | (self._limit_B1[live_B] == t + 1)
        self._open_BK[live_B] &= ~ends_BK
        return close_ranks(~self._open_BK[live_B].any(1))

    def results(self, config: SearchConfig, eos: int) -> list[list[Hypothesis]]:
        """The best draws of each sentence."""
        found, tokens, logps = [], self._token_BKT.tolist(), self._logp_BKT.tolist()
        for token_KT, logp_KT, limit in zip(tokens, logps, self._limits, strict=True):
            draws = zip(token_KT, logp_KT, strict=True)
            cuts = [_cut(*one, limit, config.length_alpha, eos) for one in draws]
            found.append(ranked(cuts, config.n_best))
        return found


def _cut(tokens: list[int], logp: list[float], limit: int, alpha: float, eos: int) -> Hypothesis:
    """A draw up to its end symbol, or to its limit."""
    finished = eos in tokens[:limit]
    length = tokens.index(eos) + 1 if finished else limit
    score = sum(logp[:length]) / length_penalty(length, alpha)
    return Hypothesis(tuple(tokens[:length]), tuple(logp[:length]), score, finished)
