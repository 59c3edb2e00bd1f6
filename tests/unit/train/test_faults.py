"""Faults that befall a run: memory, disk, signals, and folders that belong to something else."""

import errno
import json
import logging
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import train_made

from m4nmt.checkpoint import manifest
from m4nmt.checkpoint import store as checkpoints
from m4nmt.checkpoint.load import newest_good
from m4nmt.checkpoint.model import load_model
from m4nmt.core.config import ConfigError
from m4nmt.core.files import FolderLockedError, folder_lock
from m4nmt.core.ranks import Ranks
from m4nmt.data.types import Batch
from m4nmt.optim.settings import Cosine
from m4nmt.parallel.engine import StepLoss
from m4nmt.parallel.laid import Laid
from m4nmt.train.identity import IdentityError
from m4nmt.train.run import train
from m4nmt.train.trainer import TrainError

pytestmark = pytest.mark.xdist_group("train_run")  # one corpus for all


# ---- resources (7, 23)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    ],
)
def test_out_of_memory_says_what_to_change(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def change(engine: Laid, step: train_made.Step, batch: Batch) -> StepLoss:
        if engine._step.number == 3:
            raise error
        return step(engine, batch)

    train_made.broken(monkeypatch, change)
    with pytest.raises(TrainError, match=r"step 3: out of memory.*parallel.microbatches"):
        train(train_made.config(corpus, steps=5, save_every=2), run)
    found = newest_good(run / "checkpoints")
    assert found is not None
    assert found.step == 2


def test_another_runtime_error_is_not_called_memory(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(engine: Laid, step: train_made.Step, batch: Batch) -> StepLoss:
        raise RuntimeError("shapes differ")

    train_made.broken(monkeypatch, change)
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(train_made.config(corpus, steps=2), run)


@pytest.mark.parametrize("background", [False, True])
def test_a_full_disk_costs_a_checkpoint_and_not_the_run(
    run: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    background: bool,
) -> None:
    write = checkpoints._write

    def full(world: Ranks, folder: Path, step: int, *rest: object) -> None:
        write(world, folder, step, *rest)  # type: ignore[arg-type]
        if step == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints, "_write", full)
    with caplog.at_level(logging.ERROR):
        config = train_made.config(corpus, steps=6, save_every=2, save_in_background=background)
        outcome = train(config, run)
    assert outcome.status == "finished"
    assert [event["step"] for event in train_made.events(run, "saved")] == [2, 6]
    assert checkpoints.steps(run / "checkpoints") == [2, 6]
    assert not list((run / "checkpoints").glob(".*"))
    failed = train_made.events(run, "save_failed")
    assert [event["step"] for event in failed] == [4]
    assert "No space left" in failed[0]["message"]
    assert "No space left" in caplog.text


def test_a_model_that_cannot_be_written_is_a_failure_that_says_so(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    config = train_made.config(corpus, steps=3)
    with monkeypatch.context() as patch:
        patch.setattr("m4nmt.train.finish.save_model", full)
        outcome = train(config, run)
        assert outcome.status == "failed"
        assert "No space left" in outcome.message
    assert train(config, run).status == "finished"
    assert load_model(run / "model").card.step == 3


# ---- what a folder belongs to (25, 27, 32)


def test_a_changed_recipe_is_refused_with_the_difference(trained: Path, corpus: Path) -> None:
    config = train_made.config(corpus, steps=9)
    changed = replace(config, optim=replace(config.optim, lr=1e-2, eps=1e-8))
    with pytest.raises(ConfigError) as caught:
        train(changed, trained)
    assert "optim.lr: 0.003 -> 0.01" in str(caught.value)
    assert "optim.eps: 1e-09 -> 1e-08" in str(caught.value)
    assert "train.steps" not in str(caught.value)
    assert train(changed, trained, accept_changes=True).step == 9
    assert "optim.lr: 0.003 -> 0.01" in train_made.events(trained, "resumed")[0]["changes"]


def test_where_the_schedule_looks_at_it_the_number_of_steps_is_no_detail(
    run: Path, corpus: Path
) -> None:
    config = replace(train_made.config(corpus, steps=2), schedule=Cosine())
    train(config, run)
    with pytest.raises(ConfigError, match=r"train\.steps: 2 -> 3"):
        train(train_made.with_train(config, steps=3), run)


def test_harmless_changes_are_taken_and_told(trained: Path, corpus: Path) -> None:
    config = train_made.config(corpus, steps=6, log_every=5, keep=7, workers=1)
    config = replace(config, parallel=replace(config.parallel, microbatches=2))
    train(config, trained)
    changes = " ".join(train_made.events(trained, "resumed")[0]["changes"])
    for change in ("train.keep: 3 -> 7", "parallel.microbatches: 1 -> 2"):
        assert change in changes


@pytest.mark.parametrize("what", ["tokenizer", "training data"])
def test_another_tokenizer_or_other_data_are_refused(
    trained: Path, corpus: Path, what: str
) -> None:
    path = next((trained / "checkpoints").glob("step-*6")) / "identity.json"
    data = json.loads(path.read_text())
    data["tokenizer_sha256" if what == "tokenizer" else "data"] = "0" * 64
    path.write_text(json.dumps(data))
    sealed = path.with_name(manifest.NAME)
    sealed.unlink()
    sealed.write_text(manifest.describe(path.parent, 6).encode())
    with pytest.raises(IdentityError, match=f"the {what} in"):
        train(train_made.config(corpus, steps=6), trained)
    train(train_made.config(corpus, steps=6), trained, accept_changes=True)
    told = train_made.events(trained, "resumed")[0]["changes"]
    assert any(f"the {what} in" in change for change in told)


def test_a_second_run_on_the_folder_is_refused_at_once(run: Path, corpus: Path) -> None:
    with folder_lock(run), pytest.raises(FolderLockedError, match=str(os.getpid())):
        train(train_made.config(corpus, steps=2), run)


def test_the_raw_text_may_be_gone_when_a_run_goes_on(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    config = train_made.config(corpus, steps=7)
    gone = str(tmp_path / "gone" / "manifest.toml")
    moved = replace(config, data=replace(config.data, manifest=gone, root=""))
    assert train(moved, trained).step == 7


def test_a_fixed_vocabulary_that_did_not_come_out_is_refused(run: Path, corpus: Path) -> None:
    config = train_made.config(corpus, steps=1)
    tokenizer = replace(config.data.tokenizer, vocab=5000)
    config = replace(
        config,
        data=replace(config.data, tokenizer=tokenizer),
        model=replace(config.model, vocab=5000),
    )
    with pytest.raises(ConfigError, match=r"model\.vocab"):
        train(config, run)


# ---- signals (29, 30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_leaves_at_the_step_boundary(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def change(engine: Laid, step: train_made.Step, batch: Batch) -> StepLoss:
        if engine._step.number == 3:
            os.kill(os.getpid(), number)
        return step(engine, batch)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        train_made.broken(patch, change)
        outcome = train(train_made.config(corpus, steps=8), run)
    assert (outcome.status, outcome.step) == ("stopped", 4)
    if number == signal.SIGINT:
        assert signal.getsignal(number) == before
    else:  # a launcher's second SIGTERM must not kill a process that is closing
        assert callable(signal.getsignal(number))
        signal.signal(number, before)
    assert checkpoints.steps(run / "checkpoints") == [4]
    assert load_model(run / "model").card.step == 4
    assert train_made.events(run, "stopped")[0]["signal"] == number.name
    assert train(train_made.config(corpus, steps=8), run).step == 8
    assert [line["step"] for line in train_made.records(run)] == list(range(1, 9))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_while_saving_leaves_a_valid_checkpoint(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Ctrl-C again interrupts; SIGTERM again is one too many and changes nothing."""
    write = checkpoints._write

    def hit(world: Ranks, folder: Path, step: int, *rest: object) -> None:
        if step == 4:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
        write(world, folder, step, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoints, "_write", hit)
    config = train_made.config(corpus, steps=8, save_every=2)
    if number == signal.SIGINT:
        with pytest.raises(KeyboardInterrupt):
            train(config, run)
    else:
        assert train(config, run).step == 4
    found = newest_good(run / "checkpoints")
    assert found is not None
    assert found.step == (2 if number == signal.SIGINT else 4)
    assert not list((run / "checkpoints").glob(".tmp*"))
