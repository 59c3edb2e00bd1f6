"""Sinks: what they write, what a resumed run takes out again, what is refused."""

import errno
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from m4nmt.core.config import ConfigError
from m4nmt.train import records


def line(step: int, **more: Any) -> dict[str, Any]:
    return {"kind": "train", "step": step, **more}


def read(path: Path) -> list[int]:
    return [json.loads(text)["step"] for text in path.read_text().splitlines()]


def test_jsonl_rewinds_to_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    sink = records.Jsonl(path, 0, 0)
    for step in range(1, 6):
        sink.write(line(step))
    with path.open("ab") as stream:
        stream.write(b'{"kind": "train", "step": 3, "lo')
    again = records.Jsonl(path, 3, 0)
    again.write(line(4))
    assert read(path) == [1, 2, 3, 4]


def test_jsonl_keeps_what_came_before_a_rewind(tmp_path: Path) -> None:
    """The run went back from 4 to 1, and was killed at 3; its checkpoint is of step 2."""
    path = tmp_path / "metrics.jsonl"
    sinks = records.build(("jsonl",), "run", tmp_path, 0)
    for step in (1, 2, 3, 4):
        sinks.write(line(step))
    sinks.rewind(1, 1)
    for step in (2, 3):
        sinks.write(line(step))
    records.build(("jsonl",), "run", tmp_path, 2, 1).write(line(3))
    told = [json.loads(text) for text in path.read_text().splitlines()]
    assert [(t["step"], t.get("rewinds", 0)) for t in told] == [
        *((step, 0) for step in (1, 2, 3, 4)),
        *((step, 1) for step in (2, 3)),
    ]


def test_a_full_disk_loses_records_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "metrics.jsonl"
    sink = records.Jsonl(path, 0, 0)
    sink.write(line(1))
    real = Path.open

    class Full:
        """Half of the line goes through."""

        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.stream.close()

        def write(self, data: bytes) -> None:
            self.stream.write(data[: len(data) // 2])
            self.stream.flush()
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(self: Path, mode: str = "r", **kwargs: Any) -> Any:
        stream = real(self, mode, **kwargs)
        return Full(stream) if mode == "ab" else stream

    with caplog.at_level(logging.ERROR), monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        sink.write(line(2))
        sink.write(line(3))
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text
    sink.write(line(4))
    assert read(path) == [1, 4]


def test_scalars_are_numbers_by_path() -> None:
    record = line(7, loss=1.5, best=True, band={"high": 2.0, "low": None}, weights=[[0.25], [1]])
    assert dict(records.scalars(record)) == {
        "train/loss": 1.5,
        "train/band/high": 2.0,
        "train/weights/0/0": 0.25,
        "train/weights/1/0": 1,
    }


def test_tensorboard_gets_every_scalar(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sinks = records.build(("tensorboard",), "run", tmp_path, 0)
    sinks.write(line(5, loss=1.5, timing={"seconds": 2.0}))
    sinks.close()
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert sorted(found.Tags()["scalars"]) == ["train/loss", "train/timing/seconds"]
    assert [(e.step, e.value) for e in found.Scalars("train/loss")] == [(5, 1.5)]


def test_tensorboard_shows_steps_that_were_taken_again_instead(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sinks = records.build(("tensorboard",), "run", tmp_path, 0)
    for step in (1, 2, 3):
        sinks.write(line(step, loss=1.0))
    sinks.rewind(1, 1)
    sinks.write(line(2, loss=2.0))
    sinks.close()
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("train/loss")] == [(1, 1.0), (2, 2.0)]
    assert found.Tags()["scalars"] == ["train/loss"]


def test_an_accelerate_tracker_is_a_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import tracking

    told: list[Any] = []

    class Tracker:
        requires_logging_directory = True

        def __init__(self, run: str, folder: str) -> None:
            told.append((run, folder))

        def start(self) -> None:
            told.append("start")

        def log(self, values: dict[str, float], step: int) -> None:
            told.append((values, step))

        def finish(self) -> None:
            told.append("finish")

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "mine", Tracker)
    monkeypatch.setattr(tracking, "_available_trackers", ["mine"])
    sinks = records.build(("mine",), "run", tmp_path, 0)
    sinks.write(line(5, loss=1.5))
    sinks.close()
    assert told == [
        ("run", str(tmp_path / "mine")),
        "start",
        ({"train/loss": 1.5}, 5),
        "finish",
    ]


def test_unknown_and_uninstalled_sinks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import tracking

    with pytest.raises(ConfigError, match="did you mean 'wandb'"):
        records.check(("jsonl", "wandbb"))
    monkeypatch.setattr(tracking, "_available_trackers", [])
    with pytest.raises(ConfigError, match="pip install wandb"):
        records.check(("wandb",))
