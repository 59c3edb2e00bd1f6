"""What CTranslate2's hypotheses say about ours, by a search like CTranslate2's over toy models."""

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.candidates import Again, Best, Ends, Found, certain, complete
from m4nmt.translate.decoder import Symbols
from m4nmt.translate.search import beam_search

VOCAB, BOS, EOS = 9, 0, 1


class Chain:
    """Every token's distribution depends on the one before it and on the step."""

    def __init__(self, seed: int, sharp: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randn(5, VOCAB, VOCAB, generator=generator) * sharp
        self.time = 0

    def step(self, last_R: torch.Tensor) -> torch.Tensor:
        logits = self.table[self.time % 5, last_R]
        self.time += 1
        return logits

    def select(self, rows_R: torch.Tensor, sentences_B: torch.Tensor | None) -> None:
        pass


def ends_of(symbols: Symbols) -> Ends:
    return Ends(symbols.eos, frozenset([symbols.eos, *symbols.forbidden]))


class FewerBeamsError(Exception):
    """The one difference that stays."""


class TieError(Exception):
    """Two continuations are equally good, to the rounding: either may be taken."""


def like_ctranslate2(
    model: Chain, symbols: Symbols, beam: int, most: int, limit: int
) -> list[Found]:
    """Registers what ends among the best `beam`, all of them at the limit; stops at `most`."""
    ends = {symbols.eos, *symbols.forbidden}
    live, registered = [((), 0.0)], []
    for step in range(limit):
        logits = model.step(torch.tensor([t[-1] if t else BOS for t, _ in live]))
        logp = logits.log_softmax(-1).tolist()
        ways = [
            ((*tokens, v), total + logp[row][v])
            for row, (tokens, total) in enumerate(live)
            for v in range(VOCAB)
        ]
        ways.sort(key=lambda way: -way[1])
        best = ways[: 2 * beam]
        if any(a[1] - b[1] < 1e-5 for a, b in itertools.pairwise(ways[: 2 * beam + 1])):
            raise TieError
        last = step + 1 == limit
        registered += [Found(*way) for way in best[:beam] if last or way[0][-1] in ends]
        if last or len(registered) >= most:
            break
        live = [way for way in best if way[0][-1] not in ends][:beam]
        if len(live) < beam:  # more ends than CTranslate2 has spare beams
            raise FewerBeamsError
    return sorted(registered, key=lambda found: -found.total)[:most]


@pytest.mark.parametrize("forbidden", [(), (0, 2)])
@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sharp=st.sampled_from([0.5, 2.0, 4.0]),
    beam=st.integers(2, 3),
    n_best=st.integers(1, 3),
    alpha=st.sampled_from([0.0, 0.6, 1.0, 3.0, -0.5]),
    limit=st.integers(1, 9),
    beyond=st.integers(0, 4),
)
@example(seed=22, sharp=0.5, beam=3, n_best=1, alpha=0.0, limit=4, beyond=0)
@example(seed=1822, sharp=0.5, beam=3, n_best=1, alpha=0.0, limit=3, beyond=1)
@example(seed=9685, sharp=4.0, beam=2, n_best=1, alpha=0.0, limit=5, beyond=0)
@example(seed=6582, sharp=4.0, beam=2, n_best=2, alpha=1.0, limit=3, beyond=4)
def test_what_is_certain_is_what_our_search_finds(
    forbidden: tuple[int, ...],
    seed: int,
    sharp: float,
    beam: int,
    n_best: int,
    alpha: float,
    limit: int,
    beyond: int,
) -> None:
    config = SearchConfig(beam=beam, n_best=min(n_best, beam), length_alpha=alpha)
    symbols = Symbols(BOS, EOS, forbidden)
    try:
        check(config, symbols, limit, beyond, lambda: Chain(seed, sharp))
    except (FewerBeamsError, TieError):
        reject()


def check(
    config: SearchConfig, symbols: Symbols, limit: int, beyond: int, model: Callable[[], Chain]
) -> None:
    """Both ways to our search's result, if they claim to have it."""
    [ours] = beam_search(model(), [limit], config, symbols, torch.device("cpu"))

    def same(theirs: list[Best]) -> bool:
        scores = [h.score for h in ours]
        tokens = [(h.tokens, h.finished) for h in ours]
        return [(tuple(h.tokens), h.finished) for h in theirs] == tokens and [
            h.score for h in theirs
        ] == pytest.approx(scores, abs=1e-5)

    ran, beam = limit + beyond, config.beam
    quick = like_ctranslate2(model(), symbols, beam, beam, ran)
    best = certain(quick, limit, config, ends_of(symbols))
    assert isinstance(best, Again) or same(best)
    steps = best.steps if isinstance(best, Again) else limit
    assert steps <= limit
    most = steps + (beyond if steps < limit else 0)
    whole = like_ctranslate2(model(), symbols, beam, beam * (most + 1), most)
    theirs = complete(whole, steps, config, ends_of(symbols))
    assert theirs is not None or symbols.forbidden
    assert theirs is None or same(theirs)


def test_most_searches_are_certain_at_once() -> None:
    config, symbols = SearchConfig(beam=3, length_alpha=1.0), Symbols(BOS, EOS)
    sure = 0
    for seed, sharp in itertools.product(range(50), (2.0, 4.0)):
        try:
            quick = like_ctranslate2(Chain(seed, sharp), symbols, 3, 3, 20)
        except TieError:
            continue
        sure += isinstance(certain(quick, 20, config, ends_of(symbols)), list)
    assert sure > 80


def test_an_end_inside_spoils_a_hypothesis() -> None:
    config, ends = SearchConfig(beam=3), Ends(EOS, frozenset([EOS, 2]))
    good = Found((5, EOS), -2.0)
    for tokens in ((EOS, 5, EOS), (2, EOS), (5, 2)):
        for total, harmless in ((-0.5, False), (-9.0, True)):
            found = [Found(tokens, total), good]
            assert certain(found, 9, config, ends) == Again(9, True)
            best = complete(found, 9, config, ends)
            assert [h.tokens for h in best or []] == ([good.tokens] if harmless else [])
        assert complete([Found(tokens, -0.5)], 9, config, ends) is None
