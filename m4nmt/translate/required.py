"""Beam search for sentences in which given phrases must occur.

Dynamic beam allocation (Post & Vilar 2018, arXiv:1804.06609, section 3), vectorised as in Hu et al.
2019 (N19-1090, section 4). Beams are sorted into banks by the number of tokens that they still
need. At every step the candidates are the best 2K continuations, the best one of each beam, and
those by which a beam goes on with a phrase that it has not said. The K that stay are taken from the
banks in turn, the bank that needs least first, the best of each bank first: so whatever the beam,
one of them comes a token nearer each step, and the phrases are said where the limit has room.

- What is needed: the shortest spellings of the phrases not met, less the longest beginning of one
  of them that the hypothesis ends with. It is read off the tokens, so phrases may overlap.
- A hypothesis is final when it ends, has met everything, and is among the best K candidates that
  have. Everything else is as in `search`; without phrases the result is that of `beam_search`.
- Where none is final at the limit: what was cut there having met everything, else what ended
  without (among the best K candidates of its step), else what was cut; the last two with
  `met=False`.

Not its job: which phrases (wishes), what may not be said (constraints).

Shape letters: B sentences, K beams, R = B*K rows, C candidates, V vocabulary, T tokens so far,
W phrases, S spellings, L length of the longest spelling.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.constraints import Constraint, Rules
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
from m4nmt.translate.search import (
    Beams,
    Candidates,
    advance,
    close_ranks,
    collect,
    expand,
    keep_best,
    start,
    unbeatable,
)

_FAR = 1 << 20  # more tokens than anything needs


class Phrases:
    """The phrases of all sentences of a batch, and how far hypotheses are with them."""

    def __init__(self, constraints: Sequence[Constraint], device: torch.device) -> None:
        told = [
            [(w, ids) for w, phrase in enumerate(c.required) for ids in phrase] for c in constraints
        ]
        B, S = len(told), max(map(len, told), default=0)
        W = max((len(c.required) for c in constraints), default=0)
        self.longest = max((len(ids) for spellings in told for _, ids in spellings), default=1)
        token_BSL = torch.full((B, S, self.longest), -1)
        length_BS = torch.zeros(B, S, dtype=torch.long)
        owner_BS = torch.full((B, S), W)  # column W: of nobody
        least_BW = torch.zeros(B, W, dtype=torch.long)
        for b, (constraint, spellings) in enumerate(zip(constraints, told, strict=True)):
            for s, (w, ids) in enumerate(spellings):
                token_BSL[b, s, : len(ids)] = torch.tensor(ids)
                length_BS[b, s], owner_BS[b, s] = len(ids), w
            for w, phrase in enumerate(constraint.required):
                least_BW[b, w] = min(map(len, phrase))
        self._token_BSL, self._length_BS = token_BSL.to(device), length_BS.to(device)
        self._owner_BS, self._least_BW = owner_BS.to(device), least_BW.to(device)

    def keep(self, index_B: Tensor) -> None:
        """Drop all other sentences."""
        for name in ("_token_BSL", "_length_BS", "_owner_BS", "_least_BW"):
            setattr(self, name, getattr(self, name)[index_B])

    def nothing_met(self) -> Tensor:
        """[B,1,W]: at the start; a phrase that a sentence has not is met."""
        return (self._least_BW == 0)[:, None]

    def progress(self, tail_BCL: Tensor) -> Tensor:
        """How many first tokens of each spelling the tails end with, at most, [B,C,S]."""
        L = tail_BCL.shape[2]
        progress_BCS = torch.zeros_like(self._length_BS)[:, None].repeat(1, tail_BCL.shape[1], 1)
        for n in range(1, L + 1):
            begins_BSN = self._token_BSL[:, :, :n]
            same_BCS = (tail_BCL[:, :, None, L - n :] == begins_BSN[:, None]).all(-1)
            progress_BCS[same_BCS] = n
        return progress_BCS

    def met(self, progress_BCS: Tensor, met_BCW: Tensor) -> Tensor:
        """What is met now, of hypotheses that had met that much, [B,C,W]."""
        whole_BCS = (progress_BCS == self._length_BS[:, None]) & (progress_BCS > 0)
        return met_BCW | (self._of_phrases(whole_BCS.long(), 0, "amax") > 0)

    def needed(self, progress_BCS: Tensor, met_BCW: Tensor) -> Tensor:
        """Tokens that are needed still, [B,C]."""
        left_BCW = self._of_phrases(self._length_BS[:, None] - progress_BCS, _FAR, "amin")
        least_BCW = self._least_BW[:, None].expand_as(met_BCW)
        begun_BCW = (least_BCW - left_BCW).clamp(min=0).masked_fill(met_BCW, 0)
        longest_BC = begun_BCW.amax(-1) if begun_BCW.shape[2] else begun_BCW.sum(-1)
        return least_BCW.masked_fill(met_BCW, 0).sum(-1) - longest_BC

    def following(self, progress_BKS: Tensor, met_BKW: Tensor) -> Tensor:
        """The next token of each spelling of a phrase that is not met [B,K,S]; else -1."""
        at_BKS1 = progress_BKS.clamp(max=self.longest - 1)[..., None]
        tokens_BKSL = self._token_BSL[:, None].expand(-1, at_BKS1.shape[1], -1, -1)
        met_BKW = torch.nn.functional.pad(met_BKW, (0, 1), value=True)
        owner_BKS = self._owner_BS[:, None].expand_as(progress_BKS)
        return tokens_BKSL.gather(3, at_BKS1)[..., 0].masked_fill(met_BKW.gather(2, owner_BKS), -1)

    def _of_phrases(self, x_BCS: Tensor, start: int, reduce: str) -> Tensor:
        """The least, or greatest, number of the spellings of each phrase [B,C,W]."""
        B, C, _ = x_BCS.shape
        out_BCW = x_BCS.new_full((B, C, self._least_BW.shape[1] + 1), start)
        owner_BCS = self._owner_BS[:, None].expand_as(x_BCS)
        return out_BCW.scatter_reduce(2, owner_BCS, x_BCS, reduce)[:, :, :-1]


def gather_candidates(
    logp_RV: Tensor, live_BK: Tensor, token_BKS: Tensor, count: int
) -> Candidates:
    """The best `count` continuations, the best of each beam, and those by these tokens (-1: none),
    best first, each once."""
    B, K = live_BK.shape
    best = expand(logp_RV, live_BK, count)
    logp_BKV = logp_RV.view(B, K, -1)
    token_BKE = torch.cat((logp_BKV.argmax(-1, keepdim=True), token_BKS), 2)
    logp_BKE = logp_BKV.gather(2, token_BKE.clamp(min=0)).masked_fill(token_BKE < 0, -torch.inf)
    score_BKE = logp_BKE + live_BK[:, :, None]
    beam_BKE = torch.arange(K, device=live_BK.device)[:, None].expand_as(token_BKE)
    more = Candidates(
        *(x.flatten(1) for x in (score_BKE, beam_BKE, token_BKE.clamp(min=0), logp_BKE))
    )
    every = Candidates(*(torch.cat(pair, 1) for pair in zip(best, more, strict=True)))
    order_BC = every.score_BC.sort(dim=1, descending=True, stable=True).indices
    every = Candidates(*(x.gather(1, order_BC) for x in every))
    twice_BC = _seen_before(every.beam_BC * logp_RV.shape[1] + every.token_BC)
    every = every._replace(score_BC=every.score_BC.masked_fill(twice_BC, -torch.inf))
    order_BC = twice_BC.to(torch.uint8).sort(dim=1, stable=True).indices
    return Candidates(*(x.gather(1, order_BC) for x in every))


def _seen_before(key_BC: Tensor) -> Tensor:
    """Which numbers of a row stand further left, too."""
    sorted_BC, order_BC = key_BC.sort(dim=1, stable=True)
    again_BC = torch.zeros_like(sorted_BC, dtype=torch.bool)
    again_BC[:, 1:] = sorted_BC[:, 1:] == sorted_BC[:, :-1]
    return torch.zeros_like(again_BC).scatter(1, order_BC, again_BC)


def allot(needed_BC: Tensor, possible_BC: Tensor, beam: int) -> Tensor:
    """Which candidates [B,K], given best first, stay: one of each bank in turn, the bank that needs
    least first. What is not possible comes last."""
    needed_BC = needed_BC.masked_fill(~possible_BC, _FAR)
    sorted_BC, order_BC = needed_BC.sort(dim=1, stable=True)
    at_C = torch.arange(sorted_BC.shape[1], device=sorted_BC.device)
    opens_BC = torch.ones_like(sorted_BC, dtype=torch.bool)
    opens_BC[:, 1:] = sorted_BC[:, 1:] != sorted_BC[:, :-1]
    first_BC = torch.where(opens_BC, at_C, 0).cummax(1).values
    turn_BC = (at_C - first_BC).masked_fill(sorted_BC == _FAR, _FAR)
    return order_BC.gather(1, (turn_BC * 2 * _FAR + sorted_BC).sort(dim=1).indices[:, :beam])


@dataclass
class _Wanting(Beams):
    """Beams, and which phrases each has said."""

    met_BKW: Tensor


@dataclass
class _Search:
    """One batch being searched.

    Attributes:
        pool: final hypotheses of each sentence; where there is none at the limit, cut ones.
        spare: what ended without having met everything.
    """

    beams: _Wanting
    phrases: Phrases
    config: SearchConfig
    eos: int
    pool: list[list[Hypothesis]]
    spare: list[list[Hypothesis]]

    def tails(self) -> Tensor:
        """The last tokens of each beam, one fewer than the longest spelling has; -2: none."""
        width = self.phrases.longest - 1
        token_BKT = self.beams.token_BKT
        tail_BKT = token_BKT[:, :, max(0, token_BKT.shape[2] - width) :] if width else token_BKT
        tail_BKT = tail_BKT if width else tail_BKT[:, :, :0]
        return torch.nn.functional.pad(tail_BKT, (width - tail_BKT.shape[2], 0), value=-2)

    def go_on(self, logp_RV: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the row each new beam comes from, [B,K], and which sentences are done [B]."""
        beams, phrases, K = self.beams, self.phrases, self.config.beam
        tail_BKL = self.tails()
        following_BKS = phrases.following(phrases.progress(tail_BKL), beams.met_BKW)
        found = gather_candidates(logp_RV, beams.live_BK, following_BKS, 2 * K)
        at_BC = found.beam_BC[:, :, None]
        tail_BCL = tail_BKL.gather(1, at_BC.expand(-1, -1, tail_BKL.shape[2]))
        progress_BCS = phrases.progress(torch.cat((tail_BCL, found.token_BC[:, :, None]), 2))
        met_BCW = beams.met_BKW.gather(1, at_BC.expand(-1, -1, beams.met_BKW.shape[2]))
        met_BCW = phrases.met(progress_BCS, met_BCW)
        needed_BC = phrases.needed(progress_BCS, met_BCW)
        real_BC = torch.isfinite(found.score_BC)
        at_BK = allot(needed_BC, real_BC & (found.token_BC != self.eos), K)
        possible_BC = found.score_BC.masked_fill(found.token_BC == self.eos, -torch.inf)
        alive = Candidates(*(x.gather(1, at_BK) for x in found._replace(score_BC=possible_BC)))
        met_BKW = met_BCW.gather(1, at_BK[:, :, None].expand(-1, -1, met_BCW.shape[2]))
        done_B = self._settle(found, alive, needed_BC == 0, met_BKW.all(-1))
        rows = beams.live_BK.shape[1]
        parent_BK = alive.beam_BC + rows * torch.arange(len(done_B), device=at_BK.device)[:, None]
        advance(beams, alive)
        beams.met_BKW = met_BKW
        return parent_BK, done_B

    def _settle(
        self, found: Candidates, alive: Candidates, whole_BC: Tensor, whole_BK: Tensor
    ) -> Tensor:
        """Collect what this step made final, or cut, and say which sentences are done [B]."""
        beams, config, alpha = self.beams, self.config, self.config.length_alpha
        length = beams.token_BKT.shape[2] + 1
        real_BC = torch.isfinite(found.score_BC)
        ends_BC = (found.token_BC == self.eos) & real_BC
        whole_BC = whole_BC & real_BC
        final_BC = ends_BC & whole_BC & (whole_BC.long().cumsum(1) <= config.beam)
        collect(self.pool, beams, final_BC, found, alpha, finished=True)
        unmet_BC = ends_BC & ~whole_BC
        unmet_BC[:, config.beam :] = False
        collect(self.spare, beams, unmet_BC, found, alpha, finished=True, met=False)
        beams.found_B = beams.found_B + final_BC.sum(1)
        penalty = length_penalty(length, alpha)
        beams.best_BN = keep_best(beams.best_BN, final_BC, found.score_BC, penalty)
        over_B = beams.limit_B <= length
        cut_BK = torch.isfinite(alive.score_BC) & (over_B & (beams.found_B == 0))[:, None]
        collect(self.pool, beams, cut_BK & whole_BK, alive, alpha, finished=False)
        collect(self.pool, beams, cut_BK & ~whole_BK, alive, alpha, finished=False, met=False)
        dead_B = torch.isneginf(alive.score_BC).all(1)
        lost_B = unbeatable(beams.best_BN, alive.score_BC, length, beams.limit_B, alpha)
        return (beams.found_B >= config.beam) | over_B | dead_B | lost_B


def search_required(
    decoder: Decoder,
    limits: list[int],
    constraints: Sequence[Constraint],
    config: SearchConfig,
    symbols: Symbols,
    device: torch.device,
    cancelled: Cancelled | None = None,
) -> list[list[Hypothesis]]:
    """As `search.beam_search`, of sentences whose constraints have required phrases.

    Raises:
        CancelledError: `cancelled` said so.
        FloatingPointError: the model gave numbers that are not finite.
    """
    phrases, rules = Phrases(constraints, device), Rules(constraints, device)
    begin = start(limits, config.n_best, device)
    beams = _Wanting(**vars(begin), met_BKW=phrases.nothing_met())
    search = _Search(
        beams, phrases, config, symbols.eos, [[] for _ in limits], [[] for _ in limits]
    )
    forbidden = torch.tensor(symbols.forbidden, dtype=torch.long, device=device)
    last_R = torch.full((len(limits),), symbols.bos, device=device)
    while len(last_R):
        check(cancelled)
        logp_RV = log_probs(decoder.step(last_R)).index_fill_(1, forbidden, -torch.inf)
        of_R = beams.sentence_B.repeat_interleave(beams.live_BK.shape[1])
        rules.apply(logp_RV, beams.token_BKT.flatten(0, 1), of_R)
        parent_BK, done_B = search.go_on(logp_RV)
        stay_B = close_ranks(done_B)
        beams.keep(stay_B)
        phrases.keep(stay_B)
        last_R = beams.token_BKT[:, :, -1].flatten()
        if len(last_R):
            everyone = len(stay_B) == len(done_B)
            decoder.select(parent_BK[stay_B].flatten(), None if everyone else stay_B)
    pairs = zip(search.pool, search.spare, strict=True)
    return [ranked([*pool, *spare], config.n_best) for pool, spare in pairs]
