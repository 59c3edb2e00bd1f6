"""Runs that take a second: digits to copy and to reverse, a model of two small layers."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from m4nmt.data.settings import (
    BlockConfig,
    DataConfig,
    DirectionsConfig,
    FilterConfig,
    TokenizerConfig,
)
from m4nmt.data.types import Batch
from m4nmt.model.settings import classic
from m4nmt.optim.settings import AdamW, Constant
from m4nmt.parallel.engine import StepLoss
from m4nmt.parallel.laid import Laid
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.train.settings import RunConfig, TrainConfig

Step = Callable[[Laid, Batch], StepLoss]
DIGITS = "0123456789"
SIDES = {
    "eng_Latn": lambda digits: digits,
    "deu_Latn": lambda digits: digits,
    "fra_Latn": lambda digits: digits[::-1],
}


def corpus(folder: Path, train: int = 400, dev: int = 30) -> Path:
    """Line-aligned digits in three "languages"; the third has fewer lines. Returns the manifest."""
    draw = random.Random(3)
    parts = ['name = "digits"', 'license = "CC0-1.0"']
    for split, count in (("train", train), ("dev", dev), ("test", dev)):
        rows = [[draw.choice(DIGITS) for _ in range(draw.randint(3, 8))] for _ in range(count)]
        for name, languages, part in (
            ("big", ("eng_Latn", "deu_Latn"), rows),
            ("small", ("eng_Latn", "fra_Latn"), rows[: count // 3]),
        ):
            for language in languages:
                path = folder / name / f"{split}.{language}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(" ".join(SIDES[language](r)) + "\n" for r in part))
            parts += [
                "[[corpus]]",
                f'name = "{name}"',
                f'split = "{split}"',
                'format = "multiway"',
                f'path = "{name}/{split}.{{lang}}.txt"',
                f"languages = {list(languages)}",
            ]
    path = folder / "manifest.toml"
    path.write_text("\n".join(parts) + "\n")
    return path


def config(manifest: Path, **train: Any) -> RunConfig:
    """A recipe over `corpus`; `train` changes its train section."""
    chosen: dict[str, Any] = {
        "steps": 20,
        "log_every": 1,
        "validate_every": 0,
        "save_every": 0,
        "average": 0,
        "choose": "last",
        "sinks": ("jsonl",),
    }
    return RunConfig(
        name="digits",
        data=DataConfig(
            manifest=str(manifest),
            root=str(manifest.parent),
            directions=DirectionsConfig(),
            filters=FilterConfig(identical=False, overlap=False),
            tokenizer=TokenizerConfig(vocab=290, sample=2000, threads=1),
            blocks=BlockConfig(tokens=192, examples=256, max_length=24),
        ),
        model=classic(layers=2, dim=16, hidden=32, heads=2, dropout=0.1),
        optim=AdamW(lr=3e-3),
        schedule=Constant(warmup=5),
        train=TrainConfig(**(chosen | train)),
        parallel=ParallelConfig(threads=1, device="cpu"),
    )


def with_train(given: RunConfig, **train: Any) -> RunConfig:
    """The same recipe with another train section."""
    return replace(given, train=replace(given.train, **train))


def broken(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Laid, Step, Batch], StepLoss]
) -> None:
    """Put `change` around every step of the engine."""
    step = Laid.step
    monkeypatch.setattr(Laid, "step", lambda self, batch: change(self, step, batch))


def records(run: Path, kind: str = "train") -> list[dict[str, Any]]:
    """Records of a kind, what a resumed run need not repeat left out."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("timing", None)
    return [line for line in lines if line["kind"] == kind]


def events(run: Path, event: str) -> list[dict[str, Any]]:
    """Events of a kind in the journal."""
    lines = (run / "journal.jsonl").read_text().splitlines()
    return [found for found in map(json.loads, lines) if found["event"] == event]
