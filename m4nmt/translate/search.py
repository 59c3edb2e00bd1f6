"""Batched beam search, made of small pure functions over tensors.

What it finds, exactly:
- A sentence starts with one row. At every step all continuations of its live beams are ranked by
  summed log-probability; continuations by a forbidden symbol do not exist (the probabilities of
  the others are *not* renormalised, so a score is what teacher forcing gives).
- Among the best K = `beam` continuations, those that end with the end symbol become final. The
  best K that do not end stay live. (Looking at 2K continuations is enough for both: at most K of
  them end.)
- A final hypothesis scores sum(log p, end symbol included) / lp(number of tokens, end included).
- A sentence is done when K hypotheses are final, when no live beam can still enter its best
  `n_best` (`unbeatable`, which changes no result), or at its length limit in tokens, end included.
- At the limit nothing is forced: only where no hypothesis at all is final are the live ones
  returned, normalised over their length and marked unfinished.
So `beam` 1 is greedy, and a beam at least as large as the number of sentences finds the optimum.

Not its job: the model (`Decoder`), batching of sentences, text; phrases that must occur
(required) and groups of beams that avoid each other (diverse), which are made of these pieces.

Shape letters: B sentences, K beams, R = B*K rows, C = 2K candidates, V vocabulary, N n-best,
T tokens so far.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

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

_BLOCK = 64  # words


class Candidates(NamedTuple):
    """The best continuations of each sentence, best first; those that do not exist score -inf."""

    score_BC: Tensor
    beam_BC: Tensor
    token_BC: Tensor
    logp_BC: Tensor


def largest(x_RV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """x.topk(count), several times faster for a large vocabulary: the largest numbers lie in the
    blocks with the largest maxima."""
    R, V = x_RV.shape
    blocks = V // _BLOCK
    if blocks < 4 * count:
        values, indices = x_RV.topk(min(count, V), -1)
        return values, indices
    inner_RMW = x_RV[:, : blocks * _BLOCK].view(R, blocks, _BLOCK)
    best_RN = inner_RMW.amax(-1).topk(count, -1).indices
    start_RN1 = best_RN[:, :, None] * _BLOCK
    at_RC = (start_RN1 + torch.arange(_BLOCK, device=x_RV.device)).flatten(1)
    rest = torch.arange(blocks * _BLOCK, V, device=x_RV.device).expand(R, -1)
    at_RC = torch.cat((at_RC, rest), 1)
    values, indices = x_RV.gather(1, at_RC).topk(count, -1)
    return values, at_RC.gather(1, indices)


def expand(logp_RV: Tensor, live_BK: Tensor, count: int) -> Candidates:
    """Rank all continuations of the live beams by summed log-probability."""
    B, K = live_BK.shape
    best_RN, token_RN = largest(logp_RV, count)
    logp_BN = best_RN.view(B, -1)
    score_BN = (logp_BN.view(B, K, -1) + live_BK[:, :, None]).view(B, -1)
    score_BC, at_BC = score_BN.topk(min(count, score_BN.shape[1]), -1)
    missing = count - score_BC.shape[1]
    at_BC = torch.nn.functional.pad(at_BC, (0, missing))
    return Candidates(
        torch.nn.functional.pad(score_BC, (0, missing), value=-torch.inf),
        at_BC // best_RN.shape[1],
        token_RN.view(B, -1).gather(1, at_BC),
        logp_BN.gather(1, at_BC),
    )


def finals(candidates: Candidates, eos: int, beam: int) -> Tensor:
    """Which candidates [B,C] become final: they end, exist, and are among the best `beam`."""
    ends_BC = (candidates.token_BC == eos) & torch.isfinite(candidates.score_BC)
    ends_BC[:, beam:] = False
    return ends_BC


def survivors(candidates: Candidates, eos: int, beam: int) -> Candidates:
    """The best `beam` candidates that do not end; fewer are filled up with -inf."""
    ends_BC = candidates.token_BC == eos
    at_BK = torch.sort(ends_BC.to(torch.uint8), dim=1, stable=True).indices[:, :beam]
    alive = candidates._replace(score_BC=candidates.score_BC.masked_fill(ends_BC, -torch.inf))
    return Candidates(*(x.gather(1, at_BK) for x in alive))


def keep_best(best_BN: Tensor, final_BC: Tensor, score_BC: Tensor, penalty: float) -> Tensor:
    """Normalised scores of the best N final hypotheses so far, best first, these ones added."""
    new_BC = (score_BC / penalty).masked_fill(~final_BC, -torch.inf)
    return torch.cat((best_BN, new_BC), 1).topk(best_BN.shape[1], -1).values


def unbeatable(
    best_BN: Tensor, live_BK: Tensor, length: int, limit_B: Tensor, alpha: float
) -> Tensor:
    """Where no live beam, now of `length` tokens, can still enter the best N [B].

    Proof: a live beam sums to S <= 0 and every further token adds log p <= 0, so each of its
    completions sums to at most S. A completion has between length + 1 and limit tokens, and lp is
    positive and monotone in the length, so lp is largest at one of these two ends; dividing a
    number <= 0 by the largest lp gives the largest quotient: S / max(lp(length + 1), lp(limit)).
    (The best S bounds all beams alike.) When that is no more than the N-th best, it cannot enter.
    """
    ends_2B = torch.stack((torch.full_like(limit_B, length + 1), limit_B))
    largest_B = ((5.0 + ends_2B) / 6.0).pow(alpha).amax(0)
    return best_BN[:, -1] >= live_BK.amax(1) / largest_B


def close_ranks(done_B: Tensor) -> Tensor:
    """Which sentence goes on in each place: those at the end step into the places of the done, so
    that as few as can be are moved."""
    stay = (~done_B).nonzero()[:, 0]
    places = torch.arange(len(stay), device=done_B.device)
    free = done_B[: len(stay)].nonzero()[:, 0]
    places[free] = stay[len(stay) - len(free) :]
    return places


@dataclass
class Beams:
    """The live beams of the sentences that are not done."""

    sentence_B: Tensor
    limit_B: Tensor
    found_B: Tensor
    best_BN: Tensor
    live_BK: Tensor
    token_BKT: Tensor
    logp_BKT: Tensor

    def keep(self, index_B: Tensor) -> None:
        """Drop all other sentences."""
        for name, value in vars(self).items():
            setattr(self, name, value.index_select(0, index_B))


def start(limits: list[int], n_best: int, device: torch.device) -> Beams:
    """One row of nothing for each sentence."""
    count = len(limits)
    return Beams(
        sentence_B=torch.arange(count, device=device),
        limit_B=torch.tensor(limits, device=device),
        found_B=torch.zeros(count, dtype=torch.long, device=device),
        best_BN=torch.full((count, n_best), -torch.inf, device=device),
        live_BK=torch.zeros(count, 1, device=device),
        token_BKT=torch.zeros(count, 1, 0, dtype=torch.long, device=device),
        logp_BKT=torch.zeros(count, 1, 0, device=device),
    )


def collect(
    pool: list[list[Hypothesis]],
    beams: Beams,
    chosen_BC: Tensor,
    candidates: Candidates,
    alpha: float,
    finished: bool,
    met: bool = True,
) -> None:
    """Put the chosen candidates, with all their tokens, into the pools of their sentences."""
    b, c = chosen_BC.nonzero(as_tuple=True)
    beam = candidates.beam_BC[b, c]
    tokens = torch.cat((beams.token_BKT[b, beam], candidates.token_BC[b, c, None]), 1).tolist()
    logps = torch.cat((beams.logp_BKT[b, beam], candidates.logp_BC[b, c, None]), 1).tolist()
    sums = candidates.score_BC[b, c].tolist()
    owners = beams.sentence_B[b].tolist()
    for owner, token, logp, total in zip(owners, tokens, logps, sums, strict=True):
        score = total / length_penalty(len(token), alpha)
        pool[owner].append(Hypothesis(tuple(token), tuple(logp), score, finished, met))


def _settle(
    pool: list[list[Hypothesis]],
    beams: Beams,
    candidates: Candidates,
    alive: Candidates,
    config: SearchConfig,
    eos: int,
) -> Tensor:
    """Collect what this step made final, or cut, and say which sentences are done [B]."""
    length, alpha = beams.token_BKT.shape[2] + 1, config.length_alpha
    final_BC = finals(candidates, eos, config.beam)
    if bool(final_BC.any()):
        collect(pool, beams, final_BC, candidates, alpha, finished=True)
        beams.found_B = beams.found_B + final_BC.sum(1)
        penalty = length_penalty(length, alpha)
        beams.best_BN = keep_best(beams.best_BN, final_BC, candidates.score_BC, penalty)
    over_B = beams.limit_B <= length
    cut_BK = torch.isfinite(alive.score_BC) & (over_B & (beams.found_B == 0))[:, None]
    if bool(cut_BK.any()):
        collect(pool, beams, cut_BK, alive, alpha, finished=False)
    dead_B = torch.isneginf(alive.score_BC[:, 0])
    lost_B = unbeatable(beams.best_BN, alive.score_BC, length, beams.limit_B, alpha)
    return (beams.found_B >= config.beam) | over_B | dead_B | lost_B


def advance(beams: Beams, alive: Candidates) -> None:
    """Make the survivors the live beams, each with its ancestor's tokens and its own."""
    index = alive.beam_BC[:, :, None].expand(-1, -1, beams.token_BKT.shape[2])
    beams.token_BKT = torch.cat((beams.token_BKT.gather(1, index), alive.token_BC[:, :, None]), 2)
    beams.logp_BKT = torch.cat((beams.logp_BKT.gather(1, index), alive.logp_BC[:, :, None]), 2)
    beams.live_BK = alive.score_BC


def beam_search(
    decoder: Decoder,
    limits: list[int],
    config: SearchConfig,
    symbols: Symbols,
    device: torch.device,
    cancelled: Cancelled | None = None,
    rules: Rules | None = None,
) -> list[list[Hypothesis]]:
    """The best `config.n_best` hypotheses (fewer if fewer were found) of each sentence, in order.

    Args:
        decoder: one row for each of the sentences.
        limits: most tokens of each sentence, end symbol included, at least 1.
        cancelled: asked before every step.
        rules: what the sentences begin with, and what may not follow what.

    Raises:
        CancelledError: `cancelled` said so.
        FloatingPointError: the model gave numbers that are not finite.
    """
    pool: list[list[Hypothesis]] = [[] for _ in limits]
    beams = start(limits, config.n_best, device)
    forbidden = torch.tensor(symbols.forbidden, dtype=torch.long, device=device)
    last_R = torch.full((len(limits),), symbols.bos, device=device)
    while len(last_R):
        check(cancelled)
        rows = beams.live_BK.shape[1]
        logp_RV = log_probs(decoder.step(last_R)).index_fill_(1, forbidden, -torch.inf)
        if rules is not None:
            of_R = beams.sentence_B.repeat_interleave(rows)
            rules.apply(logp_RV, beams.token_BKT.flatten(0, 1), of_R)
        candidates = expand(logp_RV, beams.live_BK, 2 * config.beam)
        alive = survivors(candidates, symbols.eos, config.beam)
        done_B = _settle(pool, beams, candidates, alive, config, symbols.eos)
        advance(beams, alive)
        parent_BK = alive.beam_BC + rows * torch.arange(len(done_B), device=device)[:, None]
        stay_B = close_ranks(done_B)
        beams.keep(stay_B)
        last_R = beams.token_BKT[:, :, -1].flatten()
        if len(last_R):
            everyone = len(stay_B) == len(done_B)
            decoder.select(parent_BK[stay_B].flatten(), None if everyone else stay_B)
    return [ranked(hypotheses, config.n_best) for hypotheses in pool]
