"""Prefixes and forbidden sequences against brute force."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_toys import SYMBOLS, ToyDecoder, every_sentence, random_table, rescore

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.constraints import FREE, Constraint, Ids, Rules
from m4nmt.translate.sampling import sample
from m4nmt.translate.search import beam_search

CPU = torch.device("cpu")
seeds = st.integers(0, 10**6)
words = st.integers(2, 4)  # of a vocabulary of five; 0 begins, 1 ends
phrases = st.lists(words, min_size=1, max_size=2).map(tuple)


def holds(tokens: Ids, constraint: Constraint) -> bool:
    n = len(constraint.prefix)
    if tokens[:n] != constraint.prefix:
        return False
    return not any(
        tokens[i : i + len(phrase)] == phrase and i + len(phrase) > n
        for phrase in constraint.forbidden
        for i in range(len(tokens))
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    limit=st.integers(2, 4),
    prefix=st.lists(words, max_size=2).map(tuple),
    forbidden=st.lists(phrases, max_size=3).map(tuple),
    alpha=st.sampled_from((0.0, 1.0)),
)
def test_a_beam_that_holds_everything_finds_the_best_that_is_allowed(
    seed: int, limit: int, prefix: Ids, forbidden: tuple[Ids, ...], alpha: float
) -> None:
    table = random_table(seed, 5)
    constraint = Constraint(prefix=prefix, forbidden=forbidden)
    allowed = [
        (score, tokens)
        for score, tokens in every_sentence(table, 0, 5, limit, alpha)
        if holds(tokens, constraint)
    ]
    config = SearchConfig(beam=5**limit, n_best=3, length_alpha=alpha)
    rules = Rules([constraint, FREE], CPU)
    found, free = beam_search(
        ToyDecoder(table, [0, 0]), [limit, limit], config, SYMBOLS, CPU, rules=rules
    )
    if allowed:
        assert [h.tokens for h in found] == [tokens for _, tokens in allowed[:3]]
        assert [h.score for h in found] == pytest.approx([s for s, _ in allowed[:3]], abs=1e-5)
    best_free = every_sentence(table, 0, 5, limit, alpha)[:3]
    assert [h.tokens for h in free] == [tokens for _, tokens in best_free]


@settings(max_examples=30, deadline=None)
@given(
    seed=seeds,
    prefixes=st.lists(st.lists(words, max_size=3).map(tuple), min_size=1, max_size=4),
    phrase=phrases,
    beam=st.integers(1, 4),
    drawn=st.booleans(),
)
def test_batches_keep_to_their_rules_and_score_as_the_model(
    seed: int, prefixes: list[Ids], phrase: Ids, beam: int, drawn: bool
) -> None:
    table, limits = random_table(seed, 5), [8] * len(prefixes)
    constraints = [Constraint(prefix=prefix, forbidden=(phrase,)) for prefix in prefixes]
    config = SearchConfig(beam=beam, n_best=beam, sample=drawn)
    rules = Rules(constraints, CPU)
    decoder = ToyDecoder(table, range(len(prefixes)))
    if drawn:
        keys = [(s,) for s in range(len(prefixes))]
        results = sample(decoder, limits, keys, config, SYMBOLS, CPU, rules=rules)
    else:
        results = beam_search(decoder, limits, config, SYMBOLS, CPU, rules=rules)
    for sentence, (found, constraint) in enumerate(zip(results, constraints, strict=True)):
        assert found
        for h in found:
            assert holds(h.tokens, constraint)
            assert list(h.logp) == pytest.approx(rescore(table, sentence, h.tokens), abs=1e-5)


def test_a_constraint_of_nothing_is_none() -> None:
    assert not FREE
    assert Constraint(prefix=(3,))
