"""The arithmetic of going back: regions, what is left out, budgets, what is given up."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from m4nmt.train.journal import Journal
from m4nmt.train.rewind import History, Rewound, tell
from m4nmt.train.settings import GuardConfig, Rewind

CONFIG = Rewind()


def after(*onsets: int, config: Rewind = CONFIG, to: int = 0) -> History:
    """What is known after trouble at these steps, each time taken back to `to`."""
    history = History()
    for onset in onsets:
        history = History((*history.rewinds, history.next(onset, to, config)))
    return history


def test_what_lies_around_the_onset_is_left_out() -> None:
    (one,) = after(5000, to=4000).rewinds
    assert one.batches == (4900, 5200)
    assert (one.to, one.onset, one.region, one.rate) == (4000, 5000, 1, 1.0)
    assert one.slowed[0] == one.slowed[1]


def test_in_the_same_region_more_is_left_out_each_time() -> None:
    """Step 4900 then takes batch 5200; step 4800 after that takes batch 5600."""
    history = after(5000, 4900, 4800, to=4000)
    assert [r.batches for r in history.rewinds] == [(4900, 5200), (4800, 5600), (4700, 6100)]
    assert {r.region for r in history.rewinds} == {1}


@pytest.mark.parametrize(("onset", "region"), [(6100 - 300, 1), (6300, 2), (3900, 1), (3700, 2)])
def test_a_region_reaches_around_what_was_left_out(onset: int, region: int) -> None:
    """Batches 4900 to 5199 were, and step 5800 takes batch 6100."""
    assert after(5000).region(onset, CONFIG) == region


def test_nothing_before_the_checkpoint_is_left_out() -> None:
    """It was trained on, and will be part of the weights."""
    (one,) = after(5000, to=4950).rewinds
    assert one.batches == (4950, 5200)
    (late,) = after(5000, to=5010).rewinds  # the oldest checkpoint is younger than the trouble
    assert late.batches == (5010, 5210)
    (early,) = after(30).rewinds
    assert early.batches == (0, 230)


def test_budgets_of_a_region_and_of_a_run() -> None:
    assert not after(5000, 5000).spent(5000, CONFIG)
    assert "3 rewinds in this region" in after(5000, 5000, 5000).spent(5000, CONFIG)
    assert not after(5000, 5000, 5000).spent(50_000, CONFIG)
    far = tuple(10_000 * n for n in range(1, 11))
    assert not after(*far[:-1]).spent(200_000, CONFIG)
    assert "10 rewinds were made" in after(*far).spent(200_000, CONFIG)


def test_the_second_rewind_in_a_region_can_slow_the_run() -> None:
    config = Rewind(rate=0.5, rate_steps=10)
    rate = after(5000, 4990, config=config, to=4000).slowed(float)
    assert [rate(step) / step for step in (4889, 4890, 4899, 4900)] == [1.0, 0.5, 0.5, 1.0]
    assert after(5000, 9000, config=config).slowed(float)(8901) == 8901
    assert after(5000, 4990).slowed(float)(4895) == 4895


def test_checkpoints_of_what_was_given_up_are_known_by_step_and_count() -> None:
    """Back to 40, then on to 90, then back to 60."""
    one, two = (Rewound(to, to, (0, 1), 1, 1.0, (0, 0)) for to in (40, 60))
    history = History((one, two))
    assert [history.abandoned(step, 0) for step in (40, 41, 70)] == [False, True, True]
    assert [history.abandoned(step, 1) for step in (40, 41, 60, 61)] == [False, False, False, True]
    assert not history.abandoned(70, 2)


def test_the_journal_tells_it_all_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write("started", 0)
    history = after(5000, 4990, to=4000)
    for number, one in enumerate(history.rewinds, 1):
        tell(journal, 5003, one, number, reason="three", remark="")
    journal.record("out_of_memory", 7, batch=7)
    journal.record("out_of_memory", 7, batch=7)  # two ranks may say so of one batch
    found = History.read(journal)
    assert found.rewinds == history.rewinds
    assert found.too_large == {7}
    assert found.skips.ranges == ((7, 8), *history.skips.ranges)
    assert json.loads(json.dumps(asdict(history.rewinds[0])))["to"] == 4000


def test_a_decision_that_is_not_written_is_an_error(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "gone" / "journal.jsonl")
    (tmp_path / "gone").write_text("a file")
    journal.write("saved", 3)  # says so on the log
    with pytest.raises(OSError):
        tell(journal, 3, after(5).rewinds[0], 1)


@pytest.mark.parametrize(
    "wrong",
    [{"skip": 0}, {"most_skip": 10}, {"per_region": 0}, {"per_run": 2}, {"rate": 0.0}, {"rate": 2}],
)
def test_impossible_rewinds_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need"):
        Rewind(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"rise": -1.0}, {"fast": 200}, {"refusals": -1}])
def test_impossible_guards_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need"):
        GuardConfig(**wrong)  # type: ignore[arg-type]
