"""Cuts against every possible one, and what is refused."""

import time
from dataclasses import replace
from itertools import accumulate, combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_made import config, variants

from m4nmt.core.names import recipe
from m4nmt.model.cost import flops_per_token
from m4nmt.model.settings import ModelConfig, MoEConfig, Transparent, classic
from m4nmt.model.translation import segment_names
from m4nmt.parallel.cut import Shape, balanced, segment_work, stage_names
from m4nmt.parallel.settings import ParallelConfig

SHAPE = (4, 16, 16)


def largest(costs: list[int], sizes: list[int]) -> int:
    return max(sum(costs[a:b]) for a, b in pairwise([0, *accumulate(sizes)]))


def every_cut(costs: list[int], parts: int) -> list[list[int]]:
    places = combinations(range(1, len(costs)), parts - 1)
    return [[b - a for a, b in pairwise([0, *cut, len(costs)])] for cut in places]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_largest_part_is_the_least_of_all_partitions(data: st.DataObject) -> None:
    numbers = st.integers(0, 9) | st.just(40)
    costs = data.draw(st.lists(numbers, min_size=1, max_size=9))
    parts = data.draw(st.integers(1, len(costs)))
    sizes = balanced(costs, parts)
    assert len(sizes) == parts
    assert min(sizes) >= 1
    assert sum(sizes) == len(costs)
    assert largest(costs, sizes) == min(largest(costs, other) for other in every_cut(costs, parts))


def test_greedy_filling_would_be_worse() -> None:
    """The control: parts filled up to the mean, one after another, are not best."""
    costs = [4, 1, 4, 4, 1]
    assert largest(costs, [2, 2, 1]) == 8
    assert largest(costs, balanced(costs, 3)) == 5


def test_equal_costs_make_parts_that_differ_by_one() -> None:
    assert sorted(balanced([1] * 10, 4)) == [2, 2, 3, 3]
    assert balanced([0] * 5, 5) == [1] * 5


def test_nothing_to_cut_is_refused() -> None:
    for costs, parts in (([1.0], 2), ([1.0], 0), ([], 1)):
        with pytest.raises(ValueError, match="do not make"):
            balanced(costs, parts)
    with pytest.raises(ValueError, match="negative"):
        balanced([1.0, -1.0], 1)


def test_thousands_of_layers_are_cut_at_once() -> None:
    start = time.perf_counter()
    sizes = balanced([1.0 + i % 7 for i in range(3330)], 128)
    assert sum(sizes) == 3330
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("name", [n for n, c in variants().items() if "moe" not in n])
def test_products_are_those_of_the_built_model(name: str) -> None:
    model = variants()[name]
    rows, src, tgt = 3, 6, 5
    counted = sum(work.products for work in segment_work(model, Shape(rows, src, tgt)))
    built = flops_per_token(model, src, tgt)
    assert counted == pytest.approx(rows * (src * built.source + tgt * built.target))


def test_a_mixture_costs_its_chosen_experts_and_its_router() -> None:
    dense = config()
    mixed = replace(
        dense,
        encoder=tuple(replace(one, ffn=MoEConfig(expert=one.ffn)) for one in dense.encoder),  # type: ignore[arg-type]
    )
    shape = Shape(1, 10, 10)
    one, two = segment_work(dense, shape)[1], segment_work(mixed, shape)[1]
    ffn = 10 * 4 * dense.dim * dense.encoder[0].ffn.hidden
    assert two.products - one.products == ffn + 10 * 2 * dense.dim * 8


def test_stages_hold_all_segments_in_order_and_none_is_empty() -> None:
    model = config(n=5, m=4)
    for stages in range(1, len(segment_names(model)) + 1):
        found = stage_names(model, ParallelConfig(pipeline=stages, schedule="gpipe"), SHAPE)
        assert len(found) == stages
        assert all(found)
        assert tuple(name for names in found for name in names) == segment_names(model)


def test_virtual_stages_are_cut_finer() -> None:
    parallel = ParallelConfig(pipeline=2, virtual=3, schedule="bfs")
    assert len(stage_names(config(), parallel, SHAPE)) == 6


def test_a_large_vocabulary_leaves_the_last_stage_few_layers() -> None:
    def last(vocab: int) -> int:
        model = classic(layers=6, dim=64, hidden=256, heads=4, vocab=vocab)
        return len(stage_names(model, ParallelConfig(pipeline=4, schedule="gpipe"), SHAPE)[-1])

    assert last(50_000) < last(100)


def test_transparent_attention_makes_encoder_layers_dearer() -> None:
    plain, mixing = config(), config(memory=Transparent())
    shape = Shape(*SHAPE)
    assert segment_work(mixing, shape)[1].step > segment_work(plain, shape)[1].step
    assert segment_work(mixing, shape)[-2].step == segment_work(plain, shape)[-2].step


def test_a_given_cut_is_kept() -> None:
    cut = ("bridge", "dec001")
    found = stage_names(config(), ParallelConfig(pipeline=3, cut=cut, schedule="gpipe"), SHAPE)
    assert [names[0] for names in found] == ["source", *cut]


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (("source",), "cannot begin with source"),
        (("enc009",), "cannot begin with enc009"),
        (("dec001", "enc001"), "not in the model's order"),
        (("dec001", "dec001"), "not in the model's order"),
    ],
)
def test_a_wrong_cut_is_refused(cut: tuple[str, ...], said: str) -> None:
    parallel = ParallelConfig(pipeline=len(cut) + 1, cut=cut, schedule="gpipe")
    with pytest.raises(ValueError, match=said):
        stage_names(config(), parallel, SHAPE)


def test_more_stages_than_segments_are_refused() -> None:
    with pytest.raises(ValueError, match="only 9 segments"):
        stage_names(config(), ParallelConfig(pipeline=10, schedule="gpipe"), SHAPE)


def test_an_unknown_vocabulary_is_refused() -> None:
    unknown: ModelConfig = replace(config(), vocab=0)
    with pytest.raises(ValueError, match="vocab"):
        stage_names(unknown, ParallelConfig(pipeline=2, microbatches=2), SHAPE)


def test_gpipes_model_is_cut_into_stages_as_long_as_each_other() -> None:
    run = recipe("gpipe_1_3b_deep_8")()
    model = replace(run.model, vocab=64_000)
    stages = stage_names(model, run.parallel, SHAPE)
    works = dict(zip(segment_names(model), segment_work(model, Shape(*SHAPE)), strict=True))
    costs = [sum(works[name].step for name in names) for names in stages]
    assert max(costs) < 1.15 * sum(costs) / len(costs)
