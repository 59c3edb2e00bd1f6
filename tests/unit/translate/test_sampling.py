"""Drawing from tables of logits."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_toys import BOS, EOS, SYMBOLS, Table, ToyDecoder, greedy, random_table, rescore

from m4nmt.core.stages import SearchConfig
from m4nmt.translate import sampling
from m4nmt.translate.decoder import CancelledError, Hypothesis

CPU = torch.device("cpu")
seeds = st.integers(0, 10**6)


def draw(
    table: Table, sentences: list[int], limits: list[int], config: SearchConfig
) -> list[list[Hypothesis]]:
    decoder = ToyDecoder(table, sentences)
    keys = [(7, s) for s in sentences]
    return sampling.sample(decoder, limits, keys, config, SYMBOLS, CPU)


@settings(max_examples=30, deadline=None)
@given(
    seed=seeds,
    order=st.permutations(range(4)),
    draws=st.integers(1, 4),
    top_k=st.sampled_from((0, 2)),
    top_p=st.sampled_from((1.0, 0.7)),
)
def test_a_draw_depends_on_the_sentence_alone(
    seed: int, order: list[int], draws: int, top_k: int, top_p: float
) -> None:
    table = random_table(seed, 6)
    limits = [1, 3, 5, 9]
    config = SearchConfig(
        sample=True, beam=draws, n_best=draws, seed=seed, top_k=top_k, top_p=top_p
    )
    alone = [draw(table, [s], [limits[s]], config)[0] for s in range(4)]
    together = draw(table, list(order), [limits[s] for s in order], config)
    assert together == [alone[s] for s in order]
    fewer = SearchConfig(sample=True, beam=1, seed=seed, top_k=top_k, top_p=top_p)
    for s in range(4):
        [[first]] = draw(table, [s], [limits[s]], fewer)
        assert first in alone[s]


@settings(max_examples=30, deadline=None)
@given(seed=seeds, limit=st.integers(1, 8), alpha=st.sampled_from((0.0, 1.0)))
def test_draws_carry_the_models_own_scores(seed: int, limit: int, alpha: float) -> None:
    table = random_table(seed, 5)
    config = SearchConfig(
        sample=True, beam=4, n_best=4, seed=seed, temperature=1.7, top_k=3, length_alpha=alpha
    )
    [found] = draw(table, [0], [limit], config)
    assert len(found) == 4
    assert [h.score for h in found if h.finished] == sorted(
        (h.score for h in found if h.finished), reverse=True
    )
    for h in found:
        forced = rescore(table, 0, h.tokens)
        assert list(h.logp) == pytest.approx(forced, abs=1e-5)
        assert h.score == pytest.approx(sum(forced) / ((5 + len(h.tokens)) / 6) ** alpha, abs=1e-5)
        assert h.finished == (h.tokens[-1] == EOS)
        assert len(h.tokens) <= limit
        assert EOS not in h.tokens[:-1]
        assert BOS not in h.tokens


def test_another_seed_draws_another_sentence() -> None:
    table = random_table(3, 8, 0.5)
    found = {
        draw(table, [0], [9], SearchConfig(sample=True, beam=1, seed=s))[0][0].tokens
        for s in range(12)
    }
    assert len(found) > 6


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_one_choice_left_is_greedy(seed: int) -> None:
    table = random_table(seed, 5)
    for config in (
        SearchConfig(sample=True, beam=1, top_k=1, seed=seed),
        SearchConfig(sample=True, beam=1, top_p=1e-9, seed=seed),
        SearchConfig(sample=True, beam=1, temperature=1e-4, seed=seed),
    ):
        [[found]] = draw(table, [0], [6], config)
        assert (found.tokens, found.finished) == greedy(table, 0, 6)


def test_draws_follow_the_distribution() -> None:
    p = {EOS: 0.2, 2: 0.5, 3: 0.3}

    def table(_: int, prefix: tuple[int, ...]) -> list[float]:
        return [0.0, *(math.log(p[v]) for v in (EOS, 2, 3))] if not prefix else [0.0, 99, 0, 0]

    count = 4000
    config = SearchConfig(sample=True, beam=count, n_best=count)
    [found] = draw(table, [0], [2], config)
    seen = Counter(h.tokens[0] for h in found)
    for token, mass in p.items():
        assert seen[token] / count == pytest.approx(mass, abs=4 * math.sqrt(0.25 / count))


@settings(max_examples=60, deadline=None)
@given(
    eighths=st.lists(st.integers(-40, 40), min_size=2, max_size=7, unique=True),
    temperature=st.sampled_from((0.5, 1.0, 2.0)),
    top_k=st.integers(0, 8),
    top_p=st.sampled_from((0.1, 0.5, 0.9, 1.0)),
)
def test_shape_keeps_the_likeliest(
    eighths: list[int], temperature: float, top_k: int, top_p: float
) -> None:
    logits = [x / 8 for x in eighths]
    p, ids = sampling.shape(torch.tensor([logits]), temperature, top_k, top_p)
    kept = {int(i): float(x) for i, x in zip(ids[0], p[0], strict=True) if x > 0}
    order = sorted(range(len(logits)), key=lambda i: -logits[i])[: top_k or None]
    weights = np.exp(np.array([logits[i] for i in order]) / temperature)
    weights /= weights.sum()
    nucleus = 1 + int((np.cumsum(weights)[:-1] < top_p).sum())
    assert set(kept) == set(order[:nucleus])
    for i, weight in list(zip(order, weights, strict=True))[:nucleus]:
        assert kept[i] == pytest.approx(weight)


def test_pick_never_takes_what_has_no_mass() -> None:
    p = torch.tensor([[0.0, 0.5, 0.0, 0.25, 0.0]], dtype=torch.double).expand(5, -1)
    uniform = torch.tensor([0.0, 0.6, 2 / 3, 0.9, 1 - 1e-12], dtype=torch.double)
    assert sampling.pick(p, uniform).tolist() == [1, 1, 3, 3, 3]


def test_uniforms_are_of_the_sentence() -> None:
    rows = sampling.uniforms(1, (5, 6), 3, 8)
    assert np.array_equal(sampling.uniforms(1, (5, 6), 1, 4), rows[:1, :4])
    for other in (sampling.uniforms(2, (5, 6), 3, 8), sampling.uniforms(1, (56,), 3, 8), rows[1:]):
        assert not np.array_equal(other[0], rows[0])


def test_empty_batch_and_cancelling() -> None:
    config = SearchConfig(sample=True)
    assert draw(random_table(0, 4), [], [], config) == []
    decoder = ToyDecoder(random_table(0, 4), [0])
    with pytest.raises(CancelledError):
        sampling.sample(decoder, [9], [(1,)], config, SYMBOLS, CPU, lambda: True)
    assert decoder.steps == []


def test_finished_sentences_leave_the_batch() -> None:
    def table(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        return [0.0, 99.0, 0.0] if len(prefix) == 2 * sentence else [0.0, 0.0, 99.0]

    decoder = ToyDecoder(table, [0, 1, 2])
    config = SearchConfig(sample=True, beam=2)
    found = sampling.sample(decoder, [9] * 3, [(s,) for s in range(3)], config, SYMBOLS, CPU)
    assert [len(best.tokens) for [best] in found] == [1, 3, 5]
    assert decoder.steps == [3, 4, 4, 2, 2]
