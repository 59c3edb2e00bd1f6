"""The small twins of the giant recipes train with the giants' layout on local processes."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import rank_runs
import train_made

from m4nmt.core.names import recipes
from m4nmt.data.prepare import prepare
from m4nmt.optim.settings import AdamW, Constant
from m4nmt.train.settings import RunConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TWINS = {name: make for name, make in recipes().items() if name.endswith("_tiny")}


@pytest.fixture(scope="module")
def prepared(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image captions, prepared as all twins ask."""
    folder = tmp_path_factory.mktemp("captions")
    first = next(iter(TWINS.values()))()
    prepare(replace(first.data, root=str(shared_data)), folder / "data")
    return folder / "data"


def test_there_is_a_twin_of_every_family() -> None:
    assert {name.partition("_")[0] for name in TWINS} == {"gpipe", "deepnet", "gshard"}


@pytest.mark.parametrize("name", TWINS)
def test_the_twin_trains(name: str, prepared: Path, shared_data: Path, tmp_path: Path) -> None:
    make: Callable[[], RunConfig] = TWINS[name]
    config = make()
    p = config.parallel
    size = max(2, p.pipeline * p.shard * p.expert * p.tensor)  # replicate=0 takes what is left
    config = replace(
        config,
        data=replace(config.data, root=str(shared_data)),
        optim=AdamW(),
        schedule=Constant(),  # the giants warm up for thousands of steps
        train=replace(config.train, steps=12, log_every=1, validate_every=0, save_every=6),
        parallel=replace(p, threads=1, device="cpu", timeout=300.0),
    )
    run = tmp_path / "run"
    shutil.copytree(prepared, run / "data")
    rank_runs.run(size, config, run)
    losses = rank_runs.losses(run)
    assert len(losses) == 12
    assert fmean(losses[-4:]) < fmean(losses[:4]) - 0.05
    assert train_made.events(run, "model")
