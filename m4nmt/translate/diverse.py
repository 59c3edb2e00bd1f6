"""Diverse beam search: groups of beams that keep off each other's words.

Vijayakumar et al. 2016 (arXiv:1610.02424, Algorithm 1) with Hamming diversity. The K beams are
split into G groups of k = K / G. At every step the groups choose one after another; for group g the
log p of a token is lowered by `diversity` for each beam of an earlier group that stayed with that
token at this step. The lowered sums are what beams are ranked by, from step to step; a hypothesis
that ends scores what the model gives it, not lowered, and all finals are ranked by that. In
everything else each group is a beam search (`search`) of its own: k of its best continuations may
end, it is done when k have, and at the limit its live beams are returned only where no group has
any final.
One group is `search.beam_search`.

Not its job: phrases that must occur (required).

Shape letters: B sentences, G groups, k beams of a group, R = B*G*k rows, V vocabulary.
"""

from collections.abc import Sequence

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
    log_probs,
    ranked,
)
from m4nmt.translate.search import (
    Beams,
    Candidates,
    advance,
    close_ranks,
    collect,
    expand,
    finals,
    start,
    survivors,
)


class _Groups:
    """The groups of one batch, and what they found."""

    def __init__(self, limits: list[int], config: SearchConfig, device: torch.device) -> None:
        self.beams = [start(limits, 1, device) for _ in range(config.groups)]
        self._config, self._each = config, config.beam // config.groups
        self.pool: list[list[Hypothesis]] = [[] for _ in limits]
        self._cut: list[list[Hypothesis]] = [[] for _ in limits]

    def go_on(self, logp_BGkV: Tensor, eos: int) -> tuple[Tensor, Tensor]:
        """One step of every group: the row of its sentence that each new beam comes from [B,G*k],
        and which sentences are done [B]."""
        B, _, k, V = logp_BGkV.shape
        taken_BV = logp_BGkV.new_zeros(B, V)
        parents, dones = [], []
        for g, beams in enumerate(self.beams):
            logp_BkV = logp_BGkV[:, g]
            lowered_BkV = logp_BkV - self._config.diversity * taken_BV[:, None]
            found = expand(lowered_BkV.flatten(0, 1), beams.live_BK, 2 * self._each)
            true_BC = logp_BkV.flatten(1).gather(1, found.beam_BC * V + found.token_BC)
            found = found._replace(logp_BC=true_BC)
            alive = survivors(found, eos, self._each)
            dones.append(self._settle(beams, found, alive, eos))
            live_Bk = torch.isfinite(alive.score_BC).to(taken_BV.dtype)
            live_Bk = live_Bk.masked_fill(dones[-1][:, None], 0.0)
            taken_BV = taken_BV.scatter_add(1, alive.token_BC, live_Bk)
            advance(beams, alive)
            beams.live_BK = beams.live_BK.masked_fill(dones[-1][:, None], -torch.inf)
            parents.append(alive.beam_BC + (g * k if beams.token_BKT.shape[2] > 1 else 0))
        return torch.cat(parents, 1), torch.stack(dones).all(0)

    def _settle(self, beams: Beams, found: Candidates, alive: Candidates, eos: int) -> Tensor:
        """Collect what this step made final, or cut, of a group; where the group is done [B]."""
        length, alpha = beams.token_BKT.shape[2] + 1, self._config.length_alpha
        final_BC = finals(found, eos, self._each)
        collect(self.pool, beams, final_BC, _true(beams, found), alpha, finished=True)
        beams.found_B = beams.found_B + final_BC.sum(1)
        over_B = beams.limit_B <= length
        cut_BK = torch.isfinite(alive.score_BC) & over_B[:, None]
        collect(self._cut, beams, cut_BK, _true(beams, alive), alpha, finished=False)
        dead_B = torch.isneginf(alive.score_BC[:, 0])
        return (beams.found_B >= self._each) | over_B | dead_B

    def results(self) -> list[list[Hypothesis]]:
        """The best of each sentence, each once: groups may find the same."""
        pairs = zip(self.pool, self._cut, strict=True)
        return [ranked(dict.fromkeys(pool or cut), self._config.n_best) for pool, cut in pairs]


def _true(beams: Beams, found: Candidates) -> Candidates:
    """With sums of the model's own log p for scores."""
    sum_BK = beams.logp_BKT.sum(-1)
    return found._replace(score_BC=sum_BK.gather(1, found.beam_BC) + found.logp_BC)


def search_diverse(
    decoder: Decoder,
    limits: list[int],
    config: SearchConfig,
    symbols: Symbols,
    device: torch.device,
    cancelled: Cancelled | None = None,
    rules: Rules | None = None,
) -> list[list[Hypothesis]]:
    """As `search.beam_search`, with `config.groups` groups.

    Raises:
        CancelledError: `cancelled` said so.
        FloatingPointError: the model gave numbers that are not finite.
    """
    groups, G = _Groups(limits, config, device), config.groups
    forbidden = torch.tensor(symbols.forbidden, dtype=torch.long, device=device)
    last_R = torch.full((len(limits),), symbols.bos, device=device)
    while len(last_R):
        check(cancelled)
        first, sentence_B = groups.beams[0].token_BKT.shape[2] == 0, groups.beams[0].sentence_B
        logp_RV = log_probs(decoder.step(last_R)).index_fill_(1, forbidden, -torch.inf)
        rows = len(logp_RV) // len(sentence_B)
        if rules is not None:
            so_far_RT = _rows(groups.beams[:1] if first else groups.beams)
            rules.apply(logp_RV, so_far_RT, sentence_B.repeat_interleave(rows))
        logp_BRV = logp_RV.view(len(sentence_B), rows, -1)
        shared_BGkV = logp_BRV[:, None].expand(-1, G, -1, -1)
        logp_BGkV = shared_BGkV if first else logp_BRV.view(len(sentence_B), G, rows // G, -1)
        parent_BK, done_B = groups.go_on(logp_BGkV, symbols.eos)
        stay_B = close_ranks(done_B)
        for beams in groups.beams:
            beams.keep(stay_B)
        last_R = _rows(groups.beams)[:, -1]
        if len(last_R):
            parent_BK = parent_BK + rows * torch.arange(len(done_B), device=device)[:, None]
            everyone = len(stay_B) == len(done_B)
            decoder.select(parent_BK[stay_B].flatten(), None if everyone else stay_B)
    return groups.results()


def _rows(groups: Sequence[Beams]) -> Tensor:
    """Tokens so far of all rows, those of a sentence together, group by group, [R,T]."""
    return torch.cat([beams.token_BKT for beams in groups], 1).flatten(0, 1)
