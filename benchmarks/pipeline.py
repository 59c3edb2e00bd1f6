"""Pipeline speed-up: K processes pinned to one core each against one process on one core.

    python benchmarks/pipeline.py --stages 2 --rounds 3

The same model, batch and micro-batches in one process and cut into K stages, in turn, round after
round; medians and ratios are printed and written to benchmarks/results/. Beside each speed-up stand
the ideal K M / (M + K - 1), GPipe's Table 2 (arXiv:1811.06965) where it has the row, the bubble
*measured* as the share of a step in which a stage computes nothing, and the speed against one
process that takes the whole batch at once.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import processor

HERE = Path(__file__).resolve().parent
GPIPE = {(2, 1): 1.0, (2, 4): 1.7, (2, 32): 1.8, (4, 1): 1.07, (4, 4): 3.2, (4, 32): 3.4}


def main() -> None:
    """Measure, print, write."""
    given = _arguments()
    if given.worker is not None:
        _work(given)
        return
    cases = sorted({(1, 1), *((k, m) for m in given.microbatches for k in (1, given.stages))})
    found: dict[tuple[int, int], list[dict[str, Any]]] = {case: [] for case in cases}
    for number in range(given.rounds):
        for case in cases:
            found[case].append(_run(given, *case))
            print(f"round {number + 1} {case}: {found[case][-1]}", file=sys.stderr, flush=True)
    text = _page(given, found)
    print(text)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", type=int, default=2)
    parser.add_argument("--microbatches", type=int, nargs="+", default=[1, 4, 8, 32])
    parser.add_argument("--layers", type=int, default=12, help="of each stack")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--schedule", default="1f1b", choices=("gpipe", "1f1b"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1)
    day = datetime.date.today().isoformat()
    name = f"pipeline_{platform.machine()}_{day}.md"
    parser.add_argument("--out", type=Path, default=HERE / "results" / name)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--world", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--pieces", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--rendezvous", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(given: argparse.Namespace, world: int, pieces: int) -> dict[str, Any]:
    """Seconds a step, and the busy share of the least busy stage."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "pipeline.py"), "--world", str(world)]
        command += ["--pieces", str(pieces), "--rendezvous", f"file://{folder}/meet"]
        for name in ("layers", "dim", "vocab", "rows", "length", "schedule", "steps"):
            command += [f"--{name}", str(getattr(given, name))]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        workers = [
            subprocess.Popen([*command, "--worker", str(rank)], stdout=subprocess.PIPE, env=env)
            for rank in range(world)
        ]
        outputs = [worker.communicate()[0] for worker in workers]
    if any(worker.returncode for worker in workers):
        raise SystemExit(f"a worker failed at {world} stages and {pieces} micro-batches")
    told = [json.loads(output.splitlines()[-1]) for output in outputs]
    return {
        "seconds": max(t["seconds"] for t in told),
        "busy": round(min(t["busy"] for t in told), 4),
    }


def _work(given: argparse.Namespace) -> None:
    """One process: some steps on its own core."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[given.worker]})
    import torch
    import torch.distributed as dist

    from m4nmt.data.types import Batch, Shape
    from m4nmt.parallel.apply import parallelize
    from m4nmt.parallel.settings import ParallelConfig
    from m4nmt.parallel.world import World
    from m4nmt.train.loss import CrossEntropy

    torch.set_num_threads(1)
    world = World(given.worker, given.world, given.worker)
    if given.world > 1:
        dist.init_process_group(
            "gloo", init_method=given.rendezvous, rank=given.worker, world_size=given.world
        )
    busy = _watch() if given.world > 1 else None
    model = _model(given)
    config = ParallelConfig(
        pipeline=given.world,
        microbatches=given.pieces,
        schedule=given.schedule if given.pieces >= given.world else "gpipe",
        device="cpu",
        timeout=600,
    )
    shape = (given.rows // given.pieces, given.length, given.length)
    engine = parallelize(model, config, CrossEntropy(0.1), 1, world, shape)
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, given.vocab, (3, given.rows, given.length), generator=generator)
    batch = Batch(
        ids[0],
        ids[1],
        ids[2],
        torch.zeros(given.rows, dtype=torch.long),
        Shape(given.rows, given.length, given.length),
        given.rows * given.length,
    )
    engine.step(batch)
    started = time.perf_counter()
    if busy:
        busy.clear()
    for _ in range(given.steps):
        engine.step(batch)
    seconds = time.perf_counter() - started
    share = sum(busy) / seconds if busy else 1.0
    print(json.dumps({"seconds": seconds / given.steps, "busy": share}), flush=True)


def _model(given: argparse.Namespace) -> Any:
    from m4nmt.model.settings import classic

    return classic(
        layers=given.layers,
        dim=given.dim,
        hidden=4 * given.dim,
        heads=8,
        dropout=0.0,
        vocab=given.vocab,
    )


def _watch() -> list[float]:
    """Seconds of every forward and backward pass of a micro-batch."""
    from torch.distributed.pipelining import PipelineStage

    spent: list[float] = []

    def timed(name: str) -> None:
        plain = getattr(PipelineStage, name)

        def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return plain(self, *args, **kwargs)
            finally:
                spent.append(time.perf_counter() - begun)

        setattr(PipelineStage, name, watched)

    timed("forward_one_chunk")
    timed("backward_one_chunk")
    return spent


def _page(given: argparse.Namespace, found: dict[tuple[int, int], list[dict[str, Any]]]) -> str:
    """The results as Markdown."""
    K = given.stages
    seconds = {case: statistics.median(r["seconds"] for r in runs) for case, runs in found.items()}
    lines = [
        "# Pipeline speed-up",
        "",
        f"{processor()}, each process on one core, {given.rounds} alternating rounds; "
        f"{given.layers}+{given.layers} layers, width {given.dim}, {given.vocab} words, batch of "
        f"{given.rows} x {given.length} tokens, schedule {given.schedule}, fp32.",
        "",
        f"| micro-batches | one process, the same (s) | {K} stages (s) | speed-up | ideal "
        "| of ideal | planned "
        "| GPipe, Table 2 | bubble, measured | bubble, formula | to one process, whole batch |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for m in given.microbatches:
        up, ideal = seconds[1, m] / seconds[K, m], K * m / (m + K - 1)
        bubble = 1 - statistics.median(r["busy"] for r in found[K, m])
        lines.append(
            f"| {m} | {seconds[1, m]:.2f} | {seconds[K, m]:.2f} | {up:.2f} | {ideal:.2f} "
            f"| {up / ideal:.0%} | {_planned(given, m):.2f} | {GPIPE.get((K, m), '')} "
            f"| {bubble:.1%} | {(K - 1) / (m + K - 1):.1%} | {seconds[1, 1] / seconds[K, m]:.2f} |"
        )
    lines += [
        "",
        "*Bubble, measured*: the share of a step in which the least busy stage computes no "
        "micro-batch (waiting, sending and all that is not a forward or backward pass). *Planned*: "
        "what `m4nmt plan`'s simulator says for the stages' estimated costs.",
    ]
    return "\n".join(lines) + "\n"


def _planned(given: argparse.Namespace, microbatches: int) -> float:
    """The speed-up that the planner expects."""
    from m4nmt.model.translation import segment_names
    from m4nmt.parallel.cut import Shape, segment_work, stage_names
    from m4nmt.parallel.settings import ParallelConfig
    from m4nmt.plan.simulate import Times, simulate

    model = _model(given)
    shape = Shape(given.rows // microbatches, given.length, given.length)
    config = ParallelConfig(pipeline=given.stages, schedule="gpipe", microbatches=microbatches)
    names = stage_names(model, config, shape)
    costs = dict(zip(segment_names(model), segment_work(model, shape), strict=True))
    steps = [sum(costs[name].step for name in stage) for stage in names]
    times = Times([s / 3 for s in steps], [s * 2 / 3 for s in steps])
    made = simulate("gpipe", given.stages, 1, microbatches, times)
    return microbatches * sum(steps) / made.makespan


if __name__ == "__main__":
    main()
