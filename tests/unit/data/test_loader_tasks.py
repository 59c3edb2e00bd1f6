"""The stream with denoising in it and a mixture that changes: a function of (seed, config, t)."""

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from fake_store import MASK, FakeStore, data_config
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.data.columns.ragged import in_order
from m4nmt.data.loader import Loader, LoaderState
from m4nmt.data.settings import ByLoss, Infill, Mass, Timed
from m4nmt.data.stream.phases import Decision
from m4nmt.data.stream.plan import Reader
from m4nmt.data.types import Batch

STORE = FakeStore([50, 1000, 100_000, 7], 20, "translate", "denoise", "mass")
TASKS = (Mass(), Infill())
CONFIG = data_config(Timed(introduced={"s00001*": 40}), TASKS)
TENSORS = ("src_BS", "tgt_BT", "out_BT", "direction_B")
Step = tuple[LoaderState, Batch]


def steps(count: int, state: LoaderState | None = None, **options: Any) -> list[Step]:
    config = options.pop("config", CONFIG)
    return list(islice(Loader(STORE, config, **options).batches(state), count))


def equal(one: list[Step], other: list[Step]) -> bool:
    return len(one) == len(other) and all(
        s == t and all(torch.equal(getattr(a, n), getattr(b, n)) for n in TENSORS)
        for (s, a), (t, b) in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def stream() -> list[Step]:
    return steps(80)


def test_there_is_noise_in_it(stream: list[Step]) -> None:
    for direction in range(4):
        rows = [b.src_BS[b.direction_B == direction] for _, b in stream]
        masks = sum(int((row == MASK).any(1).sum()) for row in rows)
        total = sum(len(row) for row in rows)
        assert total > 20
        assert (masks > 0.7 * total) if direction in (1, 2) else masks == 0


def test_each_direction_has_its_own_noise() -> None:
    """Line 5 of some languages, of 20 pieces in each of them (see FakeMany), read together."""
    store = FakeStore([1000] * 64, 20, "mass")
    reader = Reader(store, store.directions, "train", (Mass(),), 1)
    alike = [d for d in range(64) if (5 * 7919 + d) % 20 == 19]
    src, _ = reader.tokens(np.array(alike), np.full(len(alike), 5))
    masked = {tuple(row == MASK) for row in np.split(in_order(src).values, len(alike))}
    assert len(alike) >= 3
    assert len(masked) == len(alike)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([2, 4]), st.integers(0, 70))
def test_ranks_cut_the_same_stream(stream: list[Step], world: int, at: int) -> None:
    state = stream[at][0]
    whole = stream[at + 1 : at + 4]
    parts = [steps(len(whole), state, rank=r, world=world) for r in range(world)]
    for (after, batch), *pieces in zip(whole, *parts, strict=True):
        assert {found for found, _ in pieces} == {after}
        assert {piece.tokens for _, piece in pieces} == {batch.tokens}
        for name in TENSORS:
            assert torch.equal(
                torch.cat([getattr(piece, name) for _, piece in pieces]), getattr(batch, name)
            )


def test_workers_change_no_noise(stream: list[Step]) -> None:
    assert equal(steps(30, workers=2), stream[:30])
    assert equal(steps(20, stream[33][0], workers=1), stream[34:54])


def test_each_line_comes_once_an_epoch_under_a_number_of_its_own() -> None:
    """So that it has other noise in each."""
    plan = Loader(STORE, data_config(tasks=TASKS)).plan
    blocks = [plan.block(number) for number in range(25)]
    for direction, size in ((1, 1000), (2, 100_000)):
        drawn = np.concatenate([b.example_N[b.direction_N == direction] for b in blocks])
        assert len(drawn) > 2500
        assert len(np.unique(drawn)) == len(drawn)
        epochs, left = divmod(len(drawn), size)
        counts = np.bincount(drawn // size)
        assert counts.tolist() == [*[size] * epochs, left]


def test_the_seed_makes_the_noise(stream: list[Step]) -> None:
    assert not equal(steps(5, config=replace(CONFIG, seed=5)), stream[:5])
    other = replace(CONFIG, tasks=(Mass(ratio=0.3), Infill()))
    assert not equal(steps(5, config=other), stream[:5])


def test_a_decision_leaves_what_came_before() -> None:
    config = data_config(ByLoss(), TASKS)
    loader = Loader(STORE, config)
    before = list(islice(loader.batches(), 90))
    edge = next(i for i, (state, _) in enumerate(before) if state == LoaderState(2, 0)) + 1
    changed = loader.by([Decision(2, {str(STORE.directions[0]): 4.0})])
    after = list(islice(changed.batches(), 90))
    assert equal(before[:edge], after[:edge])
    assert not equal(before[edge : edge + 9], after[edge : edge + 9])
    # and a run that starts again in the middle, on two ranks, goes on the same
    again = Loader(
        STORE, config, rank=1, world=2, decisions=[Decision(2, {str(STORE.directions[0]): 4.0})]
    )
    for (state, half), (expected, batch) in zip(
        again.batches(after[edge + 3][0]), after[edge + 4 : edge + 9], strict=False
    ):
        assert state == expected
        assert torch.equal(half.src_BS, batch.src_BS[batch.shape.rows // 2 :])
