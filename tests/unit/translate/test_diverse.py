"""Diverse beam search against its rules written out over lists."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_toys import BOS, EOS, SYMBOLS, Table, ToyDecoder, log_softmax, penalty, random_table

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.constraints import Constraint, Rules
from m4nmt.translate.diverse import search_diverse
from m4nmt.translate.search import beam_search

CPU = torch.device("cpu")
seeds = st.integers(0, 10**6)
Ranked = tuple[float, tuple[int, ...], bool]


def plain_diverse(
    table: Table, sentence: int, limit: int, config: SearchConfig
) -> list[tuple[tuple[int, ...], bool, float]]:
    """Over lists, sentence by sentence: (tokens, finished, score)."""
    each = config.beam // config.groups
    live = [[(0.0, 0.0, ())] for _ in range(config.groups)]  # lowered sum, true sum, tokens
    count = [0] * config.groups
    ended: dict[tuple[int, ...], float] = {}
    cut: dict[tuple[int, ...], float] = {}
    for length in range(1, limit + 1):
        taken = [0] * len(table(sentence, ()))
        for g, beams in enumerate(live):
            if count[g] >= each:
                continue
            longer = []
            for lowered, true, prefix in beams:
                for v, p in enumerate(log_softmax(table(sentence, prefix))):
                    if v != BOS:
                        total = lowered + p - config.diversity * taken[v]
                        longer.append((total, true + p, (*prefix, v)))
            longer.sort(key=lambda way: -way[0])
            for _, true, tokens in longer[:each]:
                if tokens[-1] == EOS:
                    ended[tokens] = true / penalty(length, config.length_alpha)
                    count[g] += 1
            live[g] = [way for way in longer if way[2][-1] != EOS][:each]
            if length == limit:
                for _, true, tokens in live[g]:
                    cut[tokens] = true / penalty(length, config.length_alpha)
            if count[g] < each and length < limit:
                for _, _, tokens in live[g]:
                    taken[tokens[-1]] += 1
    best = ended or cut
    ordered = sorted(best, key=lambda tokens: (-best[tokens], tokens))[: config.n_best]
    return [(tokens, bool(ended), best[tokens]) for tokens in ordered]


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    shape=st.sampled_from(((1, 1), (2, 2), (4, 2), (6, 3), (4, 4), (6, 2))),
    limits=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    diversity=st.sampled_from((0.0, 0.4, 3.0)),
    alpha=st.sampled_from((0.0, 1.0)),
)
def test_it_finds_what_the_rules_say(
    seed: int, shape: tuple[int, int], limits: list[int], diversity: float, alpha: float
) -> None:
    table, (beam, groups) = random_table(seed, 6), shape
    config = SearchConfig(
        beam=beam, n_best=beam, groups=groups, diversity=diversity, length_alpha=alpha
    )
    decoder = ToyDecoder(table, range(len(limits)))
    results = search_diverse(decoder, limits, config, SYMBOLS, CPU)
    for sentence, (found, limit) in enumerate(zip(results, limits, strict=True)):
        expected = plain_diverse(table, sentence, limit, config)
        assert [(h.tokens, h.finished) for h in found] == [way[:2] for way in expected]
        assert [h.score for h in found] == pytest.approx([way[2] for way in expected], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, beam=st.integers(1, 5), limits=st.lists(st.integers(1, 6), max_size=3))
def test_one_group_is_beam_search(seed: int, beam: int, limits: list[int]) -> None:
    table, config = random_table(seed, 5), SearchConfig(beam=beam, n_best=beam, diversity=2.0)
    rules = Rules([Constraint(prefix=(3,), forbidden=((4, 4),))] * len(limits), CPU)
    rows = range(len(limits))
    ours = search_diverse(ToyDecoder(table, rows), limits, config, SYMBOLS, CPU, rules=rules)
    theirs = beam_search(ToyDecoder(table, rows), limits, config, SYMBOLS, CPU, rules=rules)
    for found, expected in zip(ours, theirs, strict=True):
        assert [h.tokens for h in found] == [h.tokens for h in expected]
        assert [h.score for h in found] == pytest.approx([h.score for h in expected], abs=1e-5)


def test_great_diversity_gives_each_group_words_of_its_own() -> None:
    def table(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        return [0.0, 9.0 if len(prefix) == 2 else -9.0, 5.0, 4.0, 3.0]

    config = SearchConfig(beam=3, n_best=3, groups=3, diversity=50.0)
    [found] = search_diverse(ToyDecoder(table, [0]), [4], config, SYMBOLS, CPU)
    assert {h.tokens for h in found} == {(v, v, EOS) for v in (2, 3, 4)}
    assert all(math.isfinite(h.score) for h in found)


def test_more_diversity_gives_more_different_beginnings() -> None:
    def beginnings(diversity: float) -> int:
        config = SearchConfig(beam=4, n_best=4, groups=4, diversity=diversity)
        found = 0
        for seed in range(40):
            decoder = ToyDecoder(random_table(seed, 8), [0])
            [best] = search_diverse(decoder, [6], config, SYMBOLS, CPU)
            found += len({h.tokens[:2] for h in best})
        return found

    none, some, much = (beginnings(diversity) for diversity in (0.0, 0.5, 3.0))
    assert none == 40, "groups that do not keep off each other find the same"
    assert none < some < much


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"groups": 3}, "a beam of 3 would do"),
        ({"groups": 0}, "groups that divide the beam"),
        ({"groups": 3, "sample": True}, "draws have no groups"),
        ({"diversity": -1.0}, "diversity and coverage of at least 0"),
    ],
)
def test_groups_that_make_no_sense_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SearchConfig(beam=4, **wrong)  # type: ignore[arg-type]
