"""Beam search against brute force over tables of logits."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_toys import (
    BOS,
    EOS,
    SYMBOLS,
    Table,
    ToyDecoder,
    every_sentence,
    greedy,
    plain_beam,
    random_table,
    rescore,
)

from m4nmt.core.stages import SearchConfig
from m4nmt.translate import search
from m4nmt.translate.decoder import CancelledError, Hypothesis, Symbols

CPU = torch.device("cpu")
alphas = st.sampled_from((0.0, 0.6, 1.0, 2.0, -0.5))
seeds = st.integers(0, 10**6)


def find(
    table: Table, sentences: list[int], limits: list[int], config: SearchConfig
) -> list[list[Hypothesis]]:
    return search.beam_search(ToyDecoder(table, sentences), limits, config, SYMBOLS, CPU)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, vocab=st.integers(3, 5), limit=st.integers(1, 4), alpha=alphas)
def test_a_beam_that_holds_everything_finds_the_optimum(
    seed: int, vocab: int, limit: int, alpha: float
) -> None:
    table = random_table(seed, vocab)
    beam = vocab**limit
    n_best = min(4, beam)
    config = SearchConfig(beam=beam, n_best=n_best, length_alpha=alpha)
    [found] = find(table, [0], [limit], config)
    best = every_sentence(table, 0, vocab, limit, alpha)[:n_best]
    assert [h.tokens for h in found] == [tokens for _, tokens in best]
    assert [h.score for h in found] == pytest.approx([score for score, _ in best], abs=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, alpha=alphas)
def test_the_optimum_of_five_symbols_and_five_tokens(seed: int, alpha: float) -> None:
    table = random_table(seed, 5)
    [[best]] = find(table, [0], [5], SearchConfig(beam=3**5, length_alpha=alpha))
    score, tokens = every_sentence(table, 0, 5, 5, alpha)[0]
    assert best.tokens == tokens
    assert best.score == pytest.approx(score, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    vocab=st.integers(2, 6),
    limits=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    beam=st.integers(1, 5),
    alpha=alphas,
    spread=st.sampled_from((0.5, 2.0, 6.0)),
    data=st.data(),
)
def test_batched_search_follows_the_rules(
    seed: int,
    vocab: int,
    limits: list[int],
    beam: int,
    alpha: float,
    spread: float,
    data: st.DataObject,
) -> None:
    n_best = data.draw(st.integers(1, beam))
    table = random_table(seed, vocab, spread)
    config = SearchConfig(beam=beam, n_best=n_best, length_alpha=alpha)
    results = find(table, list(range(len(limits))), limits, config)
    for sentence, limit in enumerate(limits):
        expected = plain_beam(table, sentence, limit, beam, alpha, n_best)
        found = results[sentence]
        assert [(h.tokens, h.finished) for h in found] == [(t, f) for _, t, f in expected]
        assert [h.score for h in found] == pytest.approx([s for s, _, _ in expected], abs=1e-5)
        assert len({h.tokens for h in found}) == len(found)
        for h in found:
            forced = rescore(table, sentence, h.tokens)
            assert list(h.logp) == pytest.approx(forced, abs=1e-5)
            total = sum(forced) / ((5 + len(h.tokens)) / 6) ** alpha
            assert h.score == pytest.approx(total, abs=1e-5)
            assert len(h.tokens) <= limit
            assert BOS not in h.tokens
            assert h.finished == (h.tokens[-1] == EOS)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, vocab=st.integers(2, 5), limit=st.integers(1, 8), alpha=alphas)
def test_beam_one_is_greedy(seed: int, vocab: int, limit: int, alpha: float) -> None:
    table = random_table(seed, vocab)
    [[found]] = find(table, [0], [limit], SearchConfig(beam=1, length_alpha=alpha))
    assert (found.tokens, found.finished) == greedy(table, 0, limit)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, order=st.permutations(range(5)), beam=st.integers(1, 4), alpha=alphas)
def test_the_batch_a_sentence_is_in_changes_nothing(
    seed: int, order: list[int], beam: int, alpha: float
) -> None:
    table = random_table(seed, 5)
    limits = [1, 3, 4, 6, 9]
    config = SearchConfig(beam=beam, n_best=beam, length_alpha=alpha)
    alone = [find(table, [s], [limits[s]], config)[0] for s in range(5)]
    together = find(table, list(order), [limits[s] for s in order], config)
    assert together == [alone[s] for s in order]


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    beam=st.integers(1, 4),
    alpha=alphas,
    spread=st.sampled_from((0.3, 1.0, 3.0)),
    data=st.data(),
)
def test_the_early_stop_saves_steps_and_changes_nothing(
    seed: int, beam: int, alpha: float, spread: float, data: st.DataObject
) -> None:
    n_best = data.draw(st.integers(1, beam))
    table = random_table(seed, 4, spread)
    config = SearchConfig(beam=beam, n_best=n_best, length_alpha=alpha)
    early, late = ToyDecoder(table, [0]), ToyDecoder(table, [0])
    found = search.beam_search(early, [9], config, SYMBOLS, CPU)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "unbeatable", lambda best, *_: torch.zeros(len(best), dtype=bool))
        assert found == search.beam_search(late, [9], config, SYMBOLS, CPU)
    assert len(early.steps) <= len(late.steps)


def certain(tokens: tuple[int, ...], vocab: int, p: float = 0.9) -> Table:
    """A model nearly sure of one sentence."""

    def table(_: int, prefix: tuple[int, ...]) -> list[float]:
        logits = [math.log((1 - p) / (vocab - 1))] * vocab
        logits[tokens[len(prefix)] if len(prefix) < len(tokens) else EOS] = math.log(p)
        return logits

    return table


def test_the_early_stop_stops() -> None:
    decoder = ToyDecoder(certain((2, 3, EOS), 5, p=0.999), [0])
    config = SearchConfig(beam=4, length_alpha=1.0)
    [[best]] = search.beam_search(decoder, [40], config, SYMBOLS, CPU)
    assert best.tokens == (2, 3, EOS)
    assert len(decoder.steps) <= 4


def test_finished_sentences_leave_the_batch() -> None:
    def table(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        return certain((*[2] * (3 * sentence), EOS), 5, 0.999)(sentence, prefix)

    decoder = ToyDecoder(table, [0, 1, 2, 3])
    found = search.beam_search(decoder, [30] * 4, SearchConfig(beam=1), SYMBOLS, CPU)
    assert [len(best.tokens) for [best] in found] == [1, 4, 7, 10]
    assert decoder.steps == [4, 3, 3, 3, 2, 2, 2, 1, 1, 1]


def test_end_at_the_first_step() -> None:
    [[best]] = find(certain((EOS,), 4), [0], [5], SearchConfig(beam=2))
    assert best.tokens == (EOS,)
    assert best.finished
    assert best.score == pytest.approx(math.log(0.9))


def test_at_the_limit_nothing_is_forced() -> None:
    endless = certain((2,) * 20, 4)
    [found] = find(endless, [0], [3], SearchConfig(beam=1))
    assert found == [Hypothesis((2, 2, 2), found[0].logp, found[0].score, False)]
    assert found[0].score == pytest.approx(3 * math.log(0.9) / (8 / 6))
    # wider beams see an end among the best, and a finished sentence goes before a cut one
    [found] = find(endless, [0], [3], SearchConfig(beam=3, n_best=3))
    assert all(h.finished for h in found)


def test_forbidden_symbols_never_appear_and_keep_their_probability() -> None:
    def table(_: int, prefix: tuple[int, ...]) -> list[float]:
        return [math.log(p) for p in (0.01, 0.05, 0.9, 0.04)]  # 2 is likeliest, and forbidden

    symbols = Symbols(bos=BOS, eos=EOS, forbidden=(BOS, 2))
    decoder = ToyDecoder(table, [0])
    config = SearchConfig(beam=2, n_best=2, length_alpha=0.0)
    [found] = search.beam_search(decoder, [3], config, symbols, CPU)
    assert all(2 not in h.tokens and BOS not in h.tokens for h in found)
    assert found[0].score == pytest.approx(math.log(0.05))


def test_everything_forbidden_but_the_end() -> None:
    symbols = Symbols(bos=BOS, eos=EOS, forbidden=(BOS, 2, 3))
    decoder = ToyDecoder(random_table(1, 4), [0, 1])
    config = SearchConfig(beam=4, n_best=4)
    found = search.beam_search(decoder, [5, 5], config, symbols, CPU)
    assert [[h.tokens for h in hs] for hs in found] == [[(EOS,)], [(EOS,)]]


def test_the_end_must_be_allowed() -> None:
    with pytest.raises(ValueError, match="end symbol"):
        Symbols(bos=BOS, eos=EOS, forbidden=(EOS,))


def test_an_empty_batch() -> None:
    assert find(random_table(0, 4), [], [], SearchConfig()) == []


def test_cancelling_stops_before_the_next_step() -> None:
    decoder = ToyDecoder(certain((2,) * 50, 4), [0])
    with pytest.raises(CancelledError):
        search.beam_search(
            decoder, [50], SearchConfig(), SYMBOLS, CPU, lambda: len(decoder.steps) >= 3
        )
    assert len(decoder.steps) == 3


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        find(lambda *_: [0.0, bad, 0.0], [0], [3], SearchConfig())


# ---- the small pieces


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    B=st.integers(1, 4),
    K=st.integers(1, 4),
    V=st.integers(2, 9),
    count=st.integers(1, 8),
)
def test_expand_ranks_all_continuations(seed: int, B: int, K: int, V: int, count: int) -> None:
    torch.manual_seed(seed)
    logits = torch.randn(B * K, V) * 3
    live = torch.randn(B, K) - 5
    live[0, K - 1] = -torch.inf if K > 1 else live[0, 0]
    expected = live[:, :, None] + logits.log_softmax(-1).view(B, K, V)
    expected[:, :, 0] = -torch.inf
    logp = logits.log_softmax(-1).index_fill_(1, torch.tensor([0]), -torch.inf)
    found = search.expand(logp, live, count)
    for b in range(B):
        best = sorted(expected[b].flatten().tolist(), reverse=True)[:count]
        best += [-math.inf] * (count - len(best))
        assert found.score_BC[b].tolist() == pytest.approx(best, abs=1e-5)
        for c in range(count):
            if found.score_BC[b, c] > -torch.inf:
                k, v = int(found.beam_BC[b, c]), int(found.token_BC[b, c])
                assert float(expected[b, k, v]) == pytest.approx(best[c], abs=1e-5)
                logp = float(expected[b, k, v] - live[b, k])
                assert float(found.logp_BC[b, c]) == pytest.approx(logp, abs=1e-5)


def test_finals_and_survivors_part_the_candidates() -> None:
    candidates = search.Candidates(
        score_BC=torch.tensor([[-1.0, -2.0, -3.0, -4.0], [-1.0, -2.0, -torch.inf, -torch.inf]]),
        beam_BC=torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0]]),
        token_BC=torch.tensor([[EOS, 2, EOS, 3], [EOS, 2, EOS, 0]]),
        logp_BC=torch.zeros(2, 4),
    )
    ends = search.finals(candidates, EOS, 2)
    assert ends.tolist() == [[True, False, False, False], [True, False, False, False]]
    alive = search.survivors(candidates, EOS, 2)
    assert alive.token_BC.tolist() == [[2, 3], [2, 0]]
    assert alive.score_BC.tolist() == [[-2.0, -4.0], [-2.0, -math.inf]]
    assert alive.beam_BC.tolist() == [[1, 1], [0, 0]]


def test_keep_best() -> None:
    best = torch.tensor([[-1.0, -torch.inf], [-0.5, -0.6]])
    final = torch.tensor([[True, False, True], [True, False, False]])
    score = torch.tensor([[-1.0, -0.1, -6.0], [-4.0, -0.1, -0.1]])
    kept = search.keep_best(best, final, score, 2.0)
    torch.testing.assert_close(kept, torch.tensor([[-0.5, -1.0], [-0.5, -0.6]]))


@settings(max_examples=60, deadline=None)
@given(
    total=st.floats(-50, 0),
    length=st.integers(1, 10),
    more=st.integers(0, 10),
    alpha=st.floats(-2, 2),
    kept=st.floats(-20, 0),
)
def test_the_bound_is_right_and_tight(
    total: float, length: int, more: int, alpha: float, kept: float
) -> None:
    """The best completion costs nothing and has the best of all lengths up to the limit."""
    limit = length + more
    says = search.unbeatable(
        torch.tensor([[0.0, kept]], dtype=torch.double),
        torch.tensor([[total - 1, total]], dtype=torch.double),
        length,
        torch.tensor([limit]),
        alpha,
    )
    ends = range(length + 1, max(limit, length + 1) + 1)
    reachable = max(total / ((5 + end) / 6) ** alpha for end in ends)
    assert bool(says) == (kept >= reachable) or kept == pytest.approx(reachable)


@given(done=st.lists(st.booleans(), max_size=12))
def test_ranks_are_closed_with_the_fewest_moves(done: list[bool]) -> None:
    places = search.close_ranks(torch.tensor(done, dtype=torch.bool)).tolist()
    assert sorted(places) == [i for i, gone in enumerate(done) if not gone]
    assert sum(i != place for i, place in enumerate(places)) == sum(done[: len(places)])


def test_n_best_may_not_exceed_the_beam() -> None:
    with pytest.raises(ValueError, match="n_best"):
        replace(SearchConfig(beam=2), n_best=3)
