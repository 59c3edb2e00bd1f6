"""How many layers fit: peak memory of a training step against depth, kept and rematerialised,
in one process and cut into stages.

    python benchmarks/memory.py --budget 1.5

For each way, peak resident memory of a step (less that of a process that has only imported
everything) is measured at two depths; the line through both says how deep a model fits the budget,
and a step at that depth is then run and must stay within it. The shape of GPipe's Table 1
(arXiv:1811.06965) on CPUs. `--deep N` also trains a model of N layers for some steps.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import processor

HERE = Path(__file__).resolve().parent
WAYS = {  # name -> (processes, rematerialisation, micro-batches)
    "one process, everything kept": (1, "KeepAll", 1),
    "one process, 4 micro-batches": (1, "KeepAll", 4),
    "one process, rematerialised, 4 micro-batches": (1, "Recompute", 4),
    "2 stages, 4 micro-batches": (2, "KeepAll", 4),
    "2 stages, rematerialised, 4 micro-batches": (2, "Recompute", 4),
}
DEPTHS = (8, 24)


def main() -> None:
    """Measure, print, write."""
    given = _arguments()
    if given.worker is not None:
        _work(given)
        return
    empty = _run(given, 0, (1, "KeepAll", 1))["peak"]
    rows = [(name, *_fit(given, way, empty)) for name, way in WAYS.items()]
    text = _page(given, rows)
    if given.deep:
        text += _deep(given, empty)
    print(text)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=1.5, help="GiB a process")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--vocab", type=int, default=2000)
    parser.add_argument("--deep", type=int, default=0, help="also train this many layers")
    parser.add_argument("--steps", type=int, default=5, help="of the deep model")
    day = datetime.date.today().isoformat()
    name = f"memory_{platform.machine()}_{day}.md"
    parser.add_argument("--out", type=Path, default=HERE / "results" / name)
    for name in ("worker", "world", "layers", "pieces", "taken"):
        parser.add_argument(f"--{name}", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--remat", default="KeepAll", help=argparse.SUPPRESS)
    parser.add_argument("--rendezvous", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _fit(
    given: argparse.Namespace, way: tuple[int, str, int], empty: int
) -> tuple[float, int, float]:
    """(bytes a layer, layers that fit, measured GiB at that depth)."""
    low, high = (_run(given, depth, way)["peak"] - empty for depth in DEPTHS)
    each = (high - low) / (DEPTHS[1] - DEPTHS[0])
    fitting = int((given.budget * 2**30 - (low - each * DEPTHS[0])) / each)
    fitting -= fitting % 2
    return each, fitting, (_run(given, fitting, way)["peak"] - empty) / 2**30


def _run(
    given: argparse.Namespace, layers: int, way: tuple[int, str, int], steps: int = 1
) -> dict[str, Any]:
    """What the process with the largest peak says."""
    world, remat, pieces = way
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "memory.py"), "--layers", str(layers)]
        command += ["--world", str(world), "--remat", remat, "--pieces", str(pieces)]
        command += ["--taken", str(steps), "--rendezvous", f"file://{folder}/meet"]
        for name in ("dim", "rows", "length", "vocab"):
            command += [f"--{name}", str(getattr(given, name))]
        # freed memory goes back at once, so that the peak is what was in use
        env = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
        workers = [
            subprocess.Popen([*command, "--worker", str(rank)], stdout=subprocess.PIPE, env=env)
            for rank in range(world)
        ]
        told = [json.loads(worker.communicate()[0].splitlines()[-1]) for worker in workers]
    found: dict[str, Any] = max(told, key=lambda t: t["peak"])
    print(f"{layers} layers, {way}: {found}", file=sys.stderr, flush=True)
    return found


def _work(given: argparse.Namespace) -> None:
    """One process: some steps, and its peak memory."""
    import torch
    import torch.distributed as dist

    from m4nmt import optim
    from m4nmt.data.types import Batch, Shape
    from m4nmt.model.settings import classic
    from m4nmt.optim.settings import AdamW
    from m4nmt.parallel import settings
    from m4nmt.parallel.apply import parallelize
    from m4nmt.parallel.world import World
    from m4nmt.train.loss import CrossEntropy

    torch.set_num_threads(1)
    losses = []
    if given.world > 1:
        dist.init_process_group(
            "gloo", init_method=given.rendezvous, rank=given.worker, world_size=given.world
        )
    if given.layers:
        half = given.layers // 2
        model = classic(
            layers=(half, given.layers - half),
            dim=given.dim,
            hidden=4 * given.dim,
            heads=4,
            dropout=0.1,
            vocab=given.vocab,
        )
        config = settings.ParallelConfig(
            pipeline=given.world,
            microbatches=given.pieces,
            schedule="gpipe",
            remat=getattr(settings, given.remat)(),
            device="cpu",
            timeout=600,
        )
        world = World(given.worker, given.world, given.worker)
        shape = (given.rows // given.pieces, given.length, given.length)
        engine = parallelize(model, config, CrossEntropy(0.1), 1, world, shape)
        optimizer = optim.build(AdamW(lr=1e-3), engine.named_parameters())
        generator = torch.Generator().manual_seed(1)
        ids = torch.randint(1, given.vocab, (2, given.rows, given.length), generator=generator)
        batch = Batch(
            ids[0],
            ids[1],
            ids[1],
            torch.zeros(given.rows, dtype=torch.long),
            Shape(given.rows, given.length, given.length),
            given.rows * given.length,
        )
        for number in range(given.taken):
            engine.seed_step(number)
            losses.append(float(engine.step(batch).loss))
            optimizer.step()
            engine.updated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak": peak, "losses": losses}), flush=True)


def _page(given: argparse.Namespace, rows: list[tuple[str, float, int, float]]) -> str:
    lines = [
        "# Layers that fit",
        "",
        f"{processor()}; width {given.dim}, batch of {given.rows} x {given.length} tokens, "
        f"{given.vocab} words, AdamW, fp32; {given.budget} GiB a process beyond what an idle "
        "one takes.",
        "",
        "| way | MiB a layer | layers that fit | times | GiB measured there |",
        "|---|---:|---:|---:|---:|",
    ]
    first = rows[0][2]
    for name, each, fitting, measured in rows:
        lines.append(
            f"| {name} | {each / 2**20:.2f} | {fitting} | {fitting / first:.1f} | {measured:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _deep(given: argparse.Namespace, empty: int) -> str:
    """A model of many layers trains."""
    way = (1, "Recompute", 4)
    thin = argparse.Namespace(**{**vars(given), "dim": 64, "rows": 16, "length": 24})
    found = _run(thin, given.deep, way, given.steps)
    shown = ", ".join(f"{loss:.3f}" for loss in found["losses"])
    peak = (found["peak"] - empty) / 2**30
    return (
        f"\n{given.deep:,} layers of width {thin.dim}, batch of {thin.rows} x {thin.length}, one "
        f"process, rematerialised: {peak:.2f} GiB; loss over {given.steps} steps {shown}.\n"
    )


if __name__ == "__main__":
    main()
