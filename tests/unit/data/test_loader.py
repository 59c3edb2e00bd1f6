import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import data_made
import numpy as np
import pytest
import torch
from fake_store import FakeStore, data_config
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.core.config import ConfigError
from m4nmt.data import loader
from m4nmt.data.loader import Loader, LoaderError, LoaderState, fixed_batches
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import BlockConfig
from m4nmt.data.types import Batch

STORE = FakeStore([50, 1000, 100_000, 7])
CONFIG = data_config()
TENSORS = ("src_BS", "tgt_BT", "out_BT", "direction_B")
Step = tuple[LoaderState, Batch]


def steps(count: int, state: LoaderState | None = None, **options: Any) -> list[Step]:
    config = options.pop("config", CONFIG)
    return list(islice(Loader(STORE, config, **options).batches(state), count))


def same(one: Batch, other: Batch) -> bool:
    equal = (torch.equal(getattr(one, name), getattr(other, name)) for name in TENSORS)
    return one.shape == other.shape and one.tokens == other.tokens and all(equal)


def equal(one: list[Step], other: list[Step]) -> bool:
    return [s for s, _ in one] == [s for s, _ in other] and all(
        same(a, b) for (_, a), (_, b) in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def stream() -> list[Step]:
    return steps(120)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_CHUNK_EXAMPLES", 130)


def test_states_count_batches_of_blocks(stream: list[Step]) -> None:
    blocks = Counter(state.block for state, _ in stream)
    plan = Loader(STORE, CONFIG).plan
    assert len(blocks) > 4
    state = LoaderState()
    for after, batch in stream:
        made = plan.block(state.block)
        assert batch.shape == made.shapes[state.index]
        assert batch.tokens == made.tokens[state.index]
        last = state.index + 1 == len(made.shapes)
        expected = (
            LoaderState(state.block + 1, 0) if last else LoaderState(state.block, state.index + 1)
        )
        assert after == expected
        state = after


def test_any_position_is_reached_without_walking(stream: list[Step]) -> None:
    ends = [i for i, (state, _) in enumerate(stream) if state.index == 0]
    for at in (0, 1, 7, ends[0] - 1, ends[0], ends[0] + 1, 90):
        assert equal(steps(20, stream[at][0]), stream[at + 1 : at + 21])


def test_far_positions_cost_nothing() -> None:
    start = time.monotonic()
    state, _ = steps(1, LoaderState(10**9, 3))[0]
    assert state == LoaderState(10**9, 4)
    assert time.monotonic() - start < 2


def test_chunks_change_nothing(stream: list[Step], small_chunks: None) -> None:
    assert Loader(STORE, CONFIG)._chunks._count == 5
    assert equal(steps(120), stream)
    for at in range(0, 60, 7):
        assert equal(steps(10, stream[at][0]), stream[at + 1 : at + 11])


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(stream: list[Step], workers: int, small_chunks: None) -> None:
    assert equal(steps(60, workers=workers), stream[:60])
    assert equal(steps(30, stream[33][0], workers=workers), stream[34:64])


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([1, 2, 4, 8]), st.integers(0, 80))
def test_ranks_cut_the_same_stream(world: int, at: int) -> None:
    whole = steps(8, LoaderState(at // 20, at % 20))
    parts = [steps(8, LoaderState(at // 20, at % 20), rank=r, world=world) for r in range(world)]
    for (state, batch), *pieces in zip(whole, *parts, strict=True):
        assert {piece_state for piece_state, _ in pieces} == {state}
        assert {piece.tokens for _, piece in pieces} == {batch.tokens}
        for name in TENSORS:
            assert torch.equal(
                torch.cat([getattr(p, name) for _, p in pieces]), getattr(batch, name)
            )


def test_another_seed_is_another_stream(stream: list[Step]) -> None:
    other = CONFIG.__class__(**{**vars(CONFIG), "seed": 5})
    assert not equal(steps(5, config=other), stream[:5])


@pytest.mark.parametrize("workers", [0, 2])
def test_the_random_numbers_of_training_are_left_alone(workers: int) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
    steps(3, workers=workers)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index]


def test_reading_ahead_ends_with_the_reader() -> None:
    running = Loader(STORE, CONFIG).batches()
    next(running)
    assert any(thread.name.startswith("loader") for thread in threading.enumerate())
    running.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("loader") for thread in threading.enumerate())


class Deadly(FakeStore):
    """Kills or hangs the process that reads ids, unless it is the first one."""

    def __init__(self, deed: str) -> None:
        super().__init__([50, 1000])
        self.home, self.deed = os.getpid(), deed

    def many(self, directions: Any, split: Any = "train") -> Any:
        found = super().many(directions, split)
        harmless = found.tokens

        def tokens(*rows: Any) -> Any:
            if os.getpid() != self.home:
                if self.deed == "die":
                    os.kill(os.getpid(), signal.SIGKILL)
                if self.deed == "raise":
                    raise OSError("the disk is gone")
                time.sleep(600)
            return harmless(*rows)

        found.tokens = tokens  # type: ignore[method-assign]
        return found


def test_a_killed_worker_is_named() -> None:
    with pytest.raises(LoaderError, match=r"data worker failed: .*pid.* \d+"):
        next(Loader(Deadly("die"), CONFIG, workers=1).batches())


def a_step_during_which_dies(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    time.sleep(20)


def test_a_worker_killed_during_a_training_step_is_named(
    stream: list[Step], small_chunks: None
) -> None:
    """torch raises wherever the main thread is; the stream goes on from the last state."""
    running = Loader(STORE, CONFIG, workers=2).batches()
    read = list(islice(running, 10))
    victim = multiprocessing.active_children()[0]
    with pytest.raises(LoaderError, match=rf"data worker failed: .*{victim.pid}.*fewer workers"):
        a_step_during_which_dies(int(victim.pid or 0))
    running.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()
    assert equal(read + steps(10, read[-1][0], workers=2), stream[:20])


def test_workers_inherit_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, files are opened and bitmaps counted once."""
    home, opened = os.getpid(), []
    original = FakeStore.many

    def many(self: FakeStore, *given: Any) -> Any:
        assert os.getpid() == home
        opened.append(given)
        return original(self, *given)

    monkeypatch.setattr(FakeStore, "many", many)
    assert len(steps(60, workers=2)) == 60
    assert len(opened) == 1


def test_workers_end_with_the_reader() -> None:
    running = Loader(STORE, CONFIG, workers=2).batches()
    next(running)
    assert len(multiprocessing.active_children()) == 2
    running.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_a_hanging_worker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_WORKER_TIMEOUT", 1.0)
    with pytest.raises(LoaderError, match="timed out after 1"):
        next(Loader(Deadly("hang"), CONFIG, workers=1).batches())


@pytest.mark.parametrize("workers", [0, 1])
def test_what_fails_while_reading_ahead_comes_through(workers: int) -> None:
    store = Deadly("raise")
    store.home += 0 if workers else 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(Loader(store, CONFIG, workers=workers).batches())


def test_a_position_of_other_data_is_refused() -> None:
    with pytest.raises(LoaderError, match=r"block 1 has .* batches, the saved position is 999"):
        next(Loader(STORE, CONFIG).batches(LoaderState(1, 999)))


def test_an_impossible_rank_is_refused() -> None:
    with pytest.raises(ConfigError, match="rank 2"):
        Loader(STORE, CONFIG, rank=2, world=2)
    with pytest.raises(ConfigError, match="rank 2"):
        next(fixed_batches(STORE, CONFIG, "dev", 5, rank=2, world=2))


def test_fixed_batches_hold_so_many_of_each_direction() -> None:
    batches = list(fixed_batches(STORE, CONFIG, "dev", 30))
    directions = torch.cat([batch.direction_B for batch in batches])
    assert torch.bincount(directions[directions >= 0]).tolist() == [30, 30, 30, 7]
    for batch in batches:
        assert batch.tokens == int((batch.out_BT != 0).sum())
        assert batch.shape.rows * max(batch.shape.src, batch.shape.tgt) <= CONFIG.blocks.tokens
    again = list(fixed_batches(STORE, CONFIG, "dev", 30))
    assert all(same(a, b) for a, b in zip(batches, again, strict=True))


def test_fixed_batches_repeat_no_example() -> None:
    store = FakeStore([400], longest=20)
    rows = torch.cat(
        [b.out_BT[b.direction_B >= 0, 0] for b in fixed_batches(store, CONFIG, "dev", 250)]
    )
    assert len(set(rows.tolist())) == 250  # the first id tells the example


def test_fixed_batches_go_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many directions: memory holds about a block of them."""
    laid = []
    original = loader.lay

    def counting(reader: Any, direction_N: Any, *rest: Any) -> Any:
        laid.append(len(direction_N))
        return original(reader, direction_N, *rest)

    monkeypatch.setattr(loader, "lay", counting)
    store = FakeStore([1000] * 50)
    batches = list(fixed_batches(store, CONFIG, "dev", 100))
    assert sum(laid) == 5000
    assert max(laid) == 600
    directions = torch.cat([batch.direction_B for batch in batches])
    assert torch.bincount(directions[directions >= 0]).tolist() == [100] * 50


def test_fixed_batches_of_ranks_make_the_whole() -> None:
    whole = list(fixed_batches(STORE, CONFIG, "dev", 30))
    parts = [list(fixed_batches(STORE, CONFIG, "dev", 30, rank=r, world=4)) for r in range(4)]
    for batch, *pieces in zip(whole, *parts, strict=True):
        for name in TENSORS:
            assert torch.equal(torch.cat([getattr(p, name) for p in pieces]), getattr(batch, name))
        assert {piece.tokens for piece in pieces} == {batch.tokens}


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_of_a_real_store_is_its_text(tmp_path: Path, workers: int) -> None:
    """What the loader gives decodes to the aligned lines, each once, under the right tag."""
    codes = ("deu_Latn", "eng_Latn", "rus_Cyrl")
    text = {code: data_made.lines(code, range(200)) for code in codes}
    path = data_made.manifest(tmp_path, {"made.train": text})
    store = prepare(data_made.config(path), tmp_path / "out", workers=1)
    blocks = BlockConfig(tokens=512, max_length=64, examples=1200)
    config = replace(data_made.config(path), blocks=blocks)
    read: Counter[tuple[str, str, str]] = Counter()
    for state, batch in Loader(store, config, workers=workers).batches():
        for src, tgt, number in zip(batch.src_BS, batch.out_BT, batch.direction_B, strict=True):
            if number >= 0:
                direction = store.directions[number]
                assert src[0] == store.tokenizer.tag(direction.tgt)
                one, other = store.tokenizer.decode([src.tolist(), tgt.tolist()])
                read[str(direction), one, other] += 1
        if state.block:
            break
    expected = {
        (str(d), *pair)
        for d in store.directions
        for pair in zip(text[d.src], text[d.tgt], strict=True)
    }
    assert len(expected) == 1200
    assert read == Counter(expected)
