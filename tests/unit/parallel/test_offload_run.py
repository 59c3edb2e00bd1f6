"""A whole run whose weights and moments lie on a disk: the model of one in memory, and resumed to
the bit from its checkpoint."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import train_made

from m4nmt.parallel.offload import unfit
from m4nmt.parallel.settings import Disk, Offload, ParallelConfig
from m4nmt.train.run import train
from m4nmt.train.settings import RunConfig


def recipe(manifest: Path, rests: Offload | None) -> RunConfig:
    made = train_made.config(manifest, steps=6, save_every=3, keep=10)
    return replace(made, parallel=ParallelConfig(device="cpu", offload=rests))


def hashes(run: Path) -> dict[str, str]:
    """Of the last checkpoint's tensors and of the model."""
    last = run / "checkpoints/step-0000000006/dcp"
    paths = [*last.glob("*.distcp"), run / "model/model.safetensors"]
    assert len(paths) > 1
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_a_run_on_a_disk_gives_the_same_model_and_resumes_to_the_bit(tmp_path: Path) -> None:
    manifest = train_made.corpus(tmp_path / "corpus")
    disk = tmp_path / "disk"
    disk.mkdir()
    for reason in unfit(Disk(folder=str(disk))):
        pytest.skip(f"temporary files do not lie on a local disk: {reason}")
    train(recipe(manifest, None), tmp_path / "memory")
    run, resumed = tmp_path / "run", tmp_path / "resumed"
    on_disk = recipe(manifest, Disk(folder=str(disk)))
    train(on_disk, run)
    shutil.copytree(run, resumed)
    shutil.rmtree(resumed / "checkpoints/step-0000000006")
    shutil.rmtree(resumed / "model")
    assert train(on_disk, resumed).step == 6
    assert train_made.events(resumed, "resumed")[0]["step"] == 3
    assert hashes(resumed) == hashes(run)
    model = "model.safetensors"
    assert hashes(run)[model] == hashes(tmp_path / "memory")[model]
    assert not list(disk.iterdir())


def test_a_save_in_the_background_would_copy_all_to_memory(tmp_path: Path) -> None:
    made = recipe(tmp_path / "manifest.toml", Disk(folder=str(tmp_path)))
    with pytest.raises(ValueError, match=r"save_in_background .* take one of them"):
        replace(made, train=replace(made.train, save_in_background=True))
