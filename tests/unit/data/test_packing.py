import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.core.config import ConfigError
from m4nmt.data.settings import BlockConfig
from m4nmt.data.stream.packing import Packing, length_grid, pack
from m4nmt.data.types import Shape

CONFIG = BlockConfig(tokens=512, max_length=64, rows_multiple=4)
sides = st.lists(st.tuples(st.integers(2, 64), st.integers(2, 64)), min_size=1, max_size=400)


def real_share(packing: Packing, src: np.ndarray, tgt: np.ndarray) -> float:  # type: ignore[type-arg]
    padded = sum(shape.rows * (shape.src + shape.tgt) for shape in packing.shapes)
    return float((src.sum() + tgt.sum()) / padded)


@settings(max_examples=60, deadline=None)
@given(sides, st.sampled_from([1, 2, 4, 16]), st.sampled_from([1, 2, 8]))
def test_everything_fits_once(lengths: list[tuple[int, int]], multiple: int, rows: int) -> None:
    config = BlockConfig(tokens=512, max_length=64, length_multiple=multiple, rows_multiple=rows)
    src, tgt = np.array(lengths).T
    packing = pack(src, tgt, config)
    assert sorted(packing.order_N) == list(range(len(lengths)))
    assert packing.starts[0] == 0
    assert packing.starts[-1] == len(lengths)
    grid = set(length_grid(config).tolist())
    for number, shape in enumerate(packing.shapes):
        inside = packing.order_N[packing.starts[number] : packing.starts[number + 1]]
        assert shape.src >= src[inside].max()
        assert shape.tgt >= tgt[inside].max()
        assert {shape.src, shape.tgt} <= grid
        assert shape.rows % rows == 0
        assert shape.rows * max(shape.src, shape.tgt) <= config.tokens
        last = number + 1 == len(packing.shapes)
        assert shape.rows == len(inside) or (
            last and len(inside) < shape.rows < 2 * len(inside) + rows
        )


def test_batches_are_as_large_as_allowed() -> None:
    """No batch is above the budget, and none could take `rows_multiple` more examples."""
    rng = np.random.default_rng(0)
    src, tgt = rng.integers(2, 64, (2, 3000))
    packing = pack(src, tgt, CONFIG)
    assert max(shape.rows * max(shape.src, shape.tgt) for shape in packing.shapes) <= CONFIG.tokens
    longer = np.maximum(src, tgt)[packing.order_N]
    for number, shape in enumerate(packing.shapes[:-1]):
        start = packing.starts[number]
        more = longer[start : start + shape.rows + CONFIG.rows_multiple]
        grid = length_grid(CONFIG)
        assert grid[np.searchsorted(grid, more.max())] * len(more) > CONFIG.tokens


def lognormal(count: int, mean: float, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Lengths like those of real text: both sides correlated."""
    rng = np.random.default_rng(seed)
    common = rng.normal(np.log(mean), spread, count)
    sides = [np.exp(common + rng.normal(0, 0.2, count)) for _ in range(2)]
    src, tgt = (np.clip(side, 2, 128).astype(int) for side in sides)
    return src, tgt


def test_most_tokens_are_real_and_shapes_are_few() -> None:
    config = BlockConfig(tokens=4096, max_length=128)
    shapes: set[Shape] = set()
    shares = []
    for seed in range(4):
        src, tgt = lognormal(20_000, 24.0, 0.5, seed)
        packing = pack(src, tgt, config)
        shares.append(real_share(packing, src, tgt))
        shapes |= set(packing.shapes)
    assert min(shares) > 0.91
    assert len(shapes) < 350


def test_one_sided_sorting_is_worse() -> None:
    """The control of the test above: sort by one side alone, and padding is twice as much."""
    src, tgt = lognormal(20_000, 24.0, 0.5, 0)
    order = np.argsort(src)
    padded = sum(
        len(part) * (src[part].max() + tgt[part].max()) for part in np.array_split(order, 140)
    )
    good = real_share(pack(src, tgt, BlockConfig(tokens=4096, max_length=128)), src, tgt)
    assert 1 - (src.sum() + tgt.sum()) / padded > 2 * (1 - good)


@pytest.mark.parametrize("multiple", [1, 2, 4, 8, 10])
def test_grid_rises_in_steps_of_an_eighth_at_most(multiple: int) -> None:
    config = BlockConfig(tokens=10_000, max_length=256, length_multiple=multiple)
    grid = length_grid(config)
    steps = np.diff(grid)
    assert (steps > 0).all()
    assert (grid % multiple == 0).all()
    assert (steps < grid[:-1] / 8 + multiple).all()
    assert grid[-2] < 256 <= grid[-1]
    assert len(grid) <= 48


def test_a_budget_too_small_for_one_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"512 cannot hold 8 rows .* of 256 tokens"):
        length_grid(BlockConfig(tokens=512, max_length=256))
    with pytest.raises(ConfigError, match="must be >= 1"):
        length_grid(BlockConfig(rows_multiple=0))


def test_an_example_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has 65 tokens, data\.blocks.max_length is 64"):
        pack(np.array([65, 2]), np.array([2, 2]), CONFIG)
    pack(np.array([64, 2]), np.array([2, 64]), CONFIG)
