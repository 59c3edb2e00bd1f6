"""The sample that teaches the tokenizer."""

from pathlib import Path

import numpy as np
import pytest
from data_made import write_lines

from m4nmt.data.formats import Source
from m4nmt.data.preparing.sample import Sample, picks, quotas


def test_sampling_temperature() -> None:
    counts = {"big": 90_000, "small": 10_000, "none": 0}
    assert quotas(counts, 1000, 1.0) == {"big": 900, "small": 100, "none": 0}
    flat = quotas(counts, 1000, 100.0)
    assert abs(flat["big"] - flat["small"]) < 25
    five = quotas(counts, 1000, 5.0)
    assert five["big"] / five["small"] == pytest.approx(9 ** (1 / 5), rel=0.01)
    # What a small language cannot give goes to the others; nothing is given twice.
    assert quotas({"a": 10, "b": 1000}, 500, 100.0) == {"a": 10, "b": 490}
    assert quotas({"a": 10, "b": 20}, 500, 5.0) == {"a": 10, "b": 20}
    assert quotas({"a": 1, "b": 10**9}, 10, 1.0)["a"] == 1


def test_picks_are_spread_and_distinct() -> None:
    for total, wanted in ((116_000, 100_000), (7, 7), (10**6, 3), (5, 0), (0, 0)):
        found = picks(total, wanted, 1, "x")
        assert len(np.unique(found)) == wanted
        assert np.all((found >= 0) & (found < total))
        assert np.array_equal(found, picks(total, wanted, 1, "x"))
    thirds = np.histogram(picks(9000, 900, 2), 3, (0, 9000))[0]
    assert thirds.tolist() == [300, 300, 300]


def test_a_sample_gives_the_picked_lines(tmp_path: Path) -> None:
    write_lines(tmp_path / "a", ["0", "", "1", " ", "2"])
    write_lines(tmp_path / "b", ["3", "4"])
    columns = [(Source(tmp_path / name), 0) for name in "ab"]
    sample = Sample(columns, np.array([0, 2, 3]))
    assert list(sample) == list(sample) == ["0", "2", "3"]
