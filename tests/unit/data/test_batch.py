from typing import Any

import numpy as np
import pytest
import torch
from fake_store import TAG, TASK, FakeMany, FakeStore, data_config

from m4nmt.data.columns.ragged import in_order
from m4nmt.data.settings import Infill
from m4nmt.data.stream.batch import assemble, fetch
from m4nmt.data.stream.plan import Plan
from m4nmt.data.types import Batch

STORE = FakeStore([50, 1000, 100_000, 7])
NOISY = FakeStore([50, 1000], 20, "denoise")


def planned(store: FakeStore) -> tuple[Plan, list[Batch]]:
    plan = Plan(store, data_config(tasks=(Infill(),)))
    made = plan.block(2)
    chunk = fetch(plan.reader, made, 0, len(made.shapes))
    return plan, [assemble(chunk, plan.reader, index) for index in range(len(made.shapes))]


@pytest.mark.parametrize(("store", "tags"), [(STORE, [TAG]), (NOISY, [TAG, TASK])])
def test_rows_by_hand(store: FakeStore, tags: list[int]) -> None:
    plan, batches = planned(store)
    made = plan.block(2)
    for batch, (start, end) in zip(batches, made.places.tolist(), strict=True):
        real = end - start
        assert batch.src_BS.shape == (batch.shape.rows, batch.shape.src)
        assert batch.tgt_BT.shape == batch.out_BT.shape == (batch.shape.rows, batch.shape.tgt)
        assert batch.direction_B.tolist() == [
            *made.direction_N[start:end],
            *[-1] * (batch.shape.rows - real),
        ]
        for row in range(real):
            direction, example = int(made.direction_N[start + row]), made.example_N[start + row]
            one, other = map(
                in_order, plan.reader.tokens(np.array([direction]), np.array([example]))
            )
            src, tgt = one.values.tolist(), other.values.tolist()
            for tensor, ids in (
                (batch.src_BS, [*tags, *src, 3]),
                (batch.tgt_BT, [2, *tgt]),
                (batch.out_BT, [*tgt, 3]),
            ):
                padding = [0] * (tensor.shape[1] - len(ids))
                assert tensor[row].tolist() == ids + padding
        for tensor in (batch.src_BS, batch.tgt_BT, batch.out_BT):
            assert not tensor[real:].any()


def test_padding_rows_stand_in_one_batch_of_a_block_alone() -> None:
    _, batches = planned(STORE)
    padded = [batch for batch in batches if (batch.direction_B < 0).any()]
    assert len(padded) <= 1
    assert sum(int((batch.direction_B >= 0).sum()) for batch in batches) == 600


def test_tokens_are_those_of_the_targets() -> None:
    _, batches = planned(STORE)
    for batch in batches:
        assert batch.tokens == int((batch.out_BT != 0).sum()) == int((batch.tgt_BT != 0).sum())
        assert {t.dtype for t in (batch.src_BS, batch.tgt_BT, batch.out_BT)} == {torch.int64}


def test_parts_of_ranks_make_the_whole() -> None:
    plan, batches = planned(STORE)
    made = plan.block(2)
    for world in (2, 4, 8):
        chunks = [fetch(plan.reader, made, 0, len(made.shapes), r, world) for r in range(world)]
        for index, whole in enumerate(batches):
            parts = [assemble(chunk, plan.reader, index) for chunk in chunks]
            for name in ("src_BS", "tgt_BT", "out_BT", "direction_B"):
                joined = torch.cat([getattr(part, name) for part in parts])
                assert torch.equal(joined, getattr(whole, name))
            assert {part.tokens for part in parts} == {whole.tokens}
            assert {part.shape.rows * world for part in parts} == {whole.shape.rows}


@pytest.mark.parametrize(("world", "pieces"), [(3, 1), (3, 4), (5, 1), (16, 1)])
def test_where_rows_do_not_divide_padding_stands_at_the_end(world: int, pieces: int) -> None:
    plan, batches = planned(STORE)
    made = plan.block(2)
    chunks = [
        fetch(plan.reader, made, 0, len(made.shapes), rank, world, pieces) for rank in range(world)
    ]
    for index, whole in enumerate(batches):
        parts = [assemble(chunk, plan.reader, index) for chunk in chunks]
        rows = {len(part.src_BS) for part in parts}
        assert rows == {part.shape.rows for part in parts}
        assert len(rows) == 1
        assert rows.pop() % pieces == 0
        for name in ("src_BS", "tgt_BT", "out_BT", "direction_B"):
            joined = torch.cat([getattr(part, name) for part in parts])
            expected = getattr(whole, name)
            assert torch.equal(joined[: len(expected)], expected)
            filling = joined[len(expected) :]
            assert len(filling) < world * pieces
            assert not (filling + 1 if name == "direction_B" else filling).any()
        assert {part.tokens for part in parts} == {whole.tokens}


def test_a_rank_reads_only_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(STORE, data_config())
    made = plan.block(0)
    asked = []
    original = FakeMany.tokens

    def counting(self: FakeMany, direction_N: Any, example_N: Any) -> Any:
        asked.append(len(example_N))
        return original(self, direction_N, example_N)

    monkeypatch.setattr(FakeMany, "tokens", counting)
    fetch(plan.reader, made, 0, len(made.shapes), 1, 4)
    assert 600 / 4 - 8 <= sum(asked) <= 600 / 4 + 8
    assert len(asked) == 1  # all directions together


def test_a_batch_of_padding_alone() -> None:
    """The share of one rank in the last batch may hold no example at all."""
    plan = Plan(FakeStore([9]), data_config(examples=1))
    made = plan.block(0)
    assert made.shapes[0].rows == 8
    chunk = fetch(plan.reader, made, 0, 1, 7, 8)
    batch = assemble(chunk, plan.reader, 0)
    assert batch.direction_B.tolist() == [-1]
    assert not batch.src_BS.any()
    assert batch.tokens == int(made.tokens[0]) > 0
