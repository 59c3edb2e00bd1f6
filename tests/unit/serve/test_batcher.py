"""Texts of many requests are translated together, once, in order, and only while wanted."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from m4nmt_serve.batcher import Batcher, Item, Room
from m4nmt_serve.batcher import Engine as BatchEngine
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.meters import Meters


class Engine:
    """Upper-cases; remembers its batches."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[list[str]] = []
        self.stopped = 0

    def __call__(self, items: Sequence[Item], unwanted: Callable[[], bool]) -> list[list[str]]:
        self.batches.append([item.text for item in items])
        ends = time.monotonic() + self.seconds
        while time.monotonic() < ends:
            time.sleep(0.01)
            if unwanted():
                self.stopped += 1
                raise RuntimeError("stopped by the caller")
        if any(item.text == "poison" for item in items):
            raise RuntimeError("the engine choked")
        return [[item.text.upper()] for item in items]


def item(text: str) -> Item:
    return Item(text, "eng_Latn", "deu_Latn", 1)


# A text costs as many tokens as it has characters here.
_ROOM = Room(batch_tokens=100, wait=0.02, queue_tokens=1000, queue_seconds=1e9, cache_chars=100_000)


def with_batcher(
    engine: BatchEngine, body: Callable[[Batcher], Awaitable[Any]], **changes: Any
) -> Any:
    room = replace(_ROOM, **changes)

    async def whole() -> Any:
        batcher = Batcher(engine, lambda items: [len(item.text) for item in items], room, Meters())
        batcher.start()
        try:
            return await asyncio.wait_for(body(batcher), 10)
        finally:
            await batcher.close()

    return asyncio.run(whole())


def test_others_have_their_turn_between_the_answers_to_a_batch() -> None:
    engine, turns = Engine(), 0

    async def body(batcher: Batcher) -> set[int]:
        async def ask(text: str) -> int:
            await batcher.translate([item(text)])
            return turns

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(turn())
        seen = await asyncio.gather(*(ask(f"text {i}") for i in range(10)))
        ticking.cancel()
        return set(seen)

    assert len(with_batcher(engine, body)) >= 9
    assert len(engine.batches) == 1


def test_closing_while_answers_are_handed_out_leaves_nobody_waiting() -> None:
    async def body(batcher: Batcher) -> list[Any]:
        asks = [asyncio.create_task(batcher.translate([item(f"text {i}")])) for i in range(10)]
        await asks[0]
        await batcher.close()
        return await asyncio.gather(*asks, return_exceptions=True)

    found = with_batcher(Engine(), body)
    assert found[0] == [["TEXT 0"]]
    assert isinstance(found[-1], ServiceError)


def test_callers_share_batches_and_get_their_own_answers_in_order() -> None:
    engine = Engine(0.01)

    async def body(batcher: Batcher) -> list[list[Sequence[str]]]:
        asks = [[item(f"{i}-a"), item(f"{i}-b")] for i in range(64)]
        return await asyncio.gather(*(batcher.translate(ask) for ask in asks))

    answers = with_batcher(engine, body)
    assert answers == [[[f"{i}-A"], [f"{i}-B"]] for i in range(64)]
    assert len(engine.batches) <= 8  # 128 texts of some 4 characters, 100 characters a batch
    assert all(sum(map(len, batch)) <= 100 for batch in engine.batches)


def test_a_text_larger_than_the_budget_goes_alone() -> None:
    engine = Engine()
    long = "x" * 300
    with_batcher(engine, lambda b: b.translate([item("a"), item(long), item("b")]))
    assert engine.batches == [["a"], [long], ["b"]]


def test_equal_texts_are_translated_once_in_flight_and_later() -> None:
    engine = Engine(0.05)

    async def body(batcher: Batcher) -> Any:
        first = await asyncio.gather(*(batcher.translate([item("same")]) for _ in range(5)))
        running = asyncio.create_task(batcher.translate([item("slow")]))
        await asyncio.sleep(0.04)  # it is in the engine now
        joined = await batcher.translate([item("slow"), item("same"), item("slow")])
        return first, await running, joined

    first, slow, joined = with_batcher(engine, body)
    assert first == [[["SAME"]]] * 5
    assert slow == [["SLOW"]]
    assert joined == [["SLOW"], ["SAME"], ["SLOW"]]
    assert engine.batches == [["same"], ["slow"]]


def test_without_a_cache_texts_are_translated_again() -> None:
    engine = Engine()

    async def body(batcher: Batcher) -> None:
        for _ in range(2):
            await batcher.translate([item("a")])

    with_batcher(engine, body, cache_chars=0)
    assert engine.batches == [["a"], ["a"]]


def test_what_nobody_waits_for_is_never_begun() -> None:
    engine = Engine(0.1)

    async def body(batcher: Batcher) -> None:
        busy = asyncio.create_task(batcher.translate([item("busy")]))
        await asyncio.sleep(0.05)
        left = asyncio.create_task(batcher.translate([item("left"), item("shared")]))
        stays = asyncio.create_task(batcher.translate([item("shared")]))
        await asyncio.sleep(0)
        assert batcher.queue.tokens("interactive") == len("left") + len("shared")
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert batcher.queue.tokens("interactive") == len("shared")
        assert await stays == [["SHARED"]]
        await busy

    with_batcher(engine, body)
    assert engine.batches == [["busy"], ["shared"]]


def test_a_caller_that_leaves_does_not_disturb_the_others_in_the_engine() -> None:
    engine = Engine(0.1)

    async def body(batcher: Batcher) -> Any:
        left = asyncio.create_task(batcher.translate([item("both")]))
        stays = asyncio.create_task(batcher.translate([item("both")]))
        await asyncio.sleep(0.06)
        left.cancel()
        return await stays

    assert with_batcher(engine, body) == [["BOTH"]]


def test_a_batch_that_everybody_left_is_stopped_and_who_comes_then_is_served() -> None:
    engine = Engine(0.3)

    async def body(batcher: Batcher) -> Any:
        left = asyncio.create_task(batcher.translate([item("a"), item("b")]))
        await asyncio.sleep(0.1)  # it is in the engine now
        left.cancel()
        await asyncio.sleep(0.05)
        assert engine.stopped == 1
        return await batcher.translate([item("a")])

    assert with_batcher(engine, body) == [["A"]]
    assert engine.batches == [["a", "b"], ["a"]]


def test_who_asks_for_a_text_while_it_is_being_stopped_gets_it() -> None:
    stop = threading.Event()

    def engine(items: Sequence[Item], unwanted: Callable[[], bool]) -> list[list[str]]:
        while not stop.is_set():
            time.sleep(0.005)
            if unwanted():
                stop.wait(5)  # the new caller comes now
                raise RuntimeError("stopped by the caller")
        return [[item.text.upper()] for item in items]

    async def body(batcher: Batcher) -> Any:
        left = asyncio.create_task(batcher.translate([item("a")]))
        await asyncio.sleep(0.1)
        left.cancel()
        await asyncio.sleep(0.05)
        joined = asyncio.create_task(batcher.translate([item("a")]))
        await asyncio.sleep(0.05)
        stop.set()
        return await joined

    assert with_batcher(engine, body) == [["A"]]


def test_a_full_queue_says_when_to_come_back() -> None:
    engine = Engine(0.2)

    async def body(batcher: Batcher) -> None:
        busy = asyncio.create_task(batcher.translate([item("busy")]))
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(batcher.translate([item("w" * 1000)]))
        await asyncio.sleep(0)
        with pytest.raises(ServiceError) as refused:
            await batcher.translate([item("x")])
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
        assert await batcher.translate([item("busy")]) == [["BUSY"]]  # joins what runs: no room
        await asyncio.gather(busy, waiting)

    with_batcher(engine, body)


def test_one_bad_text_does_not_spoil_its_neighbours() -> None:
    engine = Engine()

    async def body(batcher: Batcher) -> Any:
        asks = (batcher.translate([item(text)]) for text in ("a", "poison", "b"))
        return await asyncio.gather(*asks, return_exceptions=True)

    good, bad, fine = with_batcher(engine, body)
    assert (good, fine) == ([["A"]], [["B"]])
    assert isinstance(bad, ServiceError)
    assert bad.status == 500
    assert "choked" not in bad.message


def test_what_is_done_is_told_before_a_failure_that_comes_with_it() -> None:
    def engine(items: Sequence[Item], unwanted: Callable[[], bool]) -> list[Any]:
        bad = ServiceError(500, "choked")
        return [bad if "poison" in item.text else [item.text] for item in items]

    async def body(batcher: Batcher) -> list[str]:
        told: list[str] = []
        for i in range(30):  # which of two comes first is chance
            both = [item(f"fine {i}"), item(f"poison {i}")]
            with pytest.raises(ServiceError):
                await batcher.translate(both, done=lambda one, _: told.append(one.text))
        return told

    told = with_batcher(engine, body, wait=0.0)
    assert told == [f"fine {i}" for i in range(30)]


def test_an_engine_that_loses_a_text_spoils_nothing_else() -> None:
    def engine(items: Sequence[Item], unwanted: Callable[[], bool]) -> list[list[str]]:
        return [[item.text.upper()] for item in items if item.text != "lost"]

    async def body(batcher: Batcher) -> Any:
        asks = (batcher.translate([item(text)]) for text in ("a", "lost"))
        found = await asyncio.gather(*asks, return_exceptions=True)
        assert batcher.alive
        return [*found, await batcher.translate([item("b")])]

    good, lost, after = with_batcher(engine, body)
    assert (good, after) == ([["A"]], [["B"]])
    assert isinstance(lost, ServiceError)
    assert lost.status == 500


def test_closing_answers_whoever_waits() -> None:
    engine = Engine(0.2)

    async def body(batcher: Batcher) -> Any:
        tasks = [asyncio.create_task(batcher.translate([item(text)])) for text in ("run", "wait")]
        await asyncio.sleep(0.05)
        await batcher.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    for answer in with_batcher(engine, body, batch_tokens=3):
        assert isinstance(answer, ServiceError)
        assert answer.status == 503
