"""Two lanes before the engine: bulk work holds up nobody, and is not held up for ever."""

import asyncio
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from serve_helpers import FakeTranslator, running
from test_batcher import Engine, item, with_batcher

from m4nmt_serve.batcher import Batcher
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.lanes import Queue
from m4nmt_serve.settings import ServeConfig


class Job(NamedTuple):
    name: str
    cost: int


def names(batch: Sequence[tuple[Job, str]]) -> list[str]:
    return [job.name for job, _ in batch]


def filled(budget: int, interactive: Sequence[Job], bulk: Sequence[Job]) -> Queue[Job]:
    queue: Queue[Job] = Queue(budget)
    for job in bulk:
        queue.add(job, "bulk")
    for job in interactive:
        queue.add(job, "interactive")
    return queue


def test_interactive_jobs_go_first_and_bulk_fills_the_room() -> None:
    queue = filled(100, [Job("i", 30)], [Job("b", 60), Job("c", 60)])
    assert names(queue.take()) == ["i", "b"]
    assert names(queue.take()) == ["c"]
    assert len(queue) == 0


def test_bulk_jobs_get_a_quarter_of_a_flood() -> None:
    queue: Queue[Job] = Queue(100)
    for i in range(40):
        queue.add(Job(f"b{i}", 20), "bulk")
    taken = {"interactive": 0, "bulk": 0}
    for i in range(20):
        for j in range(5):  # more interactive work than a batch takes, always
            queue.add(Job(f"i{i}.{j}", 20), "interactive")
        for job, lane in queue.take():
            taken[lane] += job.cost
    assert taken == {"interactive": 1500, "bulk": 500}


def test_a_large_bulk_job_has_its_turn_in_a_flood() -> None:
    queue = filled(100, [], [Job("large", 300)])
    turns = 0
    while queue.tokens("bulk"):
        for i in range(5):
            queue.add(Job(f"{turns}.{i}", 20), "interactive")
        turns += 1
        batch = queue.take()
    assert turns == 12  # a quarter of each batch is owed to it
    assert names(batch) == ["large"]


def test_what_is_owed_is_forgotten_when_no_bulk_waits() -> None:
    queue: Queue[Job] = Queue(100)
    for i in range(50):
        queue.add(Job(f"i{i}", 100), "interactive")
    for _ in range(40):
        queue.take()
    queue.add(Job("late", 100), "bulk")
    assert names(queue.take()) == ["i40"]


def test_bulk_work_does_not_delay_an_interactive_text() -> None:
    engine = Engine(0.05)

    async def body(batcher: Batcher[Any]) -> None:
        many = [item(f"{i:02d}" * 25) for i in range(20)]  # ten batches, half a second
        bulk = asyncio.create_task(batcher.translate(many, "bulk"))
        await asyncio.sleep(0.02)
        await batcher.translate([item("quick")], "interactive")
        bulk.cancel()

    with_batcher(engine, body, wait=0.0)
    turn = next(i for i, batch in enumerate(engine.batches) if "quick" in batch)
    assert turn == 1  # the batch after the one that was running


def test_a_bulk_text_that_somebody_waits_for_changes_lanes() -> None:
    engine = Engine(0.05)

    async def body(batcher: Batcher[Any]) -> None:
        many = [item(f"{i:02d}" * 25) for i in range(20)]
        bulk = asyncio.create_task(batcher.translate(many, "bulk"))
        await asyncio.sleep(0.02)
        assert await batcher.translate([many[19]], "interactive") == [["19" * 25]]
        bulk.cancel()

    with_batcher(engine, body, wait=0.0)
    assert "19" * 25 in engine.batches[1]


def test_a_full_bulk_lane_leaves_the_interactive_one_open() -> None:
    engine = Engine(0.2)

    async def body(batcher: Batcher[Any]) -> None:
        bulk = []
        for size in (80, 70):  # the first is in the engine when the second comes
            bulk.append(asyncio.create_task(batcher.translate([item("b" * size)], "bulk")))
            await asyncio.sleep(0.02)
        with pytest.raises(ServiceError, match="busy"):
            await batcher.translate([item("more")], "bulk")
        assert await batcher.translate([item("now")], "interactive") == [["NOW"]]
        await asyncio.gather(*bulk)

    with_batcher(engine, body, wait=0.0, queue_tokens=70)


def test_retry_after_is_the_time_that_the_queue_takes() -> None:
    engine = Engine(0.2)

    async def body(batcher: Batcher[Any]) -> None:
        await batcher.translate([item("x" * 100)])  # some 500 tokens a second
        waits = []
        for i in range(8):
            waits.append(asyncio.create_task(batcher.translate([item(f"{i}" * 100)])))
            await asyncio.sleep(0.01)  # the first is in the engine when the others come
        with pytest.raises(ServiceError) as refused:
            await batcher.translate([item("one more")])
        assert refused.value.retry_after == math.ceil(700 / batcher.speed) >= 2
        for task in waits:
            task.cancel()

    with_batcher(engine, body, wait=0.0, queue_tokens=700)


def test_long_requests_and_those_that_say_so_wait_as_bulk() -> None:
    translator = FakeTranslator()
    with running(translator, ServeConfig(bulk_chars=20)) as up, ThreadPoolExecutor(1):
        for q, priority in (("short", ""), ("x" * 21, ""), ("patient", "u=5, i"), ("now", "u=1")):
            headers = {"priority": priority} if priority else {}
            asked = {"q": q, "source": "en", "target": "de"}
            assert up.client.post("translate", json=asked, headers=headers).status_code == 200
        page = up.service.meters.page()
    assert 'm4nmt_queue_seconds_count{model="fake",lane="interactive"} 2' in page
    assert 'm4nmt_queue_seconds_count{model="fake",lane="bulk"} 2' in page
