"""Where measurements go: metrics.jsonl, TensorBoard, or any tracker that accelerate knows.

A record is {"kind", "step", ...}; times, speeds and memory stand under "timing", apart from what a
resumed run repeats to the bit. Where a run went back, the steps that it took again have a record
again, with "rewinds": how often it had gone back. The record with the most counts.
Not its job: what is measured (interval, monitor, validate).
"""

import json
import logging
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from m4nmt.core.config import ConfigError, unknown_name
from m4nmt.core.files import write_atomic

log = logging.getLogger(__name__)
Record = Mapping[str, Any]


class Sink(Protocol):
    """A place for records."""

    def write(self, record: Record) -> None:
        """Take a record."""

    def rewind(self, step: int) -> None:
        """The run went back to this step."""

    def close(self) -> None:
        """No more will come."""


class Jsonl:
    """One line a record. Lines of steps after `step`, which a killed run wrote, are taken out; not
    those of before the last of the run's rewinds.

    A full disk is said on the log, once, and ends nothing.
    """

    def __init__(self, path: Path, step: int, rewinds: int) -> None:
        self.path = path
        self._failed = False
        if path.exists():
            _rewind(path, step, rewinds)

    def write(self, record: Record) -> None:
        data = json.dumps(record).encode() + b"\n"
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as stream:
                stream.write(data)
        except OSError as error:
            _cut(self.path, size)
            if not self._failed:
                log.error("%s: %s; records are lost until it can be written", self.path, error)
            self._failed = True

    def rewind(self, step: int) -> None:
        pass  # nothing that happened is taken out

    def close(self) -> None:
        pass


class TensorBoard:
    """Scalars under `<kind>/<name>`."""

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self._open(step)

    def _open(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(self._folder, purge_step=step + 1)

    def write(self, record: Record) -> None:
        for name, value in scalars(record):
            self._writer.add_scalar(name, value, record["step"])
        self._writer.flush()

    def rewind(self, step: int) -> None:
        self._writer.close()
        self._open(step)  # curves show the steps that were taken again instead

    def close(self) -> None:
        self._writer.close()


class Tracker:
    """A tracker of accelerate (wandb, mlflow, aim, ...), logged in by its own environment."""

    def __init__(self, name: str, run: str, folder: Path) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        made = LOGGER_TYPE_TO_CLASS[name]
        places = (str(folder),) if made.requires_logging_directory else ()
        self._tracker = made(run, *places)
        self._tracker.start()

    def write(self, record: Record) -> None:
        self._tracker.log(dict(scalars(record)), step=record["step"])

    def rewind(self, step: int) -> None:
        pass  # trackers differ in what they do with a step that comes again

    def close(self) -> None:
        self._tracker.finish()


class Sinks:
    """Some sinks as one.

    Args:
        rewinds: times that the run had gone back.
    """

    def __init__(self, sinks: Sequence[Sink], rewinds: int = 0) -> None:
        self._sinks = tuple(sinks)
        self._rewinds = rewinds

    def write(self, record: Record) -> None:
        if self._rewinds:
            record = {**record, "rewinds": self._rewinds}
        for sink in self._sinks:
            sink.write(record)

    def rewind(self, step: int, rewinds: int) -> None:
        """The run went back to this step, so many times by now."""
        self._rewinds = rewinds
        for sink in self._sinks:
            sink.rewind(step)

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


def check(names: Sequence[str]) -> None:
    """Refuse sinks that do not exist or whose package is missing, before any work is done.

    Raises:
        ConfigError: names the sink and how to mend it.
    """
    for name in names:
        if name in ("jsonl", "tensorboard"):
            continue
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

        known = ["jsonl", *map(str, LOGGER_TYPE_TO_CLASS)]
        if name not in known:
            raise ConfigError(f"train.sinks: {unknown_name(name, known, 'sink')}")
        if name not in [str(tracker) for tracker in get_available_trackers()]:
            raise ConfigError(
                f"train.sinks: {name!r} needs a package that is not installed; "
                f"pip install {name}, or take it out of train.sinks"
            )


def build(names: Sequence[str], run: str, folder: Path, step: int, rewinds: int = 0) -> Sinks:
    """The sinks of a run that stands at `step` after so many rewinds, in its folder.

    Raises:
        ConfigError: see `check`.
    """
    check(names)
    sinks: list[Sink] = []
    for name in names:
        if name == "jsonl":
            sinks.append(Jsonl(folder / "metrics.jsonl", step, rewinds))
        elif name == "tensorboard":
            sinks.append(TensorBoard(folder / "tensorboard", step))
        else:
            sinks.append(Tracker(name, run, folder / name))
    return Sinks(sinks, rewinds)


def timing(seconds: float, source: int, target: int) -> dict[str, float]:
    """Speeds over `seconds` in which so many tokens were read, and peak memory so far, in MiB."""
    found = {
        "seconds": seconds,
        "source_tokens_per_second": source / max(seconds, 1e-9),
        "target_tokens_per_second": target / max(seconds, 1e-9),
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if torch.cuda.is_available():
        found["gpu_memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def scalars(record: Record) -> Iterator[tuple[str, float]]:
    """The numbers of a record by their path, those that say which record it is aside."""
    rest = {k: v for k, v in record.items() if k not in ("step", "rewinds")}
    yield from _numbers(record["kind"], rest)


def _numbers(path: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(f"{path}/{key}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(f"{path}/{index}", item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def _rewind(path: Path, step: int, rewinds: int) -> None:
    """Keep the lines up to a step, and all of before the last rewind; a torn line is dropped."""
    kept = []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        earlier = record.get("rewinds", 0) < rewinds
        if line.endswith(b"\n") and (earlier or record["step"] <= step):
            kept.append(line)
    write_atomic(path, b"".join(kept))


def _cut(path: Path, size: int) -> None:
    """Take a half-written line off the end."""
    if path.exists() and path.stat().st_size > size:
        with path.open("r+b") as stream:
            stream.truncate(size)
