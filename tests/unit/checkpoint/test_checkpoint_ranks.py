"""Checkpoints of several ranks: any layout reads what any wrote, and all ranks hear one outcome."""

import signal
from pathlib import Path

import pytest
import rank_ends
import rank_jobs
import torch
from rank_jobs import BLOBS, FAULTS, LAYOUTS, alike, whole
from rank_processes import End, run, values

from m4nmt.checkpoint import load, store
from m4nmt.checkpoint.manifest import folder_name, verify

FULL = "No space left on device"


# ---- layouts


@pytest.mark.parametrize("most", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_any_layout_reads_what_any_layout_saved(tmp_path: Path, most: int) -> None:
    rank_jobs.save_each(0, 1, tmp_path, 3)
    for size in (2, 4):
        values(run(size, rank_jobs.save_each, tmp_path, 3))
    assert len(list(tmp_path.iterdir())) == sum(map(len, LAYOUTS.values()))
    assert rank_jobs.load_each(0, 1, tmp_path, 3, 1) == []
    for size in (2, 4):
        assert values(run(size, rank_jobs.load_each, tmp_path, 3, most)) == [[]] * size


def test_each_rank_writes_its_own_and_a_shared_tensor_is_written_once(tmp_path: Path) -> None:
    values(run(2, rank_jobs.save_each, tmp_path, 1))
    total = sum(tensor.nbytes for tensor in whole(1).values())
    for layout in LAYOUTS[2]:
        path = tmp_path / f"2 {layout}" / folder_name(1)
        metadata = load._metadata((path / "dcp" / ".metadata").read_bytes())
        files = {info.relative_path for info in metadata.storage_data.values()}
        assert files == {"__0_0.distcp", "__1_0.distcp"}, layout
        saved = sum(
            torch.Size(chunk.sizes).numel() * entry.properties.dtype.itemsize
            for entry in metadata.state_dict_metadata.values()
            for chunk in entry.chunks
        )
        assert saved == total, layout


def test_differences_are_judged_over_all_ranks(tmp_path: Path) -> None:
    rank_jobs.save_each(0, 1, tmp_path, 1)
    path = tmp_path / "1 plain" / folder_name(1)
    answers = values(run(2, rank_jobs.differences, path))
    assert answers[0] == answers[1]
    good, only, missing, shape, dtype = answers[0]
    assert good == ""
    assert "only in the checkpoint: model.dec.weight" in only
    assert "missing in the checkpoint: new" in missing
    assert "only in" not in missing
    assert "model.dec.weight: saved as float32 [3, 9], wanted as float32 [3, 8]" in shape
    assert "model.tied: saved as float32 [7, 5], wanted as float64 [7, 5]" in dtype


def test_states_that_make_no_whole_are_refused_everywhere(tmp_path: Path) -> None:
    first, second = values(run(2, rank_jobs.unlike, tmp_path))
    for message in (first[0], second[0]):
        assert "the ranks save different steps: [0, 1]" in message
    assert first[1:] == second[1:]
    shapes, dtypes, no_tensor = first[1:]
    assert "a is ((2,), torch.float32) on rank 0 and ((3,), torch.float32) on rank 1" in shapes
    assert "torch.int32) on rank 1" in dtypes
    assert "rank 1: ValueError: 'a' is float, not a tensor" in no_tensor
    assert not list(tmp_path.iterdir())


# ---- faults of one rank


def test_a_fault_on_one_rank_is_no_checkpoint_on_any(tmp_path: Path) -> None:
    answers = values(run(2, rank_jobs.fail_each, tmp_path))
    for index, (what, victim) in enumerate(FAULTS):
        for message, left in (answer[index] for answer in answers):
            assert f"rank {victim}: {FULL} (some file)" in message, (what, victim)
            assert "earlier ones stand" in message
            assert left == [folder_name(1)], (what, victim)
    for answer in answers:
        assert answer[-1] == ("", [folder_name(2)])


def test_a_quota_that_one_rank_really_hits(tmp_path: Path) -> None:
    messages = values(run(2, rank_jobs.real_fault, tmp_path))
    for message in messages:
        assert "rank 1: " in message
        assert "rank 0: " not in message
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_bit_is_seen_by_all(tmp_path: Path) -> None:
    first, second = values(run(2, rank_jobs.flips, tmp_path))
    assert first == second
    assert len(first) == 6
    for name, (flipped, skipped), (mended, none) in first:
        assert (flipped, mended, none) == (1, 2, ()), name
        assert len(skipped) == 1
        assert name in skipped[0] or name == "manifest.json"


def test_a_folder_that_a_rank_sees_late_or_never(tmp_path: Path) -> None:
    for answer in values(run(2, rank_jobs.views, tmp_path)):
        saved, found = answer
        assert "rank 1: does not see" in saved
        assert "rank 1: does not see" in found
        assert "rank 0" not in saved + found
        assert "share" in saved


# ---- in the background


@pytest.mark.parametrize("size", [1, 2])
def test_a_save_in_the_background_writes_the_same(tmp_path: Path, size: int) -> None:
    if size == 1:
        answers = [rank_ends.in_background(0, 1, tmp_path)]
    else:
        answers = values(run(size, rank_ends.in_background, tmp_path))
    assert answers == [(True, True)] * size


def test_what_fails_in_the_background_is_heard(tmp_path: Path) -> None:
    for rank, answer in enumerate(values(run(2, rank_ends.background_faults, tmp_path))):
        asked, unasked, next_one, again, last, *left = answer
        assert f"rank 1: {FULL}" in asked
        assert unasked == "did not ask" if rank else f"rank 1: {FULL}" in unasked
        assert "the save before failed" in next_one
        assert f"rank 1: {FULL}" in next_one
        assert (again, last) == ("", "")
        assert left == [folder_name(step) for step in (3, 4, 5)]


# ---- ranks that end


def judge(root: Path, ends: list[End], victim: int) -> bool:
    """Check what a rank's end has left; False where it ended its save before."""
    found = load.newest_good(root)
    assert found is not None
    for step in store.steps(root):
        verify(root / folder_name(step))
    into = rank_jobs.zeros(whole(0))
    assert load.restore(found.path, into) == BLOBS
    assert alike(into, whole(found.step))
    died = ends[victim].died
    for rank, end in enumerate(ends):
        if rank == victim:
            continue
        assert end.error == ""
        kind, message, seconds = end.value
        assert seconds < 8
        if kind:
            assert died
            assert kind == "LostRanksError"
            assert f"no answer from rank {victim}" in message
        else:
            assert found.step == 2
    store.save(root, 3, whole(3), BLOBS, keep=1)
    assert [path.name for path in root.iterdir()] == [folder_name(3)]
    return died


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("point", [1, 5, 8, 11])
def test_a_rank_killed_in_a_save(tmp_path: Path, victim: int, point: int) -> None:
    assert judge(tmp_path, run(2, rank_ends.end_in_save, tmp_path, victim, point), victim)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("size", "victim"), [(2, 0), (2, 1), (4, 0), (4, 2)])
def test_a_rank_killed_at_every_point_of_a_save(tmp_path: Path, size: int, victim: int) -> None:
    point, died = 0, True
    while died:
        point += 1
        root = tmp_path / str(point)
        ends = run(size, rank_ends.end_in_save, root, victim, point)
        died = judge(root, ends, victim)
    assert point > 12


def test_when_one_of_four_is_killed_none_waits_for_the_timeout(tmp_path: Path) -> None:
    assert judge(tmp_path, run(4, rank_ends.end_in_save, tmp_path, 2, 9), 2)


def test_a_rank_that_hangs_is_named_within_the_timeout(tmp_path: Path) -> None:
    ends = run(2, rank_ends.end_in_save, tmp_path, 1, 6, signal.SIGSTOP, hangs=True)
    kind, message, seconds = ends[0].value
    assert kind == "LostRanksError"
    assert "no answer from rank 1" in message
    assert 1 < seconds < 5
    assert ends[1].error == "still running"
    found = load.newest_good(tmp_path)
    assert found is not None
    assert found.step == 1
