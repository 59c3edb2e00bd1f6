"""What one sick rank does is found, and the rank is named: a loss that is not finite, weights that
drifted away from their replicas."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import rank_runs
import torch
import train_made
from rank_runs import config

from m4nmt.core import ranks
from m4nmt.data.prepare import prepare
from m4nmt.parallel import weights
from m4nmt.parallel.laid import Laid
from m4nmt.parallel.stage import Step
from m4nmt.train.trainer import TrainError

pytestmark = pytest.mark.xdist_group("rank_runs")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    made = train_made.corpus(folder)
    prepare(config(made, {}).data, folder / "data")
    return made


def poison() -> None:
    """On rank 1 the loss of step 3 is not a number."""
    rows = Step.rows

    def sick(self: Step) -> torch.Tensor:
        if self.number == 3 and ranks.rank() == 1:
            self.loss = self.loss * float("nan")
        return rows(self)

    Step.rows = sick  # type: ignore[method-assign]


def flip() -> None:
    """On rank 1 one bit of one weight flips before step 3."""
    step = Laid.step

    def sick(self: Laid, batch: object) -> object:
        if self._step.number == 3 and ranks.rank() == 1:
            table = weights.local(dict(self.named_parameters())["enc001.ffn.up.weight"])
            table.view(torch.int32).flatten()[7] ^= 1 << 12
        return step(self, batch)  # type: ignore[arg-type]

    Laid.step = sick  # type: ignore[assignment]


SICK: dict[str, Callable[[], None]] = {"poison": poison, "flip": flip}


def _work(rank: int, port: int, recipe: object, folder: Path, how: str) -> None:
    SICK[how]()
    try:
        rank_runs._work(rank, 2, port, recipe, folder)  # type: ignore[arg-type]
    except TrainError as error:
        (folder / f"said{rank}").write_text(str(error))
    os._exit(0)


def run(manifest: Path, folder: Path, how: str, **train: object) -> None:
    shutil.copytree(manifest.parent / "data", folder / "data")
    recipe = config(manifest, {"replicate": 2}, steps=6, **train)
    torch.multiprocessing.spawn(  # type: ignore[no-untyped-call]
        _work, (rank_runs.free_port(), recipe, folder, how), nprocs=2
    )


def test_a_rank_whose_loss_is_not_finite_is_named(manifest: Path, tmp_path: Path) -> None:
    run(manifest, tmp_path / "run", "poison")
    (refused,) = train_made.events(tmp_path / "run", "refused")
    assert refused["step"] == 4
    assert [name.partition(" (")[0] for name in refused["not_finite_on"]] == ["rank 1"]


def test_a_flipped_bit_of_one_replica_is_found(manifest: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(manifest, folder, "flip", compare_every=2)
    (told,) = train_made.events(folder, "drift")
    assert told["step"] == 4
    assert "enc001.ffn.up.weight" in told["parameters"]
    assert "since step 2 at the earliest" in (folder / "said0").read_text()
    assert (folder / "said0").read_text() == (folder / "said1").read_text()


def test_control_the_losses_alone_do_not_tell(manifest: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(manifest, folder, "flip", compare_every=0)
    assert len(rank_runs.losses(folder)) == 6
    assert not train_made.events(folder, "refused")
