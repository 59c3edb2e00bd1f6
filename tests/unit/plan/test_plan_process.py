"""Predicted memory against the high-water mark of real processes that take real steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "plan_check.py"
HEAVY = {  # what is most of memory -> options, ways
    "activations": (
        "--dim 384 --vocab 4000 --rows 64",
        ("one process, recompute", "pipeline 2, 4 micro-batches", "tensor 2"),
    ),
    "weights": (
        "--dim 512 --vocab 8000 --rows 16",
        ("one process", "shard 2, zero 1", "shard 2, zero 3", "expert 2"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("heavy", HEAVY)
@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="only Linux tells a process's peak"
)
def test_processes_take_what_is_predicted(heavy: str) -> None:
    options, ways = HEAVY[heavy]
    command = [sys.executable, str(BENCHMARK), "--layers", "2", "--rounds", "0", "--json"]
    made = subprocess.run(
        [*command, *options.split(), "--ways", *ways], capture_output=True, text=True, timeout=450
    )
    assert made.returncode == 0, made.stderr
    rows = {row["way"]: row for row in json.loads(made.stdout)}
    assert set(rows) == set(ways)
    for way, row in rows.items():
        assert row["predicted_peak"] == pytest.approx(row["peak"], rel=0.1), way
    peaks = [row["peak"] for row in rows.values()]
    assert max(peaks) > 1.1 * min(peaks)  # the layouts differ
