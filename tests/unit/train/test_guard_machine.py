"""Runs for which memory runs out, or whose machine is sick."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import train_made
from guard_made import STEPS, Change, end, key, never_seen, recipe

from m4nmt.cli import train as cli
from m4nmt.core.ranks import LostRankError
from m4nmt.data.types import Batch
from m4nmt.parallel import watchdog
from m4nmt.parallel.engine import StepLoss
from m4nmt.parallel.laid import Laid
from m4nmt.train.run import train
from m4nmt.train.settings import GuardConfig
from m4nmt.train.trainer import HardwareError, TrainError

pytestmark = pytest.mark.xdist_group("train_run")  # one corpus for all


# ---- memory (23)


def full_once(known: dict[bytes, int], batch_number: int, seen: list[int]) -> Change:
    """No memory for one batch."""

    def change(engine: Laid, step: train_made.Step, batch: Batch) -> StepLoss:
        seen.append(known[key(batch)])
        if seen[-1] == batch_number:
            step(engine, batch)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return step(engine, batch)

    return change


def test_a_batch_without_memory_is_left_out_and_the_run_goes_on(
    run: Path, corpus: Path, known: dict[bytes, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    with monkeypatch.context() as patch:
        train_made.broken(patch, full_once(known, 9, seen))
        assert train(recipe(corpus), run).status == "finished"
    assert seen == [*range(STEPS + 1)]
    (told,) = train_made.events(run, "out_of_memory")
    assert (told["step"], told["batch"]) == (9, 9)
    assert "out of memory on a batch of" in told["message"]
    assert told["rank"].startswith("rank 0 (")
    other = never_seen(run, recipe(corpus))
    assert end(run) == end(other)
    assert train_made.records(run) == train_made.records(other)


def test_killed_after_memory_ran_out_the_run_ends_the_same(
    run: Path, corpus: Path, known: dict[bytes, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint is older than the batch; what does not fit is not tried again."""
    full, seen = full_once(known, 9, []), []

    def change(engine: Laid, step: train_made.Step, batch: Batch) -> StepLoss:
        seen.append(known[key(batch)])
        if seen[-1] == 11 and seen.count(11) == 1:
            raise KeyboardInterrupt
        return full(engine, step, batch)

    with monkeypatch.context() as patch:
        train_made.broken(patch, change)
        with pytest.raises(KeyboardInterrupt):
            train(recipe(corpus), run)
        assert train(recipe(corpus), run).status == "finished"
    assert seen == [*range(12), 8, *range(10, STEPS + 1)]
    assert end(run) == end(never_seen(run, recipe(corpus)))


@pytest.mark.parametrize("allowed", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
def test_memory_that_runs_out_too_often_stops_the_run(
    run: Path, corpus: Path, known: dict[bytes, int], monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    """Two batches do not fit. The count outlives the process."""

    def change(engine: Laid, step: train_made.Step, batch: Batch) -> StepLoss:
        if known[key(batch)] in (5, 15):
            raise MemoryError
        return step(engine, batch)

    train_made.broken(monkeypatch, change)
    config = recipe(corpus, guard=GuardConfig(memory_skips=allowed))
    for _ in range(2):
        if allowed == 2:
            assert train(config, run).status == "finished"
        else:
            with pytest.raises(TrainError, match=r"out of memory.*raise parallel\.microbatches"):
                train(config, run)
    assert len(train_made.events(run, "out_of_memory")) == allowed


def test_no_memory_in_the_update_ends_the_run(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some weights may be new and some old."""

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(TrainError, match="out of memory"):
        train(recipe(corpus), run)
    assert not train_made.events(run, "out_of_memory")


# ---- a sick machine


@pytest.mark.parametrize(
    "second",
    [1.0, pytest.param(math.inf, marks=pytest.mark.slow)],
    ids=["finite", "other"],
)
def test_a_step_that_is_not_finite_only_once_is_the_machines_fault(
    run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, second: float
) -> None:
    factors = [math.nan, second]
    states: list[dict[str, torch.Tensor]] = []

    def change(engine: Laid, step: train_made.Step, batch: Batch) -> StepLoss:
        found = step(engine, batch)
        if engine._step.number == 6 and factors:
            states.append({n: p.detach().clone() for n, p in engine.named_parameters()})
            factor = factors.pop(0)
            engine.scale_grads(factor)
            loss = found.loss * factor
            bad = () if math.isfinite(factor) else (0,)
            return found._replace(loss=loss, suspects=bad, shares=(float(loss),))
        return found

    config = recipe(corpus)
    with monkeypatch.context() as patch:
        train_made.broken(patch, change)
        with pytest.raises(HardwareError, match=r"step 6 .* repeated .* rank 0 \(") as caught:
            train(config, run)
        assert caught.value.ranks == (0,)
        told = "was finite" if math.isfinite(second) else "gave other numbers"
        assert told in str(caught.value)
        assert train_made.events(run, "hardware")[0]["message"] == str(caught.value)
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        assert not train_made.events(run, "refused")
        assert train(config, run).status == "finished"
    clean = run.with_name("clean")
    shutil.copytree(run / "data", clean / "data")
    train(config, clean)
    assert end(run) == end(clean)


def test_exit_codes_tell_a_sick_device_from_a_lost_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.time, "sleep", lambda seconds: None)
    sick = HardwareError("step 6 was not finite", (1,))
    assert cli._lost(sick, 1) == watchdog.DEVICE
    assert cli._lost(sick, 0) == watchdog.EXIT
    assert cli._lost(LostRankError("rank 1 is gone"), 0) == watchdog.EXIT
