"""Machines come and go, and the run is the run that one process makes: the same examples in every
step, the same losses. A machine is a torchrun here; what is shown on the way is in docs/cluster.md.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import machines
import pytest
import rank_runs
import train_made
from machines import examples, hold, prepared, until_seen
from rank_runs import free_port, losses
from test_launch import until

from m4nmt.train.run import train

STEPS = 100
SOON = "last_call_timeout=5,keep_alive_interval=1,keep_alive_max_attempt=3"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """(the recipe, its run on one process)."""
    folder = tmp_path_factory.mktemp("elastic")
    spec = machines.recipe(folder, steps=STEPS, save_every=10)
    machines.alone(spec, folder / "alone")
    assert len(examples(folder / "alone")) == STEPS
    return spec, folder / "alone"


def same(run: Path, alone: Path) -> None:
    """Nothing was lost, nothing repeated."""
    assert examples(run) == examples(alone)
    lines = train_made.records(run)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert losses(run) == pytest.approx(losses(alone), rel=1e-5)
    for key in ("target_tokens", "total_target_tokens"):
        assert [line[key] for line in lines] == [line[key] for line in train_made.records(alone)]
    assert begun(run)[0] == 0


def begun(run: Path) -> list[int]:
    """The step at which each life of the group began: that of the newest checkpoint then."""
    found, saved = [], 0
    for event in map(_event, (run / "journal.jsonl").read_text().splitlines()):
        if event["event"] == "saved":
            saved = event["step"]
        elif event["event"] in ("started", "resumed"):
            assert event["step"] == saved
            found.append(saved)
    return found


def _event(line: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("store", "lost"), [("file", "first"), ("tcp", "second")])
def test_a_machine_is_lost_and_another_one_comes(
    store: str, lost: str, made: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    spec, alone = made
    run, control, port = prepared(alone, tmp_path / "run"), alone.parent, free_port()
    meet = {
        "file": [
            "--rdzv-endpoint",
            str(tmp_path / "meet"),
            "--rdzv-conf",
            f"{SOON},store_type=file",
        ],
        "tcp": ["--rdzv-endpoint", f"localhost:{port}", "--rdzv-conf", SOON],
    }
    words = [
        "--nnodes",
        "1:2",
        "--max-restarts",
        "9",
        "--local-addr",
        "localhost",
        "--rdzv-backend",
    ]
    with machines.machines(spec, run, *words, "c10d", *meet[store]) as those:
        hold(control, 35)
        those.start("first")
        those.start("second", after=port if store == "tcp" else 0)
        until_seen(run, world=2, step=34)
        those.lose(lost)
        hold(control, 60)
        until_seen(run, world=1, step=59)
        those.start("third")
        until(lambda: bool(train_made.events(run, "stopped")), timeout=120)
        hold(control, 10**9)
        codes = those.codes()
    assert codes == {"first": 0, "second": 0, "third": 0} | {lost: -9}
    same(run, alone)
    assert begun(run) == [0, 30, 61]
    assert machines.took_seconds(run) < 60


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_machine_that_is_told_to_leave_costs_nothing(
    made: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    spec, alone = made
    run, control = prepared(alone, tmp_path / "run"), alone.parent
    words = ["--nnodes", "1:2", "--max-restarts", "9", "--local-addr", "localhost"]
    words += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{(port := free_port())}"]
    with machines.machines(spec, run, *words, "--rdzv-conf", SOON) as those:
        hold(control, 35)
        those.start("first")
        those.start("second", after=port)
        until_seen(run, world=2, step=34)
        those.tell("second")
        hold(control, 10**9)
        codes = those.codes()
    assert codes == {"first": 0, "second": 1}
    same(run, alone)
    first, stopped = begun(run)
    assert first == 0
    assert 35 <= stopped < STEPS
    steps = [line["step"] for line in machines.seen(run) if line["rank"] == 0]
    assert steps == list(range(STEPS))  # none was computed twice


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_fixed_number_of_machines_waits_for_the_lost_one(
    made: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    spec, alone = made
    run, control = prepared(alone, tmp_path / "run"), alone.parent
    words = ["--nnodes", "2", "--max-restarts", "9", "--local-addr", "localhost"]
    words += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{(port := free_port())}"]
    with machines.machines(spec, run, *words, "--rdzv-conf", SOON) as those:
        hold(control, 35)
        those.start("first")
        those.start("second", after=port)
        until_seen(run, world=2, step=34)
        those.lose("second")
        hold(control, 10**9)
        those.start("again")
        codes = those.codes()
    assert codes == {"first": 0, "second": -9, "again": 0}
    same(run, alone)
    assert begun(run) == [0, 30]


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_without_their_torchrun_the_processes_save_and_leave(
    made: tuple[str, Path], tmp_path: Path
) -> None:
    spec, alone = made
    run, control = prepared(alone, tmp_path / "run"), alone.parent
    try:
        with machines.machines(spec, run, "--standalone") as those:
            hold(control, 35)
            those.start("only")
            until_seen(run, world=1, step=34)
            those.behead("only")
            until(lambda: bool(train_made.events(run, "stopped")), timeout=30)
    finally:
        hold(control, 10**9)
    (stopped,) = train_made.events(run, "stopped")
    assert stopped["signal"] == "SIGTERM"


def test_ranks_over_which_the_rows_do_not_divide(tmp_path: Path) -> None:
    made = rank_runs.config(train_made.corpus(tmp_path / "corpus"), {}, steps=12)
    blocks = replace(made.data.blocks, tokens=48, rows_multiple=1)
    config = machines.plain(replace(made, data=replace(made.data, blocks=blocks)))
    train(config, tmp_path / "one")
    rank_runs.run(3, config, prepared(tmp_path / "one", tmp_path / "three"))
    assert losses(tmp_path / "three") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    one, three = (
        [(line["target_tokens"], line["source_tokens"]) for line in train_made.records(folder)]
        for folder in (tmp_path / "one", tmp_path / "three")
    )
    assert three == one
