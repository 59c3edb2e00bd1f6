"""Whole training runs over several local processes."""

import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import rank_start
import torch
import train_made

from m4nmt.train.run import train
from m4nmt.train.settings import RunConfig


def config(manifest: Path, parallel: Mapping[str, Any], **changes: Any) -> RunConfig:
    """The digits, laid in some way."""
    made = train_made.config(manifest, **changes)
    return replace(made, parallel=replace(made.parallel, timeout=60.0, **parallel))


def run(size: int, recipe: RunConfig, folder: Path) -> None:
    """Train with so many processes."""
    rank_start.start(_work, (size, free_port(), recipe, folder), size)


def run_apart(size: int, recipe: RunConfig, folder: Path) -> None:
    """The same, each process with its own order of sets."""
    arguments = (size, free_port(), recipe, folder)
    torch.multiprocessing.spawn(_work, arguments, nprocs=size)  # type: ignore[no-untyped-call]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _work(rank: int, size: int, port: int, recipe: RunConfig, folder: Path) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    outcome = train(recipe, folder)
    assert outcome.status == "finished", outcome


def losses(folder: Path) -> list[float]:
    """Of every step."""
    return [line["loss"] for line in train_made.records(folder)]
