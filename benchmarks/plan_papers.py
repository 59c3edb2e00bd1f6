"""The planner beside published tables: GPipe's 1 to 3 (arXiv:1811.06965), GShard's (2006.16668).

    python benchmarks/plan_papers.py            # writes docs/plan.md; nothing is trained

Published figures are typed in from the papers; predicted ones come from `m4nmt.plan`.
"""

from dataclasses import replace
from pathlib import Path

from m4nmt.core.names import recipe
from m4nmt.data.settings import BlockConfig, TokenizerConfig
from m4nmt.model.settings import classic
from m4nmt.optim.settings import AdamW
from m4nmt.parallel.settings import KeepAll, ParallelConfig, Recompute
from m4nmt.plan.estimate import Plan, plan
from m4nmt.plan.job import GIB, Machine
from m4nmt.plan.simulate import Times, simulate
from m4nmt.plan.weights import parameters
from m4nmt.train.settings import RunConfig

PAGE = Path(__file__).resolve().parents[1] / "docs" / "plan.md"
# name: (stages, layers, parameters, GiB of parameters and state, GiB of activations)
TABLE_1 = {
    "Naive-1": (1, 3, 282.2e6, 3.15, 11.7),
    "Pipeline-1": (1, 13, 785.8e6, 8.8, 6.4),
    "Pipeline-8": (8, 103, 5.3e9, 59.5, 50.9),
    "Pipeline-32": (32, 415, 21.0e9, 235.1, 199.9),
    "Pipeline-128": (128, 1663, 83.9e9, 937.9, 796.1),
}
TABLE_2 = {1: (1.0, 1.07, 1.3), 4: (1.7, 3.2, 4.8), 32: (1.8, 3.4, 6.3)}
TABLE_3 = (1.0, 1.8, 3.3)
STAGES = (2, 4, 8)
# recipe: (cores, parameters, days, steps a second)
GSHARD = {
    "gshard_600b": (2048, 600e9, 4.0, 0.72),
    "gshard_200b": (2048, 200e9, 1.4, 2.15),
    "gshard_150b": (512, 150e9, 11.0, 1.05),
    "gshard_50b": (512, 50e9, 3.5, 3.28),
    "gshard_37b": (128, 37e9, 17.3, 0.67),
    "gshard_12_5b": (128, 12.5e9, 5.4, 2.16),
}
# A core of TPU v3: 123 TFLOP/s and 32 GB a chip of two cores; links of 70 GB/s a core assumed.
TPU = Machine(memory=16 * GIB, flops=61.5e12, bandwidth=70e9, launch=0.0)


def deep(layers: int, stages: int, *, naive: bool = False) -> RunConfig:
    """GPipe's Transformer of table 1: d2048, hidden 8,192, 32,000 words, rows of 1,024 tokens; 32
    of them in 32 micro-batches, each layer computed again (not so where `naive`)."""
    base: RunConfig = recipe("gpipe_84b")()
    pieces = 1 if naive else 32
    return replace(
        base,
        name=f"layers_{layers}",
        model=replace(
            classic(layers=(layers - 1, 1), dim=2048, hidden=8192, heads=32), ties="target"
        ),
        data=replace(
            base.data,
            tokenizer=TokenizerConfig(vocab=32_000),
            blocks=BlockConfig(tokens=32_768, rows_multiple=32, max_length=1024),
        ),
        optim=AdamW(),
        parallel=ParallelConfig(
            pipeline=stages,
            schedule="gpipe",
            microbatches=pieces,
            remat=KeepAll() if naive else Recompute(),
            precision="bf16",
        ),
    )


def deepest(stages: int, *, naive: bool = False) -> int:
    """Most layers that fit on so many devices of 16 GiB."""

    def fits(layers: int) -> bool:
        return plan(deep(layers, stages, naive=naive), TPU._replace(devices=stages)).fits

    low, high = 2, 16 * stages + 8
    if not fits(max(low, stages)):
        return 0
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def table_1() -> list[str]:
    """Layers and memory."""
    rows = [
        "| | layers | parameters, published | ours | 12 bytes each, published GiB | ours "
        "(weights and two moments) | activations, published GiB | ours | layers that fit 16 GiB a "
        "device, ours |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, (stages, layers, count, state, activations) in TABLE_1.items():
        naive = name.startswith("Naive")
        made = plan(deep(layers, stages, naive=naive), TPU._replace(devices=stages))
        total, _ = parameters(made.job.whole)
        kinds = {k: sum(d.bytes[k] for d in made.memory) / GIB for k in made.fullest.bytes}
        kept = kinds["activations"] + kinds["working"] + kinds["logits"] + kinds["buffers"]
        rows.append(
            f"| {name} | {layers} | {count / 1e9:.3g} B | {total / 1e9:.4g} B | {state:.1f} | "
            f"{kinds['weights'] + kinds['moments']:.1f} | {activations:.1f} | {kept:.1f} | "
            f"{deepest(stages, naive=naive) or 'none'} |"
        )
    return rows


def speedups(pieces: int, recompute: float) -> list[float]:
    """Throughput at 2, 4 and 8 stages of 48 layers; `recompute`: forward passes done again."""
    found = []
    for stages in STAGES:
        layers, piece = 48 / stages, 1 / pieces
        times = Times.even(stages, layers * piece, layers * piece * (2 + recompute))
        found.append(1 / simulate("gpipe", stages, 1, pieces, times).makespan)
    return found


def table_2() -> list[str]:
    """Speed-ups of Transformer-48."""
    rows = [
        "| micro-batches | K=2 published | simulated | K=4 published | simulated | K=8 published | "
        "simulated |",
        "|---|---|---|---|---|---|---|",
    ]
    one = speedups(1, 1.0)[0]
    for pieces, published in TABLE_2.items():
        ours = [speed / one for speed in speedups(pieces, 1.0)]
        cells = " | ".join(f"{a:g} | {b:.2f}" for a, b in zip(published, ours, strict=True))
        rows.append(f"| {pieces} | {cells} |")
    ours = speedups(32, 1.0)
    cells = " | ".join(f"{a:g} | {b / ours[0]:.2f}" for a, b in zip(TABLE_3, ours, strict=True))
    rows.append(f"| 32, table 3 (no fast links; K=2 is 1) | {cells} |")
    return rows


def gshard(name: str) -> Plan:
    """A configuration of GShard on its TPU cores, in bf16, each layer computed again."""
    run: RunConfig = recipe(name)()
    parallel = replace(run.parallel, precision="bf16", remat=Recompute())
    return plan(replace(run, parallel=parallel), TPU._replace(devices=GSHARD[name][0]))


def table_gshard() -> list[str]:
    """Parameters, memory and speed."""
    rows = [
        "| | cores | parameters, published | ours | GiB a core, ours | of which weights, gradients "
        "and state | steps/s, published | predicted | predicted / published |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, (cores, count, _, speed) in GSHARD.items():
        made = gshard(name)
        total, _ = parameters(made.job.whole)
        found = made.fullest.bytes
        state = sum(found[k] for k in ("weights", "gathered", "gradients", "moments")) / GIB
        rows.append(
            f"| {name} | {cores:,} | {count / 1e9:,.4g} B | {total / 1e9:,.4g} B | "
            f"{made.fullest.total / GIB:.1f} | {state:.1f} | {speed} | {1 / made.seconds:.2f} | "
            f"{1 / made.seconds / speed:.1f} |"
        )
    return rows


def main() -> None:
    """Put the tables into the page, between its marks."""
    text = PAGE.read_text("utf-8")
    for mark, make in {"1": table_1, "2": table_2, "gshard": table_gshard}.items():
        begin, end = f"<!-- table {mark} -->\n", f"<!-- end {mark} -->"
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = head + begin + "\n".join(make()) + "\n" + end + tail
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
