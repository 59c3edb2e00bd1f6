"""Agreement between ranks: one outcome for all, and nobody waits for the dead."""

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import rank_start
import torch
import torch.distributed as dist

from m4nmt.core import ranks
from m4nmt.core.ranks import LostRankError, RankError


def fail() -> int:
    raise OSError(28, "no room\nat all")


def stop() -> int:
    raise KeyboardInterrupt


def caught(job: Callable[[], object]) -> str:
    try:
        return repr(job())
    except (RankError, LostRankError, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}"


def talk(rank: int) -> dict[str, Any]:
    """Everything that ranks say to each other, on one of three."""
    line = ranks.shared("another", timedelta(seconds=5))
    return {
        "place": (ranks.rank(), ranks.size(), line.rank, line.size, line.leader),
        "told": ranks.told(rank * 10 + 7),
        "gathered": ranks.gathered({"rank": rank}),
        "collected": line.collected(rank),
        "dealt": line.dealt([5, 6, 7] if rank == 0 else []),
        "agreed": ranks.agree(lambda: rank * rank),
        "failed": caught(lambda: ranks.agree(fail if rank == 1 else lambda: 0)),
        "failed twice": caught(lambda: ranks.agree(fail if rank else lambda: 0, lambda e: "oh")),
        "interrupted": caught(lambda: ranks.agree(stop if rank == 2 else lambda: 0)),
        "led": ranks.led(lambda: rank + 40),
        "led badly": caught(lambda: ranks.led(fail)),
        "same line": ranks.shared("another") is line,
        "after all": ranks.gathered(rank),
    }


def lose(rank: int) -> tuple[str, str, float]:
    """Rank 1 dies; what the others hear, then and later."""
    ranks.gathered(rank)
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    started = time.monotonic()
    first = caught(lambda: [ranks.gathered(rank) for _ in range(2)])
    return first, caught(lambda: ranks.told(rank)), time.monotonic() - started


def unsendable(rank: int) -> str:
    """Rank 2 says what cannot be sent."""
    return caught(lambda: ranks.gathered((lambda: 0) if rank == 2 else 0))


def together(rank: int, port: int, job: Callable[[int], Any], pipe: Any) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    ranks.ROLL_CALL_SECONDS = 0.5
    store = dist.TCPStore("127.0.0.1", port, is_master=False)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=3)
    pipe.send(job(rank))
    signal.pause()


def run(job: Callable[[int], Any]) -> list[Any]:
    """A job's answers in three processes; None of one that died."""
    context = rank_start.server()
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    answers = []
    running = []
    for rank in range(3):
        receiver, sender = context.Pipe(duplex=False)
        arguments = (rank, store.port, job, sender)
        process = context.Process(target=together, args=arguments, daemon=True)
        process.start()
        sender.close()
        running.append((process, receiver))
    for _, receiver in running:
        try:
            answers.append(receiver.recv() if receiver.poll(60) else "still running")
        except EOFError:
            answers.append(None)
    for process, _ in running:
        process.kill()
        process.join()
    return answers


def test_three_ranks_agree() -> None:
    answers = run(talk)
    for rank, answer in enumerate(answers):
        assert answer["place"] == (rank, 3, rank, 3, rank == 0)
        assert answer["told"] == 7
        assert answer["gathered"] == [{"rank": 0}, {"rank": 1}, {"rank": 2}]
        assert answer["collected"] == ([0, 1, 2] if rank == 0 else [])
        assert answer["dealt"] == rank + 5
        assert answer["agreed"] == [0, 1, 4]
        assert answer["failed"].startswith("RankError: rank 1: OSError: [Errno 28] no room at all")
        assert "rank 1: oh" in answer["failed twice"]
        assert "rank 2: oh" in answer["failed twice"]
        kind = "KeyboardInterrupt" if rank == 2 else "RankError: rank 2: KeyboardInterrupt"
        assert answer["interrupted"].startswith(kind)
        assert answer["led"] == 40
        assert answer["led badly"].startswith("RankError: rank 0: OSError")
        assert answer["same line"]
        assert answer["after all"] == [0, 1, 2]


def test_a_dead_rank_is_named_at_once_and_for_good() -> None:
    answers = run(lose)
    assert answers[1] is None
    for first, later, seconds in (answers[0], answers[2]):
        assert first.startswith("LostRankError")
        assert "no answer from rank 1;" in first
        assert later == first
        assert seconds < 8


def test_what_cannot_be_sent_stops_all_and_hangs_none() -> None:
    answers = run(unsendable)
    assert all(answer.startswith("LostRankError") for answer in answers)
    assert all("all ranks still answer" in answer for answer in answers)


def test_alone_nothing_is_sent_and_failures_are_plain() -> None:
    line = ranks.shared("alone")
    assert (ranks.rank(), ranks.size(), line.leader) == (0, 1, True)
    assert ranks.told(3) == 3
    assert ranks.gathered(3) == [3]
    assert line.collected(3) == [3]
    assert line.dealt([4]) == 4
    assert ranks.agree(lambda: 5) == [5]
    assert ranks.led(lambda: 6) == 6
    for call in (ranks.agree, ranks.led):
        with pytest.raises(OSError, match="no room"):
            call(fail)
