"""A rank that hangs, however it hangs, ends the run with a name and everybody's stack."""

import time
from pathlib import Path

from rank_scripts import outcome, ranks

from m4nmt.parallel.watchdog import EXIT, Watchdog
from m4nmt.parallel.world import World

TIMEOUT = 4.0
# Steps with a collective each. What `hang` does at step 5 of rank 1 is put in.
STEPS = """
import json
def last(message):
    (folder / f"last{{world.rank}}.json").write_text(json.dumps(message))
def hang():
    {hang}
with joined("cpu", {timeout}) as world, Watchdog(world, folder, {timeout}, last) as dog:
    for step in range({steps}):
        dog.alive({patience})
        (folder / f"at{{world.rank}}").write_text(str(step))
        if step == 5 and world.rank == 1:
            (folder / "began").write_text(str(time.monotonic()))
            hang()
        world.barrier()
        time.sleep(0.02)
print("done", world.rank)
"""


def steps(hang: str, patience: float = 1.0, timeout: float = TIMEOUT, count: int = 20) -> str:
    return STEPS.format(hang=hang, patience=patience, timeout=timeout, steps=count)


def hung_for(folder: Path) -> float:
    """Seconds since the hang began; the clock is the machine's."""
    return time.monotonic() - float((folder / "began").read_text())


def test_a_run_that_does_not_hang_leaves_nothing(tmp_path: Path) -> None:
    with ranks(steps("pass"), tmp_path) as started:
        assert [outcome(p) for p in started] == [(0, f"done {r}\n", "") for r in (0, 1)]
    assert not (tmp_path / "stacks").exists()


def test_a_stopped_rank_is_woken_to_write_its_stack(tmp_path: Path) -> None:
    with ranks(steps("os.kill(os.getpid(), signal.SIGSTOP)"), tmp_path) as started:
        code, _, said = outcome(started[0])
        took = hung_for(tmp_path)
        other, _, _ = outcome(started[1], timeout=10)
    assert (code, other) == (EXIT, EXIT)
    assert TIMEOUT - 0.5 < took < TIMEOUT + 4
    assert "LostRankError: rank 0 of 2" in said
    assert "raise parallel.timeout" in said
    assert "Traceback" not in said
    for rank in (0, 1):
        stack = (tmp_path / "stacks" / f"rank{rank}.txt").read_text()
        assert "Thread" in stack
        assert "script.py" in stack
    assert "in barrier" in (tmp_path / "stacks/rank0.txt").read_text()
    assert "LostRankError" not in (tmp_path / "last0.json").read_text()
    assert "stacks" in (tmp_path / "last0.json").read_text()


def test_a_rank_that_sleeps(tmp_path: Path) -> None:
    with ranks(steps("time.sleep(60)"), tmp_path) as started:
        codes = [outcome(process)[0] for process in started]
        took = hung_for(tmp_path)
    assert codes == [EXIT, EXIT]
    assert TIMEOUT - 0.5 < took < TIMEOUT + 4
    assert "in hang" in (tmp_path / "stacks/rank1.txt").read_text()


def test_a_rank_that_holds_the_interpreter(tmp_path: Path) -> None:
    # A loop in C that lets no other thread of Python run, nor a handler of a signal.
    with ranks(steps("sum(range(10**13))"), tmp_path) as started:
        code, _, _ = outcome(started[0])
        took = hung_for(tmp_path)
        stack = (tmp_path / "stacks/rank1.txt").read_text()
        assert started[1].poll() is None  # it still holds it
    assert code == EXIT
    assert TIMEOUT - 0.5 < took < TIMEOUT + 4
    assert "in hang" in stack


def test_a_slow_step_can_be_announced(tmp_path: Path) -> None:
    # Both ranks sleep, so that no collective waits: only the watchdog could end this.
    slow = "if step == 5: time.sleep(1.6)"
    for patience, code in ((4.0, 0), (1.0, EXIT)):
        folder = tmp_path / str(patience)
        folder.mkdir()
        body = steps("pass", patience, timeout=1.0).replace("world.barrier()", slow)
        with ranks(body, folder) as started:
            assert [outcome(process)[0] for process in started] == [code, code]


def test_a_rank_that_dies_is_not_a_hang(tmp_path: Path) -> None:
    body = steps("os._exit(9)") + "\n"
    with ranks(body, tmp_path) as started:
        code, _, said = outcome(started[0])
        assert hung_for(tmp_path) < TIMEOUT
    assert code == 1
    assert "LostRankError: rank 0 of 2 lost another rank" in said


def test_stacks_of_an_earlier_hang_are_kept(tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/rank1.txt").write_text("from the last time\n")
    (tmp_path / "stacks/.hung-0123").touch()  # whose note it is no longer
    with ranks(steps("pass"), tmp_path) as started:
        assert [outcome(process)[0] for process in started] == [0, 0]
    assert (tmp_path / "stacks/rank1.txt").read_text() == "from the last time\n"
    assert not list((tmp_path / "stacks").glob(".hung-*"))


def test_alone_it_does_nothing(tmp_path: Path) -> None:
    with Watchdog(World(), tmp_path, 0.1) as dog:
        dog.alive()
        time.sleep(0.5)
    assert list(tmp_path.iterdir()) == []
