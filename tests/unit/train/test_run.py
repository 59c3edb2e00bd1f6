"""Faults of a run, one by one: what is refused, what is survived, what is said."""

import errno
import json
import logging
import math
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import pytest
import torch
import train_made

from m4nmt.checkpoint import store as checkpoints
from m4nmt.checkpoint.load import newest_good
from m4nmt.checkpoint.model import load_model
from m4nmt.core.config import ConfigError, from_dict, parse_json
from m4nmt.core.files import FolderLockedError, folder_lock
from m4nmt.data.types import Batch
from m4nmt.optim.settings import Cosine
from m4nmt.parallel.engine import StepLoss
from m4nmt.parallel.single import Single
from m4nmt.train.identity import IdentityError
from m4nmt.train.run import train
from m4nmt.train.session import Session
from m4nmt.train.settings import GuardConfig, RunConfig
from m4nmt.train.trainer import Trainer, TrainError

pytestmark = pytest.mark.xdist_group("train_run")  # one corpus for all
Step = Callable[[Single, Batch], StepLoss]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_made.corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
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


def broken(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Single, Step, Batch], StepLoss]
) -> None:
    """Put `change` around every step of the engine."""
    step = Single.step
    monkeypatch.setattr(Single, "step", lambda self, batch: change(self, step, batch))


# ---- what a whole run leaves


def test_a_run_folder_tells_all(prepared: Path, corpus: Path) -> None:
    config = parse_json((prepared / "config.json").read_text())
    assert from_dict(RunConfig, config) == train_made.config(
        corpus, steps=6, save_every=2, log_every=2
    )
    environment = json.loads((prepared / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["threads"] >= 1
    assert [e["event"] for e in train_made.events(prepared, "saved")] == ["saved"] * 3
    assert [line["step"] for line in train_made.records(prepared)] == [2, 4, 6]
    loaded = load_model(prepared / "model")
    assert loaded.card.step == 6
    assert loaded.card.config["model"]["vocab"] == loaded.weights["source.table"].shape[0]
    assert loaded.card.directions[0] == "deu_Latn-eng_Latn"


def test_called_again_a_finished_run_does_nothing(
    trained: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "step", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr("m4nmt.train.finish.save_model", lambda *_: pytest.fail("wrote again"))
    outcome = train(train_made.config(corpus, steps=6), trained)
    assert (outcome.status, outcome.step) == ("finished", 6)


def test_a_run_may_be_made_longer(trained: Path, corpus: Path) -> None:
    outcome = train(train_made.config(corpus, steps=8, log_every=2), trained)
    assert outcome.step == 8
    assert load_model(trained / "model").card.step == 8
    changes = train_made.events(trained, "resumed")[0]["changes"]
    assert "train.steps: 6 -> 8" in changes


def test_early_stopping_ends_the_run_and_stays_ended(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = chain([3.0, 2.0], repeat(2.5))

    def measured(self: Session) -> dict[str, object]:
        return {"loss": next(values), "band_loss": {}}

    monkeypatch.setattr(Session, "validation", measured)
    config = train_made.config(
        corpus, steps=50, validate_every=2, early_stopping=2, choose="best", log_every=0
    )
    for _ in range(2):
        outcome = train(config, run)
        assert (outcome.status, outcome.step, outcome.best) == ("finished", 8, 2.0)
    assert load_model(run / "model").card.step == 4


def test_the_average_is_of_the_newest_snapshots(run: Path, corpus: Path) -> None:
    config = train_made.config(
        corpus, steps=6, average=2, average_every=2, choose="average", save_every=2
    )
    train(config, run)
    kept = sorted((run / "snapshots").iterdir())
    assert [path.name for path in kept] == ["step-0000000004", "step-0000000006"]
    one, other = (load_model(path).weights for path in kept)
    model = load_model(run / "model").weights
    for name, weight in model.items():
        torch.testing.assert_close(weight, (one[name] + other[name]) / 2)
    assert not torch.equal(model["source.table"], other["source.table"])


@pytest.mark.parametrize("losses", [{"last": 1.0, "average": 3.0}, {"last": 3.0, "average": 1.0}])
def test_the_lowest_dev_loss_chooses_the_model(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, losses: dict[str, float]
) -> None:
    order = iter([*losses.values()])
    monkeypatch.setattr(Session, "validation", lambda self: {"loss": next(order)})
    train(train_made.config(corpus, steps=4, average=2, average_every=2, choose="lowest"), run)
    told = train_made.events(run, "model")[0]
    assert told["chosen"] == min(losses, key=lambda name: losses[name])
    assert told["dev_loss"] == losses


# ---- spikes and NaN (fault table: 9, 10, 11)


def poisoned(at: tuple[int, ...], factor: float) -> Callable[[Single, Step, Batch], StepLoss]:
    """Steps whose loss and gradients are multiplied."""

    def change(engine: Single, step: Step, batch: Batch) -> StepLoss:
        found = step(engine, batch)
        if engine._step in at:
            engine.scale_grads(factor)
            loss = found.loss * factor
            return found._replace(loss=loss, finite=bool(loss.isfinite()))
        return found

    return change


@pytest.mark.parametrize("factor", [math.nan, math.inf, 1000.0])
def test_a_refused_step_changes_no_bit_of_weights_and_moments(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    broken(monkeypatch, poisoned((12,), factor))
    states: dict[int, dict[str, torch.Tensor]] = {}
    after_step = Session._after_step

    def watched(self: Session) -> None:
        states[self.state.step] = {n: t.clone() for n, t in self.state.tensors().items()}
        after_step(self)

    monkeypatch.setattr(Session, "_after_step", watched)
    config = train_made.config(corpus, steps=15, guard=GuardConfig(armed=8, window=10))
    assert train(config, run).status == "finished"
    same = [all(torch.equal(states[13][n], t) for n, t in states[s].items()) for s in (12, 14)]
    assert same == [True, False]
    refused = train_made.events(run, "refused")
    assert [event["step"] for event in refused] == [13]
    assert refused[0]["directions"]
    assert [r["applied"] for r in train_made.records(run)][11:14] == [12, 12, 13]
    assert [r["refused"] for r in train_made.records(run)][11:14] == [0, 1, 0]
    lrs = {r["step"]: r["lr"] for r in train_made.records(run)}
    assert lrs[13] == lrs[14] == 3e-3


def test_in_a_clean_run_the_guard_changes_no_bit(run: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "off")
    on = train_made.config(corpus, steps=15, guard=GuardConfig(armed=4, window=8, sigma=1e6))
    off = train_made.with_train(on, guard=GuardConfig(sigma=0))
    train(on, run)
    train(off, tmp_path / "off")
    one, other = (load_model(r / "model").weights for r in (run, tmp_path / "off"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert train_made.records(run) == train_made.records(tmp_path / "off")


def test_a_poisoned_source_stops_the_run_and_names_the_last_good_checkpoint(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, poisoned(tuple(range(7, 100)), math.nan))
    config = train_made.config(corpus, steps=50, save_every=3, guard=GuardConfig(patience=4))
    outcome = train(config, run)
    assert (outcome.status, outcome.step) == ("failed", 11)
    assert "checkpoints/step-0000000009" in outcome.message
    assert train_made.events(run, "failed")[0]["message"] == outcome.message
    weights = load_model(run / "model").weights
    assert all(bool(w.isfinite().all()) for w in weights.values())


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
    def change(engine: Single, step: Step, batch: Batch) -> StepLoss:
        if engine._step == 3:
            raise error
        return step(engine, batch)

    broken(monkeypatch, change)
    with pytest.raises(TrainError, match=r"step 3: out of memory.*parallel.microbatches"):
        train(train_made.config(corpus, steps=5, save_every=2), run)
    found = newest_good(run / "checkpoints")
    assert found is not None
    assert found.step == 2


def test_another_runtime_error_is_not_called_memory(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(engine: Single, step: Step, batch: Batch) -> StepLoss:
        raise RuntimeError("shapes differ")

    broken(monkeypatch, change)
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(train_made.config(corpus, steps=2), run)


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = checkpoints._write

    def full(folder: Path, step: int, *rest: object) -> None:
        write(folder, step, *rest)  # type: ignore[arg-type]
        if step == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints, "_write", full)
    with caplog.at_level(logging.ERROR):
        outcome = train(train_made.config(corpus, steps=6, save_every=2), run)
    assert outcome.status == "finished"
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


def test_where_the_schedule_looks_at_it_the_number_of_steps_is_no_detail(
    run: Path, corpus: Path
) -> None:
    config = replace(train_made.config(corpus, steps=2), schedule=Cosine())
    train(config, run)
    with pytest.raises(ConfigError, match=r"train\.steps: 2 -> 3"):
        train(train_made.with_train(config, steps=3), run)


def test_harmless_changes_are_taken_and_told(trained: Path, corpus: Path) -> None:
    config = train_made.config(corpus, steps=6, log_every=5, keep=7)
    config = replace(config, parallel=replace(config.parallel, microbatches=2))
    train(config, trained)
    changes = " ".join(train_made.events(trained, "resumed")[0]["changes"])
    for change in ("train.keep: 3 -> 7", "parallel.microbatches: 1 -> 2"):
        assert change in changes


@pytest.mark.parametrize("what", ["tokenizer", "training data"])
def test_another_tokenizer_or_other_data_are_refused(
    trained: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = next((trained / "checkpoints").glob("step-*6")) / "identity.json"
    data = json.loads(path.read_text())
    data["tokenizer_sha256" if what == "tokenizer" else "data"] = "0" * 64
    path.write_text(json.dumps(data))
    monkeypatch.setattr("m4nmt.checkpoint.load.verify", lambda *_, **__: None)
    with pytest.raises(IdentityError, match=f"the {what} in"):
        train(train_made.config(corpus, steps=6), trained)


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
    def change(engine: Single, step: Step, batch: Batch) -> StepLoss:
        if engine._step == 3:
            os.kill(os.getpid(), number)
        return step(engine, batch)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        broken(patch, change)
        outcome = train(train_made.config(corpus, steps=8), run)
    assert (outcome.status, outcome.step) == ("stopped", 4)
    assert signal.getsignal(number) == before
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

    def hit(folder: Path, step: int, *rest: object) -> None:
        if step == 4:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
        write(folder, step, *rest)  # type: ignore[arg-type]

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
