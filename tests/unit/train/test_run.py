"""What a run leaves, which model it chooses, and what it does about spikes and NaN."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import pytest
import torch
import train_made

from m4nmt.checkpoint.model import load_model
from m4nmt.core.config import from_dict, parse_json
from m4nmt.data.types import Batch
from m4nmt.model.settings import DenseConfig, MoEConfig
from m4nmt.parallel.engine import StepLoss
from m4nmt.parallel.laid import Laid
from m4nmt.train.run import train
from m4nmt.train.session import Session
from m4nmt.train.settings import GuardConfig, RunConfig
from m4nmt.train.trainer import Trainer

pytestmark = pytest.mark.xdist_group("train_run")  # one corpus for all


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


def poisoned(
    at: tuple[int, ...], factor: float
) -> Callable[[Laid, train_made.Step, Batch], StepLoss]:
    """Steps whose loss and gradients are multiplied."""

    def change(engine: Laid, step: train_made.Step, batch: Batch) -> StepLoss:
        found = step(engine, batch)
        if engine._step.number in at:
            engine.scale_grads(factor)
            loss = found.loss * factor
            return found._replace(loss=loss, suspects=() if loss.isfinite() else (0,))
        return found

    return change


@pytest.mark.parametrize("factor", [math.nan, math.inf, 1000.0])
def test_a_refused_step_changes_no_bit_of_weights_and_moments(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    train_made.broken(monkeypatch, poisoned((12,), factor))
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
    train_made.broken(monkeypatch, poisoned(tuple(range(7, 100)), math.nan))
    config = train_made.config(corpus, steps=50, save_every=3, guard=GuardConfig(patience=4))
    outcome = train(config, run)
    assert (outcome.status, outcome.step) == ("failed", 11)
    assert "checkpoints/step-0000000009" in outcome.message
    assert train_made.events(run, "failed")[0]["message"] == outcome.message
    weights = load_model(run / "model").weights
    assert all(bool(w.isfinite().all()) for w in weights.values())


def test_the_records_tell_what_the_experts_of_a_mixture_do(corpus: Path, run: Path) -> None:
    config = train_made.config(corpus, steps=4, monitor_every=2)
    layer = config.model.encoder[0]
    mixed = replace(layer, ffn=MoEConfig(experts=4, expert=DenseConfig(hidden=16)))
    model = replace(config.model, encoder=(layer, mixed), decoder=(mixed, layer))
    train(replace(config, model=model), run)
    last = train_made.records(run, "monitor")[-1]["experts"]
    assert last.keys() == {"enc001.ffn", "dec000.ffn"}
    for found in last.values():
        assert sum(found["load"]) == pytest.approx(1)
        assert 0 <= found["dropped"] < 1
        assert {tag[2:10] for tag in found["languages"]} <= {"eng_Latn", "deu_Latn", "fra_Latn"}
        assert all(len(counts) == 4 for counts in found["languages"].values())
