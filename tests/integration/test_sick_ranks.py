"""What one sick rank does is found, the rank is named, and all ranks do the same about it: a loss
that is not finite, weights that drifted away from their replicas, a memory that is full."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rank_runs
import rank_start
import torch
import train_made
from rank_runs import config

from m4nmt.checkpoint.model import load_model
from m4nmt.core import ranks
from m4nmt.core.ranks import LostRankError
from m4nmt.data.loader import Loader, LoaderState
from m4nmt.data.prepare import prepare
from m4nmt.data.types import Batch
from m4nmt.parallel import weights
from m4nmt.parallel.laid import Laid
from m4nmt.parallel.run import Ids, Whole
from m4nmt.parallel.stage import Step
from m4nmt.train.journal import Journal
from m4nmt.train.settings import GuardConfig, Rewind
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


def glitch() -> None:
    """On rank 1 the loss of step 3 is not a number, once."""
    rows, left = Step.rows, [1]

    def sick(self: Step) -> torch.Tensor:
        if self.number == 3 and ranks.rank() == 1 and left and left.pop():
            self.loss = self.loss * float("nan")
        return rows(self)

    Step.rows = sick  # type: ignore[method-assign]


def bad_data() -> None:
    """The gradients of batches 6, 7 and 8 are not finite, by what rank 1 has of them."""
    rows, whole, seen = Step.rows, Loader.batches, [0]

    def numbered(self: Loader, state: LoaderState) -> Iterator[tuple[LoaderState, Batch]]:
        assert state.block == 0
        for number, found in enumerate(whole(self, state), state.index):
            seen[0] = number
            yield found

    def sick(self: Step) -> torch.Tensor:
        if seen[0] in (6, 7, 8) and ranks.rank() == 1:
            self.loss = self.loss * float("inf")
        return rows(self)

    Step.rows, Loader.batches = sick, numbered  # type: ignore[method-assign]


def full() -> None:
    """On rank 1 there is no memory for what step 5 is in the first life of the group."""
    whole = Whole.train

    def sick(self: Whole, ids: Ids, pieces: int) -> None:
        if self.stage.step.number == 5 and ranks.rank() == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        whole(self, ids, pieces)

    Whole.train = sick  # type: ignore[method-assign]


def flip() -> None:
    """On rank 1 one bit of one weight flips before step 3."""
    step = Laid.step

    def sick(self: Laid, batch: object) -> object:
        if self._step.number == 3 and ranks.rank() == 1:
            table = weights.local(dict(self.named_parameters())["enc001.ffn.up.weight"])
            table.view(torch.int32).flatten()[7] ^= 1 << 12
        return step(self, batch)  # type: ignore[arg-type]

    Laid.step = sick  # type: ignore[assignment]


SICK: dict[str, Callable[[], None]] = {
    "poison": poison,
    "glitch": glitch,
    "bad data": bad_data,
    "full": full,
    "flip": flip,
    "well": lambda: None,
}


def _work(rank: int, port: int, recipe: object, folder: Path, how: str) -> None:
    SICK[how]()
    try:
        rank_runs._work(rank, 2, port, recipe, folder)  # type: ignore[arg-type]
    except (TrainError, LostRankError) as error:
        (folder / f"said{rank}").write_text(f"{type(error).__name__}: {error}")
    os._exit(0)


def run(manifest: Path, folder: Path, how: str, **train: object) -> None:
    if not (folder / "data").exists():
        shutil.copytree(manifest.parent / "data", folder / "data")
    recipe = config(manifest, {"replicate": 2}, **({"steps": 6} | train))
    rank_start.start(_work, (rank_runs.free_port(), recipe, folder, how), 2)


def test_a_rank_whose_loss_is_not_finite_is_named(manifest: Path, tmp_path: Path) -> None:
    run(manifest, tmp_path / "run", "poison")
    (refused,) = train_made.events(tmp_path / "run", "refused")
    assert refused["step"] == 4
    assert [name.partition(" (")[0] for name in refused["not_finite_on"]] == ["rank 1"]


def test_a_rank_that_computes_something_else_the_second_time_is_named(
    manifest: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    run(manifest, folder, "glitch")
    said = (folder / "said0").read_text()
    assert said.startswith("HardwareError: step 3 was not finite, and was finite when")
    assert re.search(r": rank 1 \([^)]*\)$", said)
    assert (folder / "said1").read_text() == said
    (told,) = train_made.events(folder, "hardware")
    assert f"HardwareError: {told['message']}" == said


BACK = {
    "guard": GuardConfig(rewind=Rewind(margin=2, skip=4, most_skip=4)),
    "steps": 9,
    "save_every": 3,
    "compare_every": 1,
}


def test_ranks_go_back_together(manifest: Path, tmp_path: Path) -> None:
    """And hold the same weights at every step."""
    folder = tmp_path / "run"
    run(manifest, folder, "bad data", **BACK)
    (told,) = train_made.events(folder, "rewound")
    assert (told["to"], told["batches"]) == (3, [4, 10])
    assert not train_made.events(folder, "drift")
    refused = train_made.events(folder, "refused")
    assert [[name[:6] for name in event["not_finite_on"]] for event in refused] == [["rank 1"]] * 3
    assert [line["step"] for line in train_made.records(folder)] == [*range(1, 9), *range(4, 10)]


@pytest.mark.slow
def test_ranks_that_went_back_are_as_if_they_had_never_seen_it(
    manifest: Path, tmp_path: Path
) -> None:
    folder, other = tmp_path / "run", tmp_path / "other"
    run(manifest, folder, "bad data", **BACK)
    (told,) = train_made.events(folder, "rewound")
    facts = {name: told[name] for name in told.keys() - {"event", "step", "time"}}
    Journal(other / "journal.jsonl").record("rewound", 0, **facts)
    run(manifest, other, "well", **BACK)
    assert rank_runs.losses(folder)[-6:] == rank_runs.losses(other)[-6:]
    one, two = (load_model(path / "model").weights for path in (folder, other))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_a_batch_that_is_too_large_for_one_rank_is_left_out_by_all(
    manifest: Path, tmp_path: Path
) -> None:
    """The group ends, and goes on without the batch when it is started again."""
    folder, other = tmp_path / "run", tmp_path / "other"
    run(manifest, folder, "full", steps=8, save_every=2)
    full, lost = (folder / "said1").read_text(), (folder / "said0").read_text()
    assert re.match(r"LostRankError: rank 1 \(.*out of memory.* batch 5 will be left out$", full)
    assert lost.startswith("LostRankError: ")
    (told,) = train_made.events(folder, "out_of_memory")
    assert (told["step"], told["batch"], told["rank"][:6]) == (5, 5, "rank 1")
    run(manifest, folder, "well", steps=8, save_every=2)
    Journal(other / "journal.jsonl").record("out_of_memory", 0, batch=5)
    run(manifest, other, "well", steps=8, save_every=2)
    assert rank_runs.losses(folder) == rank_runs.losses(other)
    assert len(rank_runs.losses(folder)) == 8
    run(manifest, tmp_path / "again", "full", steps=8, guard=GuardConfig(memory_skips=0))
    said = (tmp_path / "again" / "said1").read_text()
    assert said.startswith("TrainError: step 5: out of memory on a batch of")


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
