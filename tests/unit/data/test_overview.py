import json

import pytest
from fake_store import FakeStore, data_config

from m4nmt.data import overview
from m4nmt.data.settings import Phase, Phases, Temperature, Weights

STORE = FakeStore([50, 1000, 100_000, 7])


def test_rows_tell_what_the_run_will_draw() -> None:
    rows = overview.table(STORE, data_config(Temperature(T=1)), 1000)
    assert [row.direction for row in rows] == [str(d) for d in STORE.directions]
    assert [row.size for row in rows] == [50, 1000, 100_000, 7]
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert rows[2].share == pytest.approx(100_000 / 101_057, rel=1e-3)
    # T=1: every direction is seen as often, about 1000 batches of 28 rows over 101,057 examples
    assert rows[1].epochs == pytest.approx(rows[2].epochs, rel=0.1)
    assert rows[2].epochs == pytest.approx(0.28, rel=0.2)
    assert not any(row.warning for row in rows)


def test_epochs_grow_with_the_run() -> None:
    short, long = (overview.table(STORE, data_config(), steps) for steps in (50, 5000))
    for one, other in zip(short, long, strict=True):
        assert other.epochs == pytest.approx(100 * one.epochs, rel=0.1)


def test_repetition_is_marked() -> None:
    mixture = Weights(weights={"s00000*": 0.001, "s00001*": 1, "s00002*": 1})
    rows = overview.table(STORE, data_config(mixture), 2000)
    assert "each example" not in rows[0].warning
    assert "large share" in rows[1].warning
    assert rows[1].epochs > overview.REPEATED
    assert rows[2].warning == ""
    assert rows[3].warning == "never drawn"
    assert (
        "hardly anything new after 40"
        in overview.table(STORE, data_config(mixture), 20_000)[1].warning
    )


def test_a_small_share_may_repeat() -> None:
    rows = overview.table(STORE, data_config(Weights(weights={"s00003*": 0.01, "*": 1})), 2000)
    assert overview.REPEATED < rows[3].epochs < overview.EXHAUSTED
    assert rows[3].warning == ""


def test_phases_are_summed() -> None:
    mixture = Phases(
        phases=(
            Phase(start=0, mixture=Temperature(), only=("s00001*",)),
            Phase(start=0.5, mixture=Temperature(), only=("s00002*",)),
        )
    )
    rows = overview.table(STORE, data_config(mixture), 2000)
    assert rows[1].share == pytest.approx(0.5, abs=0.05)
    assert rows[2].share == pytest.approx(0.5, abs=0.05)


def test_text_and_json() -> None:
    rows = overview.table(STORE, data_config(), 1000)
    text = overview.to_text(rows)
    assert all(row.direction in text for row in rows)
    assert "4 directions, 101,057 examples" in text
    assert json.loads(json.dumps(overview.to_json(rows)))[1]["size"] == 1000


def test_many_directions_are_cut_to_the_ends() -> None:
    store = FakeStore([10 + i for i in range(500)])
    text = overview.to_text(overview.table(store, data_config(examples=3000), 100))
    assert "... 440 more" in text
    assert "s00499_Latn-t00499_Latn" in text  # the largest
    assert "s00000_Latn-t00000_Latn" in text  # the smallest
    assert "s00250_Latn-t00250_Latn" not in text
    assert len(text.splitlines()) < 70
