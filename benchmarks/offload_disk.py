"""A training step whose weights and moments rest in memory or on a disk: time and resident memory.

    python benchmarks/offload_disk.py disk --layers 8 --dim 768

One process on the CPU. To see what happens when memory is short, start it where memory is limited:
`systemd-run --scope -p MemoryMax=1800M`, or a shell in a memory cgroup of your own. `memory` is
killed there as soon as weights, moments and gradients do not fit; `disk` gets slower.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from m4nmt import optim
from m4nmt.data.types import Batch, Shape
from m4nmt.model.settings import classic
from m4nmt.optim.settings import AdamW
from m4nmt.parallel.apply import parallelize
from m4nmt.parallel.offload import moments
from m4nmt.parallel.settings import Disk, Host, ParallelConfig
from m4nmt.parallel.world import joined
from m4nmt.train.loss import CrossEntropy

GIB = 2**30
ROWS, LENGTH, VOCAB = 16, 8, 60


def batch() -> Batch:
    """Random rows without padding."""
    src, tgt, out = torch.randint(4, VOCAB, (3, ROWS, LENGTH)).unbind(0)
    direction = torch.zeros(ROWS, dtype=torch.long)
    return Batch(src, tgt, out, direction, Shape(ROWS, LENGTH, LENGTH), ROWS * LENGTH)


def held() -> str:
    """Resident memory of this process, its own and that of files."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    own, files = (int(lines[name].split()[0]) * 1024 / GIB for name in ("RssAnon", "RssFile"))
    return f"{own:.2f} GiB of its own, {files:.2f} GiB of files"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("where", choices=["memory", "disk"])
    parser.add_argument("--folder", help="on a local disk; default: a temporary one")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--steps", type=int, default=4)
    wish = parser.parse_args()
    torch.set_num_threads(1)
    model = classic(layers=wish.layers, dim=wish.dim, hidden=4 * wish.dim, heads=8, vocab=VOCAB)
    with tempfile.TemporaryDirectory() as spare, joined("cpu", 600, always=True) as world:
        rests = Disk(folder=wish.folder or spare) if wish.where == "disk" else Host()
        config = ParallelConfig(device="cpu", offload=rests, timeout=600)
        engine = parallelize(model, config, CrossEntropy(0.1), 1, world)
        count = sum(p.numel() for _, p in engine.named_parameters())
        print(f"{count / 1e6:.0f} M weights: {12 * count / GIB:.2f} GiB of weights and moments")
        optimizer = optim.build(AdamW(), engine.named_parameters(), moments(rests))
        rows, passes, updates = batch(), [], []
        for step in range(wish.steps):
            begun = time.monotonic()
            engine.seed_step(step)
            engine.step(rows)
            between = time.monotonic()
            optimizer.step()
            engine.updated()
            passes.append(between - begun)
            updates.append(time.monotonic() - between)
            print(
                f"step {step}: {passes[-1]:.2f} s, update {updates[-1]:.2f} s; {held()}", flush=True
            )
    middle = statistics.median(passes), statistics.median(updates)
    print(f"median: {middle[0]:.2f} s forward and backward, {middle[1]:.2f} s update")


if __name__ == "__main__":
    main()
