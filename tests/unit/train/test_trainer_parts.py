"""The small parts: clipping, bands, intervals, monitors, early stopping, snapshots, journal."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from m4nmt.data.types import Direction
from m4nmt.parallel.engine import Rows
from m4nmt.train import clip, monitor
from m4nmt.train.bands import bands
from m4nmt.train.interval import Interval
from m4nmt.train.journal import Journal
from m4nmt.train.settings import GlobalClip, NoClip, ParameterClip
from m4nmt.train.snapshots import Snapshots
from m4nmt.train.validate import Stopping, Sum, summary


class Engine:
    """Two parameters with gradients of norm 3 and 4."""

    def __init__(self) -> None:
        self.one = nn.Parameter(torch.zeros(4))
        self.two = nn.Parameter(torch.zeros(1))
        self.one.grad, self.two.grad = torch.full((4,), 1.5), torch.tensor([4.0])

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        return [("one", self.one), ("two", self.two)]

    def scale_grads(self, factors: float | dict[str, float]) -> None:
        for name, p in self.named_parameters():
            assert p.grad is not None
            p.grad.mul_(factors[name] if isinstance(factors, dict) else factors)

    def norms(self) -> list[float]:
        return [float(p.grad.norm()) for _, p in self.named_parameters() if p.grad is not None]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (NoClip(), [3.0, 4.0]),
        (GlobalClip(norm=10.0), [3.0, 4.0]),
        (GlobalClip(norm=1.0), [0.6, 0.8]),
        (ParameterClip(norm=3.5), [3.0, 3.5]),
        (ParameterClip(norm=1.0), [1.0, 1.0]),
    ],
)
def test_clip(config: NoClip | GlobalClip | ParameterClip, expected: list[float]) -> None:
    engine = Engine()
    clip.build(config)(engine, {"one": 3.0, "two": 4.0})  # type: ignore[arg-type]
    assert engine.norms() == pytest.approx(expected, rel=1e-5)


def test_clip_below_the_bound_changes_no_bit() -> None:
    engine = Engine()
    before = [p.grad.clone() for _, p in engine.named_parameters() if p.grad is not None]
    for config in (GlobalClip(norm=5.1), ParameterClip(norm=4.1)):
        clip.build(config)(engine, {"one": 3.0, "two": 4.0})  # type: ignore[arg-type]
    for (_, p), grad in zip(engine.named_parameters(), before, strict=True):
        assert torch.equal(p.grad, grad)  # type: ignore[arg-type]


def direction(number: int) -> Direction:
    return Direction("eng_Latn", f"l{number:02d}_Latn")


def test_bands_are_thirds_by_size() -> None:
    sizes = {direction(i): 1000 - i for i in range(9)} | {direction(9): 0}
    found = bands(sizes)
    assert [found[direction(i)] for i in range(10)] == (
        ["high"] * 3 + ["mid"] * 3 + ["low"] * 3 + ["zero-shot"]
    )
    assert bands({direction(0): 5}) == {direction(0): "high"}


LENGTHS = 3 + 2  # of source and target, padding included


def rows(*nll: float) -> Rows:
    """Two real rows of directions 1 and 0 and one of padding."""
    return Rows(
        torch.tensor(nll, dtype=torch.float64),
        torch.tensor([2, 1, 0]),
        torch.tensor([3, 2, 0]),
        torch.tensor([1, 0, -1]),
    )


def test_an_interval_weighs_by_tokens_and_leaves_refused_steps_out() -> None:
    interval = Interval(("high", "low"), [0, 1])
    assert interval.add(rows(4.0, 5.0, 0.0), LENGTHS, 2.0, 3.0, True) == (5, 3)
    interval.add(rows(math.nan, 1.0, 0.0), LENGTHS, math.nan, math.nan, False)
    line = interval.line()
    assert line["loss"] == 2.0
    assert line["nll"] == 3.0
    assert line["band_nll"] == {"high": 5.0, "low": 2.0}
    assert (line["grad_norm"], line["grad_norm_max"], line["refused"]) == (3.0, 3.0, 1)
    assert (line["source_tokens"], line["target_tokens"]) == (10, 6)
    assert line["padding"] == pytest.approx(1 - 16 / 30)
    json.dumps(line, allow_nan=False)


def test_an_interval_of_refused_steps_has_no_means() -> None:
    interval = Interval(("high",), [0, 0])
    interval.add(rows(0.0, 0.0, 0.0), LENGTHS, math.inf, math.inf, False)
    line = interval.line()
    assert line["loss"] is line["nll"] is line["grad_norm"] is line["grad_norm_max"] is None
    json.dumps(line, allow_nan=False)


def test_an_interval_goes_on_from_its_state() -> None:
    one, other = (Interval(("high", "low"), [0, 1]) for _ in range(2))
    one.add(rows(4.1, 5.3, 0.0), LENGTHS, 2.1, 3.3, True)
    other.load(json.loads(json.dumps(one.state())))
    for interval in (one, other):
        interval.add(rows(1.1, 0.7, 0.0), LENGTHS, 1.7, 0.2, True)
    assert one.line() == other.line()


def test_the_gradient_ratio_is_of_the_first_and_last_encoder_layer() -> None:
    norms = {"enc000.a": 3.0, "enc000.b": 4.0, "enc001.a": 100.0, "enc002.a": 2.0, "dec000.a": 7.0}
    assert monitor.gradient_ratio(norms) == pytest.approx(2.5)
    assert monitor.gradient_ratio({"enc000.a": 1.0}) is None
    assert monitor.gradient_ratio({"enc000.a": 1.0, "enc001.a": 0.0}) is None


def test_update_ratios_by_segment() -> None:
    weights = {"head.a": 3.0, "head.b": 4.0, "x.a": 0.0}
    moved = {"head.a": 0.0, "head.b": 0.5, "x.a": 1.0}
    assert monitor.update_ratios(weights, moved) == {"head": pytest.approx(0.1), "x": 0.0}


def test_memory_weights_are_shares() -> None:
    shares = monitor.memory_weights({monitor.MEMORY: torch.tensor([[0.0, math.log(3)]])})
    assert shares is not None
    assert shares[0] == pytest.approx([0.25, 0.75])
    assert monitor.memory_weights({}) is None


def test_stopping_waits_for_its_patience() -> None:
    stopping = Stopping(2)
    assert [stopping.see(x, i) for i, x in enumerate([3.0, 2.0, 2.0, math.nan], 1)] == [
        True,
        True,
        False,
        False,
    ]
    assert stopping.exhausted
    assert (stopping.best, stopping.best_step) == (2.0, 2)
    other = Stopping(2)
    other.load(json.loads(json.dumps(stopping.state())))
    assert other == stopping


def test_stopping_without_patience_never_ends_a_run() -> None:
    stopping = Stopping(0)
    for step in range(100):
        stopping.see(1.0 + step, step)
    assert not stopping.exhausted


def test_the_summary_leaves_zero_shot_out_of_the_mean() -> None:
    directions = [direction(i) for i in range(4)]
    band = {directions[0]: "high", directions[1]: "low", directions[2]: "low"}
    sums = [Sum(10.0, 10), Sum(20.0, 5), Sum(40.0, 5), Sum(900.0, 10)]
    found = summary(sums, directions, band)
    assert found["loss"] == 3.5
    assert found["perplexity"] == pytest.approx(math.exp(3.5))
    assert found["band_loss"] == {"high": 1.0, "low": 6.0, "zero-shot": 90.0}
    assert found["direction_loss"][str(directions[1])] == 4.0


def snapshots(root: Path, most: int = 2) -> Snapshots:
    def write(folder: Path, step: int) -> None:
        folder.mkdir(parents=True)
        (folder / "step").write_text(str(step))

    return Snapshots(root, write, most)


def names(root: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in root.iterdir())


def test_snapshots_keep_the_newest_and_the_best(tmp_path: Path) -> None:
    kept = snapshots(tmp_path)
    kept.take(5)
    for step in (10, 20, 30):
        kept.add(step)
    assert names(tmp_path) == [5, 10, 20, 30]  # nothing goes before the state is saved
    kept.prune(5)
    assert names(tmp_path) == [5, 20, 30]
    assert kept.newest() == [kept.folder(20), kept.folder(30)]


def test_snapshots_beyond_the_checkpoint_are_taken_again(tmp_path: Path) -> None:
    kept = snapshots(tmp_path)
    kept.add(10)
    state = kept.state()
    kept.add(20)
    again = snapshots(tmp_path)
    again.load(state, 15)
    assert names(tmp_path) == [10]
    assert again.newest() == [again.folder(10)]


def test_the_journal_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).write("started", 0)
    with path.open("ab") as stream:
        stream.write(b'{"event": "sav')
    journal = Journal(path)
    journal.write("resumed", 3, why="a kill")
    assert [(e["event"], e["step"]) for e in journal.events()] == [("started", 0), ("resumed", 3)]
