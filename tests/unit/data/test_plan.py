import pickle

import numpy as np
import pytest
from fake_store import FakeStore, data_config

from m4nmt.core.config import ConfigError
from m4nmt.data.settings import BlockConfig, Mass, Phase, Phases, Temperature, UniMax, Weights
from m4nmt.data.stream.plan import BlockPlan, Plan, block_examples

SIZES = [50, 1000, 100_000, 7]
STORE = FakeStore(SIZES)


def same(one: BlockPlan, other: BlockPlan) -> bool:
    return one.shapes == other.shapes and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("direction_N", "example_N", "places", "tokens", "src_tokens")
    )


def drawn(plan: Plan, blocks: range) -> list[list[int]]:
    """Examples drawn of each direction."""
    found: list[list[int]] = [[] for _ in plan.directions]
    for block in blocks:
        made = plan.block(block)
        for direction, example in zip(made.direction_N, made.example_N, strict=True):
            found[direction].append(int(example))
    return found


def test_a_block_depends_on_its_number_and_the_seed_alone() -> None:
    config = data_config()
    one, other = Plan(STORE, config), Plan(STORE, config)
    expected = [one.block(number) for number in range(5)]
    for number in (3, 0, 4, 4, 1, 2):
        assert same(other.block(number), expected[number])
    assert not same(expected[0], expected[1])
    reseeded = Plan(STORE, data_config().__class__(**{**vars(config), "seed": 2}))
    assert not same(reseeded.block(0), expected[0])


def test_quotas_are_kept_and_no_example_comes_twice_in_an_epoch() -> None:
    plan = Plan(STORE, data_config())
    found = drawn(plan, range(12))
    np.testing.assert_array_equal([len(rows) for rows in found], plan.quotas.before(12))
    for rows, size in zip(found, plan.sizes_D.tolist(), strict=True):
        times = np.bincount(rows, minlength=size)
        assert times.sum() == len(rows)
        assert times.max() - times.min() <= 1


def test_the_order_of_one_direction_does_not_depend_on_the_others() -> None:
    """A direction's examples come in its own order, however much the others get."""
    few, many = (
        data_config(Weights(weights={"s00001*": 1, "*": 1})),
        data_config(Weights(weights={"s00001*": 5, "*": 1})),
    )
    one, other = drawn(Plan(STORE, few), range(1))[1], drawn(Plan(STORE, many), range(1))[1]
    assert len(one) < len(other)
    assert set(one) <= set(other)


def test_every_row_of_a_batch_fits_its_shape() -> None:
    plan = Plan(STORE, data_config()).block(3)
    examples = [STORE.examples(direction) for direction in STORE.directions]
    places = sorted(map(tuple, plan.places.tolist()))
    assert [start for start, _ in places] == [0, *(end for _, end in places[:-1])]
    for (start, end), shape, tokens, src_tokens in zip(
        plan.places, plan.shapes, plan.tokens, plan.src_tokens, strict=True
    ):
        lengths = [
            [int(side[0]) for side in examples[d].lengths(np.array([e]))]
            for d, e in zip(plan.direction_N[start:end], plan.example_N[start:end], strict=True)
        ]
        assert tokens == sum(tgt + 1 for _, tgt in lengths)
        assert src_tokens == sum(src + 2 for src, _ in lengths)
        assert max(src + 2 for src, _ in lengths) <= shape.src
        assert max(tgt + 1 for _, tgt in lengths) <= shape.tgt


def test_batches_are_shuffled() -> None:
    plan = Plan(STORE, data_config(examples=4000)).block(0)
    starts = plan.places[:, 0]
    assert not np.array_equal(starts, np.sort(starts))
    long_first = np.mean([shape.src for shape in plan.shapes[: len(plan.shapes) // 2]])
    long_last = np.mean([shape.src for shape in plan.shapes[len(plan.shapes) // 2 :]])
    assert abs(long_first - long_last) < 6


def test_denoising_rows_carry_a_second_tag() -> None:
    noisy = FakeStore(SIZES, 20, "mass")
    for store, config, tags in (
        (STORE, data_config(), 1),
        (noisy, data_config(tasks=(Mass(),)), 2),
    ):
        made = Plan(store, config).block(0)
        side = int(store is noisy)  # a stretch of the target is masked, piece by piece
        text = sum(
            int(store.examples(store.directions[d]).lengths(np.array([e % SIZES[d]]))[side][0])
            for d, e in zip(made.direction_N, made.example_N, strict=True)
        )
        assert made.src_tokens.sum() == text + 600 * (tags + 1)


def test_phases_change_the_mixture_where_asked() -> None:
    first = Weights(weights={"s00001*": 1.0})
    second = Weights(weights={"s00002*": 1.0})
    config = data_config(
        Phases(phases=(Phase(start=0, mixture=first), Phase(start=0.25, mixture=second)))
    )
    plan = Plan(STORE, config, run_steps=2000)
    batches, kinds = 0, []
    for block in range(plan.run_blocks):
        made = plan.block(block)
        (direction,) = set(made.direction_N.tolist())
        kinds.append(direction)
        batches += len(made.shapes) if direction == 1 else 0
    assert kinds == sorted(kinds)
    assert set(kinds) == {1, 2}
    assert abs(batches - 500) < 60  # a quarter of the run, up to a block and the estimate
    total = sum(len(plan.block(block).shapes) for block in range(plan.run_blocks))
    assert abs(total - 2000) < 100


def test_unimax_caps_the_epochs_of_the_run() -> None:
    plan = Plan(STORE, data_config(UniMax(max_epochs=3)), run_steps=1000)
    epochs = plan.quotas.before(plan.run_blocks) / plan.sizes_D
    assert epochs[0] == pytest.approx(3, abs=0.3)
    assert epochs[3] == pytest.approx(3, abs=0.6)
    assert epochs[2] < 1
    assert plan.run_examples == pytest.approx(plan.quotas.before(plan.run_blocks).sum(), rel=0.02)


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (UniMax(), "number of steps"),
        (Phases(phases=(Phase(start=0, mixture=Temperature()),)), "number of steps"),
    ],
)
def test_some_mixtures_need_the_length_of_the_run(mixture: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Plan(STORE, data_config(mixture))


@pytest.mark.parametrize("starts", [(0.1, 0.5), (0.0, 0.5, 0.5), (0.0, 1.0), (0.0, 0.6, 0.4)])
def test_phases_must_rise_from_zero(starts: tuple[float, ...]) -> None:
    phases = tuple(Phase(start=start, mixture=Temperature()) for start in starts)
    with pytest.raises(ConfigError, match="starts must rise from 0"):
        Plan(STORE, data_config(Phases(phases=phases)), run_steps=100)


def test_examples_of_a_block() -> None:
    assert block_examples(BlockConfig(examples=77)) == 77
    assert block_examples(BlockConfig(tokens=2048, max_length=512)) == 8192
    assert block_examples(BlockConfig(tokens=8192, max_length=256)) == 40_960


def test_plans_cross_processes() -> None:
    plan = Plan(STORE, data_config())
    plan.block(1)
    again = pickle.loads(pickle.dumps(plan))
    assert same(again.block(2), plan.block(2))


def test_a_block_takes_constant_time_and_memory() -> None:
    """Two billion examples a direction cost what a thousand do: nothing is listed."""
    import time
    import tracemalloc

    spent, peaks = [], []
    for sizes in (np.full(200, 1000), np.geomspace(35e3, 2e9, 200)):
        store = FakeStore(sizes.astype(int).tolist())
        plan = Plan(store, data_config(examples=8192, tokens=4096))
        plan.block(0)
        tracemalloc.start()
        start = time.perf_counter()
        plan.block(10**7)
        spent.append(time.perf_counter() - start)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] < 100e6
    assert spent[1] < 5 * spent[0] + 0.1
