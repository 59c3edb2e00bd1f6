"""Phrases that must occur, against the enumeration of all sentences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_toys import SYMBOLS, ToyDecoder, every_sentence, random_table, rescore

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.constraints import Constraint, Ids
from m4nmt.translate.required import allot, search_required
from m4nmt.translate.search import beam_search

CPU = torch.device("cpu")
seeds = st.integers(0, 10**6)
words = st.integers(2, 4)  # of a vocabulary of five; 0 begins, 1 ends
spellings = st.lists(words, min_size=1, max_size=2).map(tuple)
phrases = st.lists(spellings, min_size=1, max_size=2).map(tuple)


def has(tokens: Ids, ids: Ids) -> bool:
    return any(tokens[i : i + len(ids)] == ids for i in range(len(tokens)))


def meets(tokens: Ids, constraint: Constraint) -> bool:
    asked = all(any(has(tokens, ids) for ids in phrase) for phrase in constraint.required)
    free = not any(has(tokens, ids) for ids in constraint.forbidden)
    return asked and free and tokens[: len(constraint.prefix)] == constraint.prefix


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    limit=st.integers(2, 5),
    required=st.lists(phrases, max_size=2).map(tuple),
    forbidden=st.lists(spellings, max_size=1).map(tuple),
    alpha=st.sampled_from((0.0, 1.0)),
)
def test_a_beam_that_holds_everything_finds_the_best_that_says_the_phrases(
    seed: int,
    limit: int,
    required: tuple[tuple[Ids, ...], ...],
    forbidden: tuple[Ids, ...],
    alpha: float,
) -> None:
    table = random_table(seed, 5)
    constraint = Constraint(required=required, forbidden=forbidden)
    every = every_sentence(table, 0, 5, limit, alpha)
    allowed = [pair for pair in every if meets(pair[1], constraint)]
    config = SearchConfig(beam=3 ** (limit - 1) * 5, n_best=3, length_alpha=alpha)
    [found] = search_required(ToyDecoder(table, [0]), [limit], [constraint], config, SYMBOLS, CPU)
    ended = [h for h in found if h.met and h.finished]
    assert [h.tokens for h in ended] == [tokens for _, tokens in allowed[:3]]
    assert [h.score for h in ended] == pytest.approx([s for s, _ in allowed[:3]], abs=1e-5)
    assert found[: len(ended)] == ended
    unmet = Constraint(forbidden=forbidden)
    free = [tokens for _, tokens in every if meets(tokens, unmet)]
    if free and not ended and not found[0].met:
        assert found[0].tokens in free or not found[0].finished


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    beam=st.integers(1, 4),
    asked=st.lists(
        st.tuples(st.lists(phrases, max_size=3).map(tuple), st.lists(words, max_size=2).map(tuple)),
        min_size=1,
        max_size=4,
    ),
)
def test_any_beam_says_the_phrases_where_there_is_room(
    seed: int, beam: int, asked: list[tuple[tuple[tuple[Ids, ...], ...], Ids]]
) -> None:
    table = random_table(seed, 5)
    constraints = [Constraint(required=required, prefix=prefix) for required, prefix in asked]
    room = [
        len(c.prefix) + sum(min(map(len, phrase)) for phrase in c.required) + 1 for c in constraints
    ]
    config = SearchConfig(beam=beam, n_best=beam)
    decoder = ToyDecoder(table, range(len(asked)))
    results = search_required(decoder, room, constraints, config, SYMBOLS, CPU)
    for sentence, (found, constraint) in enumerate(zip(results, constraints, strict=True)):
        assert found[0].met
        assert len({h.tokens for h in found}) == len(found)
        for h in found:
            assert h.met == meets(h.tokens, constraint)
            assert h.finished == (h.tokens[-1] == 1)
            assert list(h.logp) == pytest.approx(rescore(table, sentence, h.tokens), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, beam=st.integers(1, 5), limits=st.lists(st.integers(1, 6), max_size=3))
def test_without_phrases_it_is_beam_search(seed: int, beam: int, limits: list[int]) -> None:
    table, config = random_table(seed, 5), SearchConfig(beam=beam, n_best=beam)
    free = [Constraint() for _ in limits]
    rows = range(len(limits))
    found = search_required(ToyDecoder(table, rows), limits, free, config, SYMBOLS, CPU)
    assert found == beam_search(ToyDecoder(table, rows), limits, config, SYMBOLS, CPU)


def test_what_cannot_be_said_is_marked() -> None:
    table = random_table(3, 5)
    long = Constraint(required=(((2, 3, 2, 3),),))
    both = Constraint(required=(((2,),),), forbidden=((2,),))
    config = SearchConfig(beam=3, n_best=3)
    results = search_required(ToyDecoder(table, [0, 1]), [3, 6], [long, both], config, SYMBOLS, CPU)
    for found, constraint in zip(results, (long, both), strict=True):
        assert found
        assert not any(h.met or meets(h.tokens, constraint) for h in found)
    assert results[1][0].finished


def test_banks_take_turns_and_the_one_that_needs_least_is_first() -> None:
    needed = torch.tensor([[2, 2, 0, 2, 1, 0, 0]])
    possible = torch.tensor([[True, True, True, True, True, True, False]])
    assert allot(needed, possible, 4).tolist() == [[2, 4, 0, 5]]
    assert allot(needed, possible, 6).tolist() == [[2, 4, 0, 5, 1, 3]]


@pytest.mark.parametrize(
    "wrong", [{"required": ((),)}, {"required": (((),),)}, {"forbidden": ((),)}]
)
def test_a_phrase_of_nothing_is_refused(wrong: dict[str, tuple[()]]) -> None:
    with pytest.raises(ValueError, match="without tokens"):
        Constraint(**wrong)  # type: ignore[arg-type]
