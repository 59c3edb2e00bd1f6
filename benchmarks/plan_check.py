"""`m4nmt plan` against what runs: step time, peak memory of layouts on two processes of one core.

    python benchmarks/plan_check.py --rounds 5

The same batch through the same model in one process and laid over two, in turn, round after round;
medians. A layout of one process runs twice at one time, so that both cores have work whatever is
measured: they share memory, and one is slower beside another. The planner is asked as a user would
ask it: the rate of a core's products, what two gloo processes send each other and what one step of
one process takes are measured here and given as `--flops`, `--bandwidth` and `--efficiency`. Then
ratios of step times are compared, and the peak of the fullest process.

Memory is the high-water mark of resident memory (VmHWM) from the moment at which everything is
imported and the process group made, less what was resident then and less the pages of code that
were read meanwhile: weights, gradients, moments, activations and every copy that torch and gloo
make. glibc keeps freed memory, which is not memory in use: for this measurement everything from
64 KiB on is mapped and given back at once (see RETURNED). Times are measured in runs of their own,
without that. The optimiser's update is not timed; the planner leaves it out.
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
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from machine import processor, resident

HERE = Path(__file__).resolve().parent
RETURNED = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "MALLOC_MMAP_MAX_": "1000000",
}


class Way(NamedTuple):
    """A layout: processes, `parallel` settings, and whether the encoder's layers are mixtures."""

    processes: int
    settings: dict[str, Any]
    mixture: bool = False


WAYS = {
    "one process": Way(1, {}),
    "one process, recompute": Way(1, {"remat": "Recompute"}),
    "one process, selective": Way(1, {"remat": "Selective"}),
    "pipeline 2, 4 micro-batches": Way(2, {"pipeline": 2, "microbatches": 4}),
    "replicate 2": Way(2, {"replicate": 2}),
    "shard 2, zero 1": Way(2, {"shard": 2, "zero": 1}),
    "shard 2, zero 2": Way(2, {"shard": 2, "zero": 2}),
    "shard 2, zero 3": Way(2, {"shard": 2, "zero": 3}),
    "tensor 2": Way(2, {"tensor": 2}),
    "one process, experts": Way(1, {}, mixture=True),
    "expert 2": Way(2, {"expert": 2}, mixture=True),
}
CORES = 2
TIMED = ("seconds", "busy")  # on the clock; of the processor, which other programs disturb less
PLAIN = {False: "one process", True: "one process, experts"}  # what a ratio is taken to


def main() -> None:
    """Measure, predict, print, write."""
    given = _arguments()
    if given.worker is not None:
        _work(given)
        return
    ways = {name: way for name, way in WAYS.items() if not given.ways or name in given.ways}
    peaks = {name: _run(given, name, RETURNED)["peak"] for name in ways}
    rates: list[dict[str, float]] = []
    steps: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for number in range(given.rounds):
        rates.append(_run(given, "", {}))
        for name in ways:
            steps[name].append(_run(given, name, {}))
        last = {name: found[-1] for name, found in steps.items()}
        print(f"round {number + 1}: {rates[-1]}, {last}", file=sys.stderr, flush=True)
    times = {name: _medians(found) for name, found in steps.items() if found}
    rows = compared(given, peaks, times, _medians(rates) if rates else {})
    text = json.dumps(rows) if given.json else _page(given, rows, _medians(rates) if rates else {})
    print(text)
    if given.out and not given.json:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")


def _medians(found: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in found) for key in found[0]}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="only these")
    parser.add_argument("--rounds", type=int, default=5, help="of times; 0: memory alone")
    parser.add_argument("--layers", type=int, default=4, help="of each stack")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--steps", type=int, default=1, help="timed in a run, after one more")
    parser.add_argument("--json", action="store_true", help="for programs")
    day = datetime.date.today().isoformat()
    name = f"plan_check_{platform.machine()}_{day}.md"
    parser.add_argument("--out", type=Path, default=HERE / "results" / name)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--way", default="", help=argparse.SUPPRESS)
    parser.add_argument("--rendezvous", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def recipe_of(given: argparse.Namespace, way: Way) -> Any:
    """The recipe that is planned and run: batches of rows x length, all of the longest length."""
    from m4nmt.core.names import recipe
    from m4nmt.data.settings import BlockConfig, TokenizerConfig
    from m4nmt.model.settings import DenseConfig, ExpertChoice, MoEConfig, classic
    from m4nmt.optim.settings import AdamW
    from m4nmt.parallel import settings

    debug = recipe("debug")()
    model = classic(
        layers=given.layers,
        dim=given.dim,
        hidden=4 * given.dim,
        heads=8,
        dropout=0.1,
        vocab=given.vocab,
    )
    if way.mixture:
        # experts that choose: all have as much to do, as the planner takes them to have
        one = DenseConfig(hidden=4 * given.dim)
        ffn = MoEConfig(experts=4, expert=one, router=ExpertChoice())
        mixed = replace(model.encoder[0], ffn=ffn)
        model = replace(model, encoder=(mixed,) * given.layers)
    blocks = BlockConfig(
        tokens=given.rows * given.length, max_length=given.length, rows_multiple=given.rows
    )
    data = replace(debug.data, tokenizer=TokenizerConfig(vocab=given.vocab), blocks=blocks)
    changed = dict(way.settings)
    if "remat" in changed:
        changed["remat"] = getattr(settings, changed["remat"])()
    parallel = settings.ParallelConfig(
        device="cpu", timeout=600, precision=given.precision, **changed
    )
    return replace(debug, model=model, data=data, parallel=parallel, optim=AdamW(lr=1e-3))


def _run(given: argparse.Namespace, name: str, variables: dict[str, str]) -> dict[str, float]:
    """What the processes of a way tell, the most of each; of "" the rates of the machine."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "plan_check.py"), "--way", name]
        command += ["--rendezvous", f"file://{folder}/meet"]
        for option in ("layers", "dim", "vocab", "rows", "length", "precision", "steps"):
            command += [f"--{option}", str(getattr(given, option))]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", **variables}
        workers = [
            subprocess.Popen([*command, "--worker", str(rank)], stdout=subprocess.PIPE, env=env)
            for rank in range(CORES)
        ]
        outputs = [worker.communicate()[0] for worker in workers]
    if any(worker.returncode for worker in workers):
        raise SystemExit(f"a worker failed: {name or 'rates'}")
    told = [json.loads(output.splitlines()[-1]) for output in outputs]
    return {key: max(t[key] for t in told) for key in told[0]}


def compared(
    given: argparse.Namespace,
    peaks: dict[str, float],
    times: dict[str, dict[str, float]],
    rate: dict[str, float],
) -> list[dict[str, Any]]:
    """Measured and predicted: peaks in bytes, step times as parts of that of the plain way."""
    from m4nmt.plan.cost import step_flops
    from m4nmt.plan.estimate import plan
    from m4nmt.plan.job import Machine

    rows = []
    for name, peak in peaks.items():
        way, plain = WAYS[name], PLAIN[WAYS[name].mixture]
        machine = Machine(devices=way.processes)
        row: dict[str, Any] = {"way": name, "peak": peak}
        if plain in times:
            machine = machine._replace(flops=rate["flops"], bandwidth=rate["bandwidth"])
            whole = plan(recipe_of(given, WAYS[plain]), machine._replace(devices=1), "cpu")
            reached = step_flops(whole.job) / times[plain]["seconds"] / rate["flops"]
            machine = machine._replace(efficiency=reached)
            row |= {"seconds": times[name]["seconds"]}
            row |= {f"{key}_ratio": times[name][key] / times[plain][key] for key in TIMED}
        made = plan(recipe_of(given, way), machine, "cpu")
        row["predicted_peak"] = made.fullest.total
        if plain in times:
            row["predicted_ratio"] = made.seconds / times[plain]["seconds"]
        rows.append(row)
    return rows


def _page(given: argparse.Namespace, rows: list[dict[str, Any]], rate: dict[str, float]) -> str:
    """The results as Markdown."""
    load = os.getloadavg()[2]
    lines = [
        "# What is planned and what is measured",
        "",
        f"{processor()}, each process on one core, {given.rounds} alternating rounds, medians; "
        f"{given.layers}+{given.layers} layers, width {given.dim}, {given.vocab} words, batch of "
        f"{given.rows} x {given.length} tokens, AdamW, {given.precision}; with experts, every "
        "encoder layer has four that choose their tokens, two for each on average. Load of the "
        f"machine over the last 15 minutes: {load:.1f} on {os.cpu_count()} cores.",
        "",
    ]
    if rate:
        lines += [
            f"Measured on the machine and given to the planner: {rate['flops'] / 1e9:.0f} GFLOP/s "
            f"of products, {rate['bandwidth'] / 1e9:.2f} GB/s between two processes, and the share "
            "of the first that the step of one process reaches.",
            "",
        ]
    lines += [
        "| layout | peak, measured (MiB) | predicted | predicted / measured | step (s) "
        "| of one process's | processor time of one process's | predicted "
        "| predicted / step | predicted / processor time |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        peak, planned = row["peak"] / 2**20, row["predicted_peak"] / 2**20
        times = "| | | | | | |"
        if "seconds" in row:
            planned_time = row["predicted_ratio"]
            ratios = [row[f"{key}_ratio"] for key in TIMED]
            off = [planned_time / ratio for ratio in ratios]
            shown = [row["seconds"], *ratios, planned_time, *off]
            times = f"| {' | '.join(f'{number:.2f}' for number in shown)} |"
        lines.append(f"| {row['way']} | {peak:.0f} | {planned:.0f} | {planned / peak:.2f} {times}")
    lines += [
        "",
        "*Peak*: high-water mark of the resident memory of the fullest process, less what it had "
        "when everything was imported and nothing built, and less code read since. *Step*: "
        "forward and backward passes and sums over processes, without the optimiser's update. "
        "*Processor time*: of the busiest process; a process that waits uses none.",
    ]
    return "\n".join(lines) + "\n"


def _work(given: argparse.Namespace) -> None:
    """One process on a core of its own."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[given.worker % len(cores)]})
    import torch
    import torch.distributed as dist

    from m4nmt.parallel.world import World

    torch.set_num_threads(1)
    world = WAYS[given.way].processes if given.way else CORES
    if world > 1:
        dist.init_process_group(
            "gloo", init_method=given.rendezvous, rank=given.worker, world_size=world
        )
    rank = given.worker if world > 1 else 0
    told = _steps(given, World(rank, world, rank)) if given.way else _rates()
    print(json.dumps(told), flush=True)
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


def _steps(given: argparse.Namespace, place: Any) -> dict[str, float]:
    """Some steps at a place of the `World`: seconds of each, without the update, and the peak."""
    import torch

    from m4nmt import optim
    from m4nmt.data.types import Batch, Shape
    from m4nmt.parallel.apply import parallelize
    from m4nmt.train.loss import CrossEntropy

    config = recipe_of(given, WAYS[given.way])
    peak = resident()
    rows = given.rows // config.parallel.layout(place.size).data
    piece = (rows // config.parallel.microbatches, given.length, given.length)
    engine = parallelize(config.model, config.parallel, CrossEntropy(0.1), 1, place, piece)
    optimizer = optim.build(config.optim, engine.named_parameters())
    generator = torch.Generator().manual_seed(1 + engine.data_rank)
    ids = torch.randint(1, given.vocab, (3, rows, given.length), generator=generator)
    batch = Batch(
        ids[0],
        ids[1],
        ids[2],
        torch.zeros(rows, dtype=torch.long),
        Shape(rows, given.length, given.length),
        given.rows * given.length,
    )
    spent = []
    for number in range(1 + given.steps):
        engine.seed_step(number)
        started = time.perf_counter(), time.process_time()
        engine.step(batch)
        spent.append((time.perf_counter() - started[0], time.process_time() - started[1]))
        optimizer.step()
        engine.updated()
    seconds, busy = (statistics.median(both) for both in zip(*spent[1:], strict=True))
    return {"seconds": seconds, "busy": busy, "peak": peak()}


def _rates() -> dict[str, float]:
    """Operations a second of a core's products; bytes a second that a process sends another one
    while it receives as many."""
    import torch
    import torch.distributed as dist

    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    flops = 2 * 1024**3 / _median_time(lambda: a @ b)
    other = 1 - dist.get_rank()
    there, back = torch.ones(1 << 22), torch.empty(1 << 22)

    def exchange() -> None:
        works = [dist.isend(there, other), dist.irecv(back, other)]
        for work in works:
            if work is not None:
                work.wait()

    return {"flops": flops, "bandwidth": 4 * (1 << 22) / _median_time(exchange)}


def _median_time(act: Any, times: int = 9) -> float:
    found = []
    for _ in range(times + 1):
        started = time.perf_counter()
        act()
        found.append(time.perf_counter() - started)
    return statistics.median(found[1:])


if __name__ == "__main__":
    main()
