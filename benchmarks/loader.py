"""How fast the loader delivers batches, and how much of them is padding.

    python benchmarks/loader.py --root ../shared/data --work runs/loader multi30k bible100
    python benchmarks/loader.py --languages 51 bible100             # 100 directions
    python benchmarks/loader.py --pairs all --workers 0,1,2 bible100

Prepares each recipe's data in --work if it is not there, then reads whole blocks, one thread a
process and nothing else going on, once for each number of workers (0: a thread of this process):
examples/s and real target tokens/s as the trainer would get them, the same for a second of
processor time of all processes together, which a busy machine changes little, the processor time
that the reading process itself spent of a second, the share of real tokens (source and target
together), and the number of different shapes.
With --pairs all every pair of languages is a direction (15,500 of bible100, less those without
text); --languages takes the first so many of the manifest.
"""

import argparse
import os
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from m4nmt.core.config import override
from m4nmt.core.names import recipe
from m4nmt.data import manifest
from m4nmt.data.loader import Loader
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import DataConfig

HEAD = (
    "data",
    "directions",
    "workers",
    "examples/s",
    "target tokens/s",
    "a processor-second",
    "reader busy",
    "real tokens",
    "batches",
    "shapes",
)


@dataclass
class Reading:
    """What was delivered in a stretch of the stream. Seconds: of the clock, of this process's
    processor time, of its workers' (with their start)."""

    seconds: float
    reader: float
    workers: float
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
    before = os.times()
    running = loader.batches()
    next(running)  # what is built once is not counted
    start, busy = time.perf_counter(), time.process_time()
    for state, batch in running:
        shapes[tuple(batch.shape)] += 1
        examples += int((batch.direction_B >= 0).sum())
        tokens += batch.tokens
        real += batch.tokens + int((batch.src_BS != 0).sum())
        padded += batch.src_BS.numel() + batch.out_BT.numel()
        if state.index == 0 and time.perf_counter() - start > seconds:
            break
    spent, busy = time.perf_counter() - start, time.process_time() - busy
    running.close()  # type: ignore[attr-defined]
    after = os.times()
    children = sum(after[2:4]) - sum(before[2:4])
    return Reading(
        spent, busy, children, shapes.total(), examples, tokens, real, padded, len(shapes)
    )


def data_config(name: str, pairs: str, languages: int, changes: Sequence[str]) -> DataConfig:
    """The data section of a recipe."""
    config = override(recipe(name)().data, list(changes))
    directions = config.directions
    if pairs:
        directions = replace(directions, pairs=pairs)
    if languages:
        known = manifest.load(config.manifest).of("train")[0].languages
        directions = replace(directions, languages=tuple(list(known)[:languages]))
    return replace(config, directions=directions)


def row(name: str, directions: int, workers: int, got: Reading) -> str:
    """A line of the table."""
    cells = (
        name,
        f"{directions:,}",
        str(workers),
        f"{got.examples / got.seconds:,.0f}",
        f"{got.tokens / got.seconds:,.0f}",
        f"{got.tokens / (got.reader + got.workers):,.0f}",
        f"{got.reader / got.seconds:.0%}",
        f"{got.real / got.padded:.1%}",
        f"{got.batches:,}",
        str(got.shapes),
    )
    return f"| {' | '.join(cells)} |"


def numbers(text: str) -> list[int]:
    """Several numbers of workers."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--root", default="", help="folder of the corpora")
    parser.add_argument("--work", type=Path, default=Path("runs/loader"))
    parser.add_argument("--pairs", choices=("all", "centric"), default="")
    parser.add_argument("--languages", type=int, default=0, help="the first so many")
    parser.add_argument("--workers", type=numbers, default=[0], help="such as 0,1,2")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--set", action="append", default=[], help="such as blocks.tokens=4096")
    given = parser.parse_args()
    torch.set_num_threads(1)
    # more workers than cores are asked for on purpose
    warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
    print(f"| {' | '.join(HEAD)} |")
    print(f"|---|{'---:|' * (len(HEAD) - 1)}", flush=True)
    for name in given.recipes:
        made = data_config(name, given.pairs, given.languages, given.set)
        config = replace(made, root=given.root)
        chosen = "-".join(filter(None, (name, given.pairs, str(given.languages or ""))))
        store = prepare(config, given.work / chosen)
        for workers in given.workers:
            got = read(Loader(store, config, workers=workers), given.seconds)
            about = f"{name}, {config.blocks.tokens} tokens"
            print(row(about, len(store.directions), workers, got), flush=True)


if __name__ == "__main__":
    main()
