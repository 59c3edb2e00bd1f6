"""A mixture that follows the validation loss: what is decided, and that restarts keep to it."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import train_made

from m4nmt.checkpoint.model import load_model
from m4nmt.core.config import ConfigError
from m4nmt.data.settings import ByLoss, Temperature
from m4nmt.data.stream.phases import Decision
from m4nmt.data.types import Direction
from m4nmt.train import steer
from m4nmt.train.run import train
from m4nmt.train.session import Session
from m4nmt.train.settings import RunConfig
from m4nmt.train.trainer import Trainer

pytestmark = pytest.mark.xdist_group("train_run")  # one corpus for all
DIRECTIONS = [
    Direction("a", "b"),
    Direction("b", "a"),
    Direction("b", "a", tags=("bt",)),
    Direction("c", "c", "mass"),
]


def test_what_is_learnt_badly_is_drawn_more_often() -> None:
    mixture = ByLoss(strength=2.0, limit=4.0)
    found = steer.factors(mixture, DIRECTIONS, {"a-b": 1.0, "b-a": 1.3, "x-y": 9.0})
    mean = (1.0 + 1.3 + 1.3) / 3
    assert found == {
        "a-b": round(math.exp(2 * (1.0 - mean)), 2),
        "b-a": round(math.exp(2 * (1.3 - mean)), 2),
        "b-a+bt": round(math.exp(2 * (1.3 - mean)), 2),
    }


def test_factors_keep_within_the_limit_and_survive_bad_losses() -> None:
    losses = {"a-b": 1.0, "b-a": 9.0}
    found = steer.factors(ByLoss(limit=3.0), DIRECTIONS[:2], losses)
    assert found == {"a-b": 0.33, "b-a": 3.0}
    assert steer.factors(ByLoss(strength=-1, limit=3.0), DIRECTIONS[:2], losses)["a-b"] == 3.0
    assert steer.factors(ByLoss(limit=1e9), DIRECTIONS[:2], {"a-b": 0.0, "b-a": 60.0})["a-b"] > 0
    assert steer.factors(ByLoss(), DIRECTIONS, {"a-b": math.nan, "b-a": 2.0}) == {
        "b-a": 1.0,
        "b-a+bt": 1.0,
    }
    assert steer.factors(ByLoss(), DIRECTIONS, {}) == {}
    with pytest.raises(ValueError, match="limit >= 1"):
        ByLoss(limit=0.5)


def test_last_bits_of_a_loss_decide_nothing() -> None:
    one, other = (
        steer.factors(ByLoss(), DIRECTIONS, {"a-b": 2.0 + bits, "b-a": 2.5}) for bits in (0, 1e-6)
    )
    assert one == other


def line(event: str, step: int, **facts: Any) -> dict[str, Any]:
    return {"event": event, "step": step, **facts}


def test_decisions_of_a_way_that_was_given_up_do_not_count() -> None:
    made = [line("mixture", step, block=step // 2, factors={"a-b": 2.0}) for step in (4, 8, 12)]
    events = [*made, line("rewound", 14, to=8), line("mixture", 12, block=7, factors={})]
    assert steer.decided(events) == {
        4: Decision(2, {"a-b": 2.0}),
        8: Decision(4, {"a-b": 2.0}),
        12: Decision(7, {}),
    }
    assert set(steer.decided([*made, line("rewound", 14, to=7)])) == {4}
    assert steer.decided([*made, line("started", 0)]) == {}
    assert set(steer.decided([*made, line("resumed", 4)])) == {4, 8, 12}


def recipe(corpus: Path, **train_: Any) -> RunConfig:
    settings = {"steps": 14, "validate_every": 4, "save_every": 3} | train_
    made = train_made.config(corpus, **settings)
    data = replace(
        made.data,
        mixture=ByLoss(mixture=Temperature(T=1.0), strength=20.0, limit=8.0),
        blocks=replace(made.data.blocks, examples=48),
    )
    return replace(made, data=data)


@pytest.fixture(scope="module")
def whole(prepared: Path, corpus: Path) -> Path:
    """A run that nothing befell."""
    run = corpus.parent / "steered"
    shutil.copytree(prepared / "data", run / "data")
    train(recipe(corpus), run)
    return run


def decisions(run: Path) -> list[dict[str, Any]]:
    told = train_made.events(run, "mixture")
    return [{key: event[key] for key in ("step", "block", "factors")} for event in told]


def killed(config: RunConfig, run: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until the process dies in its step number `at`."""
    step = Trainer.step

    def dies(self: Trainer, *given: Any, **more: Any) -> Any:
        if self.counters.applied == at:
            raise KeyboardInterrupt
        return step(self, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", dies)
        with pytest.raises(KeyboardInterrupt):
            train(config, run)


def test_a_decision_changes_what_is_drawn(whole: Path, corpus: Path) -> None:
    made = decisions(whole)
    assert [item["step"] for item in made] == [4, 8, 12]  # not at the end
    blocks = [item["block"] for item in made]
    assert blocks == sorted(set(blocks))
    assert all(len(set(item["factors"].values())) > 1 for item in made)
    losses = {
        record["step"]: record["direction_loss"]
        for record in train_made.records(whole, "validation")
    }
    worst = max(losses[4], key=lambda name: losses[4][name])
    assert made[0]["factors"][worst] == max(made[0]["factors"].values()) > 1


@pytest.mark.parametrize(
    "at", [9, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 5, 8, 13))]
)
def test_a_run_that_was_killed_ends_the_same(
    whole: Path, run: Path, corpus: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, and no decision is made twice."""
    killed(recipe(corpus), run, at, monkeypatch)
    train(recipe(corpus), run)
    assert decisions(run) == decisions(whole)
    latest = {record["step"]: record for record in train_made.records(run)}
    assert [latest[step] for step in sorted(latest)] == train_made.records(whole)
    one, other = (load_model(folder / "model").weights for folder in (run, whole))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_what_the_journal_says_holds_whatever_the_losses_say_now(
    whole: Path, run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on other hardware, where the last bits of a loss are others."""
    killed(recipe(corpus), run, 10, monkeypatch)
    validation = Session.validation

    def other(self: Session) -> Any:
        found = validation(self)
        assert found is not None
        turned = {name: -loss for name, loss in found["direction_loss"].items()}
        return {**found, "direction_loss": turned}

    monkeypatch.setattr(Session, "validation", other)
    for step in (6, 9):  # so that both decisions are come to again
        shutil.rmtree(run / "checkpoints" / f"step-{step:010d}")
    train(recipe(corpus), run)
    made, expected = decisions(run), decisions(whole)
    assert made[:2] == expected[:2]
    assert made[2] != expected[2]


def test_when_to_validate_is_part_of_such_a_recipe(
    whole: Path, corpus: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"train\.validate_every: 4 -> 2"):
        train(recipe(corpus, validate_every=2), run)


def test_a_journal_that_cannot_be_written_leaves_the_mixture(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from m4nmt.train.journal import Journal

    record = Journal.record

    def full(self: Journal, event: str, step: int, **facts: Any) -> None:
        if event == "mixture":
            raise OSError(28, "No space left on device")
        record(self, event, step, **facts)

    monkeypatch.setattr(Journal, "record", full)
    outcome = train(recipe(corpus, steps=6), run)
    assert outcome.status == "finished"
    assert "mixture" not in {json.loads(e)["event"] for e in (run / "journal.jsonl").open()}
