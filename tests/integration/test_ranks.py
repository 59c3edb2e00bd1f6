"""A run on several processes is the run on one: same losses, whatever the layout, also when it goes
on in another one; the same layout twice is the same to the bit."""

import shutil
from pathlib import Path

import pytest
import rank_runs
import train_made
from rank_runs import config, losses

from m4nmt.checkpoint.model import load_model
from m4nmt.train.run import train

pytestmark = pytest.mark.xdist_group("rank_runs")  # one corpus for all
STEPS = 20
WHOLE = {"microbatches": 4}
LAYOUTS = {  # all with four micro-batches of the global batch, so that dropout is the same
    "replicate": (2, {"replicate": 2, "microbatches": 2}),
    "pipeline": (2, {"pipeline": 2, "microbatches": 4}),
    "shard x pipeline": (4, {"shard": 2, "pipeline": 2, "microbatches": 2}),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_made.corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def single(corpus: Path) -> Path:
    """The run on one process."""
    folder = corpus.parent / "single"
    train(config(corpus, WHOLE, steps=STEPS, validate_every=10, monitor_every=10), folder)
    return folder


@pytest.mark.parametrize(
    "name", [pytest.param("replicate", marks=pytest.mark.slow), "pipeline", "shard x pipeline"]
)
def test_a_layout_trains_as_one_process_and_goes_on_as_another(
    name: str, corpus: Path, single: Path, tmp_path: Path
) -> None:
    size, layout = LAYOUTS[name]
    folder = tmp_path / "run"
    shutil.copytree(single / "data", folder / "data")
    options = {"validate_every": 10, "monitor_every": 10, "save_every": 10}
    half = config(corpus, layout, steps=STEPS // 2, **options)
    rank_runs.run(size, half, folder)
    kept = Path(shutil.copytree(folder, tmp_path / "kept"))
    rank_runs.run(size, config(corpus, layout, steps=STEPS, **options), folder)
    assert losses(folder) == pytest.approx(losses(single), rel=1e-5)
    validations = [train_made.records(f, "validation")[-1]["loss"] for f in (folder, single)]
    assert validations[0] == pytest.approx(validations[1], rel=1e-4)
    assert len(train_made.records(folder, "monitor")) == 2
    weights, expected = load_model(folder).weights, load_model(single).weights
    for tensor in expected.keys() - {n for n in expected if n.endswith("k.bias")}:
        # (the gradient of a key's bias is nothing but rounding, which Adam makes large)
        assert weights[tensor].allclose(expected[tensor], atol=2e-4), tensor
    train(config(corpus, WHOLE, steps=STEPS, **options), kept)  # one process goes on
    assert losses(kept) == pytest.approx(losses(single), rel=1e-5)


def test_the_same_layout_twice_is_the_same_to_the_bit(
    corpus: Path, single: Path, tmp_path: Path
) -> None:
    size, layout = LAYOUTS["pipeline"]
    found = []
    for number in range(2):
        folder = tmp_path / str(number)
        shutil.copytree(single / "data", folder / "data")
        rank_runs.run_apart(size, config(corpus, layout, steps=8), folder)
        found.append(losses(folder))
    assert found[0] == found[1]
    control = tmp_path / "control"
    shutil.copytree(single / "data", control / "data")
    rank_runs.run(size, config(corpus, layout, steps=8, seed=2), control)
    assert losses(control) != found[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("size", [2, 4])
def test_a_hundred_steps(size: int, corpus: Path, single: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "several"]
    for folder in folders:
        shutil.copytree(single / "data", folder / "data")
    train(config(corpus, WHOLE, steps=100), folders[0])
    layout = {"replicate": size, "microbatches": 4 // size}
    rank_runs.run(size, config(corpus, layout, steps=100), folders[1])
    one, several = (train_made.records(folder) for folder in folders)
    assert losses(folders[1]) == pytest.approx(losses(folders[0]), rel=1e-5)
    for key in ("target_tokens", "source_tokens", "padding"):
        assert [line[key] for line in several] == [line[key] for line in one]
