"""Processes find each other, agree and part; a launch that cannot work says so in one line."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from rank_scripts import clean_env, outcome, ranks

from m4nmt.parallel import world as worlds
from m4nmt.parallel.world import World, joined, lost, meet, place, uses_cuda

WHOLE = {
    "RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "node0",
    "MASTER_PORT": "29500",
}


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({}, World()),
        ({"MASTER_ADDR": "node0", "MASTER_PORT": "1"}, World()),
        ({**WHOLE, "RANK": "0", "WORLD_SIZE": "1"}, World()),
        (WHOLE, World(1, 4, 1)),
        ({k: v for k, v in WHOLE.items() if k != "LOCAL_RANK"}, World(1, 4, 0)),
        ({**WHOLE, "GROUP_WORLD_SIZE": "2"}, World(1, 4, 1, machines=2)),
        (
            {
                "OMPI_COMM_WORLD_RANK": "2",
                "OMPI_COMM_WORLD_SIZE": "4",
                "OMPI_COMM_WORLD_LOCAL_RANK": "0",
                "MASTER_ADDR": "node0",
                "MASTER_PORT": "29500",
            },
            World(2, 4, 0),
        ),
    ],
)
def test_the_environment_tells_the_place(env: dict[str, str], found: World) -> None:
    assert place(env) == found


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"MASTER_ADDR": None}, "RANK=1, WORLD_SIZE=4, MASTER_PORT=29500, but MASTER_ADDR not set"),
        ({"RANK": None}, "but RANK not set"),
        ({"WORLD_SIZE": None}, "but WORLD_SIZE not set"),
        ({"MASTER_ADDR": "", "MASTER_PORT": None}, "but MASTER_ADDR, MASTER_PORT not set"),
        ({"RANK": "4"}, "RANK=4 does not lie in WORLD_SIZE=4"),
        ({"RANK": "two"}, "RANK='two' is not a number"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT='http' is not a number"),
    ],
)
def test_half_configured_launches_say_what_is_missing(
    change: dict[str, str | None], says: str
) -> None:
    env = {**WHOLE, **change}
    with pytest.raises(ValueError, match=says) as raised:
        place({k: v for k, v in env.items() if v is not None})
    assert "\n" not in str(raised.value)


def test_accelerate_on_cpus_is_told_apart() -> None:
    env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "ACCELERATE_MIXED_PRECISION": "no"}
    with pytest.raises(ValueError, match="starts only one on CPUs; use `m4nmt train --devices N`"):
        place(env)


def test_a_process_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert uses_cuda("auto", 1)
    assert not uses_cuda("cpu", 2)
    with pytest.raises(ValueError, match="LOCAL_RANK=2, but this process sees 2 GPUs"):
        uses_cuda("auto", 2)


def test_alone_there_is_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WHOLE:
        monkeypatch.delenv(name, raising=False)
    with joined("cpu", 5) as world:
        assert world == World()
        assert world.leader
        assert (world.any(True), world.any(False), world.told("x")) == (True, False, "x")
        world.barrier()
        assert not dist.is_initialized()


def test_a_group_of_one_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WHOLE:
        monkeypatch.delenv(name, raising=False)
    with joined("cpu", 5, always=True) as world:
        assert world == World()
        assert dist.get_world_size() == 1
    assert not dist.is_initialized()
    with pytest.raises(KeyError, match="mine"), joined("cpu", 5, always=True):
        raise KeyError("mine")
    assert not dist.is_initialized()


def together(store: dist.Store, size: int) -> list[str]:
    """What `size` processes, played by threads, call their meeting."""
    found = [""] * size

    def come(rank: int) -> None:
        found[rank] = meet(store, rank, size, patience=10)

    threads = [threading.Thread(target=come, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_store_that_dead_processes_left_behind_is_no_matter() -> None:
    store = dist.HashStore()
    first = together(store, 3)
    second = together(store, 3)
    assert len(set(first)) == len(set(second)) == 1
    assert first[0]
    assert first[0] != second[0]
    # Others that died before they had met, and a group of another size.
    store.set("m4nmt/hello/1", "a word of a dead process")
    assert len(set(together(store, 2))) == 1


def test_who_never_came_is_named() -> None:
    store = dist.HashStore()
    with pytest.raises(TimeoutError, match="2 of 3 processes never came: rank 1, 2"):
        meet(store, 0, 3, patience=0.1)
    with pytest.raises(TimeoutError, match=r"rank 2 of 3 waited 0 s for rank 0"):
        meet(store, 2, 3, patience=0.1)


def test_only_errors_of_collectives_count_as_lost() -> None:
    text = "[/a/gloo/pair.cc:547] Connection closed by peer [127.0.0.1]:1. This is typical. GLHF!"
    assert lost(RuntimeError(text)) == "Connection closed by peer [127.0.0.1]:1"
    assert lost(dist.DistBackendError("NCCL error"))
    assert not lost(RuntimeError("shapes do not match"))
    assert not lost(ValueError("gloo"))


def test_two_processes_agree(tmp_path: Path) -> None:
    body = """
with joined("cpu", 20) as world:
    mine = world.rank == 1
    print(world.rank, world.size, world.any(mine), world.any(False), world.told(world.rank + 7))
    world.barrier()
print(dist.is_initialized())
"""
    with ranks(body, tmp_path) as started:
        for rank, process in enumerate(started):
            assert outcome(process) == (0, f"{rank} 2 True False 7\nFalse\n", "")


def test_no_thread_of_the_group_outlives_it(tmp_path: Path) -> None:
    # One that frees a tensor while Python shuts down aborts the process.
    body = """
def threads():
    return sum(p.read_text().startswith(("gloo", "pt_gloo")) for p in tasks.glob("*/comm"))
tasks = Path("/proc/self/task")
with joined("cpu", 20) as world:
    world.told(world.any(False))
    print(threads() > 0)
print(threads())
"""
    with ranks(body, tmp_path) as started:
        assert [outcome(process)[:2] for process in started] == [(0, "True\n0\n")] * 2


def test_a_rank_that_fails_takes_the_other_along(tmp_path: Path) -> None:
    body = """
try:
    with joined("cpu", 60) as world:
        world.barrier()
        if world.rank == 1:
            raise KeyError("mine alone")
        began = time.monotonic()
        world.barrier()
except LostRankError as error:
    print("lost", time.monotonic() - began < 5, str(error).startswith("rank 0 of 2 lost another"))
except KeyError as error:
    print("mine", error)
"""
    with ranks(body, tmp_path) as started:
        assert outcome(started[0])[1] == "lost True True\n"
        assert outcome(started[1])[1] == "mine 'mine alone'\n"


def test_a_collective_that_hangs_ends_at_the_timeout(tmp_path: Path) -> None:
    body = """
began = time.monotonic()
try:
    with joined("cpu", 2) as world:
        began = time.monotonic()
        if world.rank == 1:
            time.sleep(8)
        world.barrier()
except LostRankError as error:
    print(f"lost {time.monotonic() - began:.1f}")
"""
    with ranks(body, tmp_path) as started:
        said = outcome(started[0])[1].split()
    assert said[0] == "lost"
    assert 1.9 < float(said[1]) < 4


def test_a_first_process_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "_PATIENCE", 1.0)
    for name, value in {**WHOLE, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    with (
        pytest.raises(ConnectionError, match=r"no meeting place at 127\.0\.0\.1:1 \("),
        joined("cpu", 5),
    ):
        pass
    assert time.monotonic() - began < 20
    assert not dist.is_initialized()


def test_accelerate_launch_on_cpus_ends_with_the_advice(tmp_path: Path) -> None:
    launch = "-m accelerate.commands.launch --cpu --num_processes 2 --num_machines 1"
    train = "--mixed_precision no --dynamo_backend no -m m4nmt train debug --run"
    done = subprocess.run(
        [sys.executable, *launch.split(), *train.split(), str(tmp_path / "run")],
        env=clean_env(),
        capture_output=True,
        text=True,
        check=False,
        cwd=os.fspath(tmp_path),
    )
    assert done.returncode != 0
    assert "m4nmt train: accelerate was asked for several processes" in done.stderr
    assert not (tmp_path / "run").exists()
