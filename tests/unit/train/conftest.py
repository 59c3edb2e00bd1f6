"""A prepared corpus and runs over it, shared by the tests of this folder."""

import shutil
from itertools import islice
from pathlib import Path

import guard_made
import pytest
import train_made

from m4nmt.data.loader import Loader
from m4nmt.data.store import Store
from m4nmt.train.run import train


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_made.corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def prepared(corpus: Path) -> Path:
    """A run of 6 steps, saved at 2, 4 and 6."""
    run = corpus.parent / "prepared"
    train(train_made.config(corpus, steps=6, save_every=2, log_every=2), run)
    return run


@pytest.fixture
def run(prepared: Path, tmp_path: Path) -> Path:
    """A folder with prepared data and nothing else."""
    shutil.copytree(prepared / "data", tmp_path / "run" / "data")
    return tmp_path / "run"


@pytest.fixture
def trained(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "trained"))


@pytest.fixture(scope="session")
def known(prepared: Path, corpus: Path) -> dict[bytes, int]:
    """What tells a batch from others -> its number, for the first of them."""
    loader = Loader(Store.open(prepared / "data"), guard_made.recipe(corpus).data)
    return {guard_made.key(batch): n for n, (_, batch) in enumerate(islice(loader.batches(), 200))}
