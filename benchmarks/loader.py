"""How fast the loader delivers batches, and how much of them is padding.

    python benchmarks/loader.py --root ../shared/data --work runs/loader multi30k bible100

Prepares each recipe's data in --work if it is not there, then reads batches in this process, with
one thread and nothing else going on: examples/s and real target tokens/s as the trainer would get
them, the share of real tokens (source and target together), and the number of different shapes.
With --pairs all every pair of languages is a direction (15,500 of bible100).
"""

import argparse
import os
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from m4nmt.core.config import override
from m4nmt.core.names import recipe
from m4nmt.data.loader import Loader
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import DataConfig


@dataclass
class Reading:
    """What was delivered in a stretch of the stream."""

    seconds: float
    batches: int
    examples: int
    tokens: int
    real: int
    padded: int
    shapes: int


def read(loader: Loader, seconds: float) -> Reading:
    """Read whole blocks for about so long."""
    shapes: Counter[tuple[int, ...]] = Counter()
    examples = tokens = real = padded = 0
    running = loader.batches()
    next(running)  # what is built once is not counted
    start = time.perf_counter()
    for state, batch in running:
        shapes[tuple(batch.shape)] += 1
        examples += int((batch.direction_B >= 0).sum())
        tokens += batch.tokens
        real += batch.tokens + int((batch.src_BS != 0).sum())
        padded += batch.src_BS.numel() + batch.out_BT.numel()
        if state.index == 0 and time.perf_counter() - start > seconds:
            break
    spent = time.perf_counter() - start
    running.close()  # type: ignore[attr-defined]
    return Reading(spent, shapes.total(), examples, tokens, real, padded, len(shapes))


def data_config(name: str, pairs: str, changes: list[str]) -> DataConfig:
    """The data section of a recipe."""
    config = override(recipe(name)().data, changes)
    if pairs:
        config = replace(config, directions=replace(config.directions, pairs=pairs))
    return config


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--root", default="", help="folder of the corpora")
    parser.add_argument("--work", type=Path, default=Path("runs/loader"))
    parser.add_argument("--pairs", choices=("all", "centric"), default="")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--set", action="append", default=[], help="such as blocks.tokens=4096")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| data | directions | examples/s | target tokens/s | real tokens | batches | shapes |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in given.recipes:
        config = replace(data_config(name, given.pairs, given.set), root=given.root)
        store = prepare(config, given.work / f"{name}{given.pairs}")
        got = read(Loader(store, config, workers=given.workers), given.seconds)
        print(
            f"| {name}, {config.blocks.tokens} tokens | {len(store.directions):,} "
            f"| {got.examples / got.seconds:,.0f} | {got.tokens / got.seconds:,.0f} "
            f"| {got.real / got.padded:.1%} | {got.batches:,} | {got.shapes} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
