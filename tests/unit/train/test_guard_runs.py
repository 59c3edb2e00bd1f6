"""Runs that meet bad data go back, and end as if they had never seen it."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import train_made
from guard_made import BAD, STEPS, end, never_seen, newest, poison, recipe, shuffled

from m4nmt.train import rewind
from m4nmt.train.run import train
from m4nmt.train.session import Session
from m4nmt.train.settings import GuardConfig, NoRewind, Rewind
from m4nmt.train.state import State

pytestmark = pytest.mark.xdist_group("train_run")  # one corpus for all


@pytest.fixture(scope="module")
def whole(
    prepared: Path, corpus: Path, known: dict[bytes, int], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that went back once and that nobody killed."""
    run = tmp_path_factory.mktemp("guard") / "whole"
    shutil.copytree(prepared / "data", run / "data")
    with pytest.MonkeyPatch.context() as patch:
        train_made.broken(patch, poison(known, BAD, []))
        train(recipe(corpus), run)
    return run


# ---- going back


@pytest.mark.parametrize("save_every", [4, 0], ids=["checkpoints", "from the start"])
def test_a_run_goes_back_and_ends_as_if_it_had_never_seen_the_bad_batches(
    run: Path,
    corpus: Path,
    known: dict[bytes, int],
    monkeypatch: pytest.MonkeyPatch,
    save_every: int,
) -> None:
    seen: list[int] = []
    config = recipe(corpus, save_every=save_every)
    with monkeypatch.context() as patch:
        train_made.broken(patch, poison(known, BAD, seen))
        assert train(config, run).status == "finished"
    (told,) = train_made.events(run, "rewound")
    assert (told["step"], told["onset"], told["batches"]) == (15, 12, [9, 16])
    assert told["to"] == (8 if save_every else 0)
    assert ("begins again" in told["remark"]) == (not save_every)
    assert told["reason"] == "3 steps in a row were refused"
    again = range(told["to"], 9), range(16, 16 + STEPS - 9)
    bad = [n for n in BAD for _ in range(2)]  # each is computed twice
    assert seen == [*range(12), *bad, *again[0], *again[1]]
    other = never_seen(run, config)
    assert end(run) == end(other)
    assert newest(run) == newest(other)
    lines = [(line["step"], line.get("rewinds", 0)) for line in train_made.records(run)]
    first = [(n, 0) for n in range(1, 15)]  # the step that decided it is not told of
    assert lines == [*first, *((n, 1) for n in range(told["to"] + 1, STEPS + 1))]


@pytest.mark.slow
def test_a_plateau_of_shuffled_labels_is_refused_whole_and_left_behind(
    run: Path, corpus: Path, known: dict[bytes, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 steps of it, none of which reaches the weights."""
    seen: list[int] = []
    rewind_ = Rewind(margin=3, skip=20, most_skip=20, region=20)
    config = recipe(corpus, steps=75, guard=GuardConfig(armed=16, window=32, rewind=rewind_))
    with monkeypatch.context() as patch:
        train_made.broken(patch, shuffled(known, range(60, 80), seen))
        assert train(config, run).status == "finished"
    refused = [event["batch"] for event in train_made.events(run, "refused")]
    assert refused == [60, 61, 62]
    assert [batch for batch in seen if batch in range(60, 80)] == refused
    assert end(run, 75) == end(never_seen(run, config), 75)


def test_poison_without_end_stops_the_run_within_its_budget(
    run: Path, corpus: Path, known: dict[bytes, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    train_made.broken(monkeypatch, poison(known, range(12, 200), seen))
    outcome = train(recipe(corpus), run)
    assert outcome.status == "failed"
    told = train_made.events(run, "rewound")
    assert [event["batches"] for event in told] == [[9, 16], [6, 22], [4, 28]]
    assert {event["region"] for event in told} == {1}
    assert "3 rewinds in this region did not help" in outcome.message
    assert "checkpoints/step-" in outcome.message
    assert len(seen) < 70
    done = len(seen)
    assert train(recipe(corpus), run).status == "failed"  # and starts no new count
    assert len(train_made.events(run, "rewound")) == 3
    assert len(seen) < done + 15


@pytest.mark.slow
def test_where_no_checkpoint_is_old_enough_the_oldest_is_taken_and_it_is_said(
    run: Path, corpus: Path, known: dict[bytes, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = GuardConfig(armed=6, window=8, rewind=Rewind(skip=4))
    train_made.broken(monkeypatch, poison(known, BAD, []))
    assert train(recipe(corpus, guard=guard), run).status == "finished"
    (told,) = train_made.events(run, "rewound")
    assert (told["to"], told["batches"]) == (4, [4, 16])
    assert "the oldest" in told["remark"]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_not_gone_back_to(
    run: Path, corpus: Path, known: dict[bytes, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = rewind.decide

    def damaged(root: Path, *rest: Any) -> Any:
        path = next((root / "step-0000000008" / "dcp").glob("*.distcp"))
        path.write_bytes(path.read_bytes()[:-9])
        return decide(root, *rest)

    monkeypatch.setattr(rewind, "decide", damaged)
    train_made.broken(monkeypatch, poison(known, BAD, []))
    assert train(recipe(corpus), run).status == "finished"
    assert train_made.events(run, "rewound")[0]["to"] == 4
    monkeypatch.undo()
    assert end(run) == end(never_seen(run, recipe(corpus)))


def test_without_rewinds_the_run_stops(
    run: Path, corpus: Path, known: dict[bytes, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_made.broken(monkeypatch, poison(known, BAD, []))
    outcome = train(recipe(corpus, guard=GuardConfig(rewind=NoRewind())), run)
    assert (outcome.status, outcome.step) == ("failed", 15)
    assert "checkpoints/step-0000000012" in outcome.message


def test_single_refusals_that_are_too_many_stop_the_run(
    run: Path, corpus: Path, known: dict[bytes, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_made.broken(monkeypatch, poison(known, range(3, 200, 3), []))
    outcome = train(recipe(corpus, guard=GuardConfig(refusals=3)), run)
    assert (outcome.status, outcome.step) == ("failed", 13)
    assert "4 of the last 13 steps were refused" in outcome.message


@pytest.mark.slow
def test_a_second_rewind_in_a_region_slows_the_run_where_asked_to(
    run: Path, corpus: Path, known: dict[bytes, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    slower = Rewind(margin=3, skip=4, most_skip=6, region=20, rate=0.5, rate_steps=5)
    config = recipe(corpus, guard=GuardConfig(rewind=slower))
    with monkeypatch.context() as patch:
        train_made.broken(patch, poison(known, range(12, 20), []))
        assert train(config, run).status == "finished"
    first, second = train_made.events(run, "rewound")
    assert (first["rate"], second["rate"], second["slowed"]) == (1.0, 0.5, [6, 11])
    rates = {line["step"]: line["lr"] for line in newest(run)}
    assert [step for step, rate in rates.items() if step > 5 and rate == 1.5e-3] == [*range(7, 12)]
    assert end(run) == end(never_seen(run, config))


# ---- killed while it goes back


def die(name: str) -> None:
    """Make this process die before or after one of the things that going back is made of."""
    moment, _, what = name.partition(" ")
    owner: Any
    owner, attribute = {
        "decision": (rewind, "decide"),
        "journal": (rewind, "tell"),
        "removal": (rewind.checkpoints, "remove"),
        "restore": (State, "restore"),
        "begin": (Session, "begin"),
    }[what]
    real, calls = getattr(owner, attribute), [0]

    def dying(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if what == "begin" and calls[0] == 1:  # that is the start of the run
            return real(*args, **kwargs)
        if moment == "after":
            real(*args, **kwargs)
        return os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, attribute, dying)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("before decision", marks=pytest.mark.slow),
        pytest.param("before journal", marks=pytest.mark.slow),
        "after journal",
        pytest.param("before removal", marks=pytest.mark.slow),
        "after removal",
        pytest.param("before restore", marks=pytest.mark.slow),
        pytest.param("after begin", marks=pytest.mark.slow),
    ],
)
def test_killed_while_it_goes_back_the_run_ends_the_same(
    run: Path,
    corpus: Path,
    known: dict[bytes, int],
    monkeypatch: pytest.MonkeyPatch,
    whole: Path,
    name: str,
) -> None:
    config = recipe(corpus)
    train_made.broken(monkeypatch, poison(known, BAD, []))
    child = os.fork()
    if child == 0:
        try:
            die(name)
            train(config, run)
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert train(config, run).status == "finished"
    assert end(run) == end(whole)
    assert train_made.records(run) == train_made.records(whole)
    assert len(train_made.events(run, "rewound")) == 1
