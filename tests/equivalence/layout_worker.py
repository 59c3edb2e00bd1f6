"""What the ranks of the tests of layouts do: lay a model in some way, take a step, compare with
one process. Not its job: starting the ranks (test_layouts)."""

import gc
import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from model_made import config as small
from model_made import ids, layer
from torch import Tensor

from m4nmt.data.types import Batch, Shape
from m4nmt.model.settings import ModelConfig
from m4nmt.model.translation import build
from m4nmt.parallel import weights
from m4nmt.parallel.apply import parallelize
from m4nmt.parallel.laid import Laid
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.parallel.world import World
from m4nmt.train.loss import CrossEntropy

ROWS, SOURCE, TARGET = 16, 7, 6
Gradients = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One layout of one model.

    Attributes:
        exact: gradients that one process adds up in the same order are equal to the bit.
        spoil: break it on purpose, as a control.
    """

    name: str
    parallel: dict[str, Any]
    model: ModelConfig
    exact: bool = False
    spoil: bool = False


def global_batch(rank: int, world: int, seed: int = 3) -> Batch:
    """The rows that `rank` of `world` has of a batch with padding, and with rows of padding."""
    source, target = ids(ROWS, SOURCE, seed), ids(ROWS, TARGET, seed + 1)
    out = ids(ROWS, TARGET, seed + 2)
    for x in (source, target, out):
        x[-1] = 0
    mine = slice(rank * ROWS // world, (rank + 1) * ROWS // world)
    direction = torch.arange(ROWS) % 3
    return Batch(
        source[mine],
        target[mine],
        out[mine],
        direction[mine],
        Shape(ROWS // world, SOURCE, TARGET),
        int((out != 0).sum()),
    )


def laid(case: Case, world: World, pieces: int) -> Laid:
    """The engine of a case."""
    options = {"microbatches": pieces, **case.parallel}
    config = ParallelConfig(device="cpu", timeout=60, **options)
    made = parallelize(case.model, config, CrossEntropy(0.1), 1, world)
    assert isinstance(made, Laid)
    move(made)
    return made


@torch.no_grad()
def move(made: Laid) -> None:
    """Move every weight off its first value, so that nothing is disconnected by a zero."""
    for name, p in made.named_parameters():
        generator = torch.Generator().manual_seed(sum(name.encode()))
        noise = torch.randn(p.shape, generator=generator) * 0.2
        before = p.full_tensor() if hasattr(p, "full_tensor") else p
        weights.assign(p, before + noise)
    made.updated()


def step(made: Laid) -> tuple[float, Gradients, dict[str, float], Tensor]:
    """Loss, whole gradients (on rank 0), their norms by the engine, -log p of every row."""
    made.seed_step(5)
    result = made.step(global_batch(made.data_rank, made.data_world))
    found = {n: p.grad for n, p in made.named_parameters() if p.grad is not None}
    whole = weights.gathered(found, made.tied.owners, made.mesh)  # type: ignore[arg-type]
    return float(result.loss), whole, made.grad_norms(), result.rows.nll_B


def alone(case: Case, pieces: int) -> tuple[float, Gradients, dict[str, float], Tensor]:
    """The same step by one process in the same micro-batches."""
    return step(laid(single(case), World(), pieces))


def single(case: Case) -> Case:
    """Of one process, in the same precision."""
    kept = {k: v for k, v in case.parallel.items() if k == "precision"}
    return replace(case, parallel=kept)


def worst(a: Gradients, b: Gradients) -> tuple[float, str]:
    """Largest difference of a parameter's gradients, relative to the larger one's norm."""
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    biggest = max(float(g.norm()) for g in b.values())
    found = {n: float((a[n] - b[n]).norm() / b[n].norm().clamp(min=1e-2 * biggest)) for n in a}
    name = max(found, key=lambda n: found[n])
    return found[name], name


def swap(made: Laid) -> Tensor:
    """Rows of an evaluation, with other weights in between: twice the same, and the others'."""
    batch = global_batch(made.data_rank, made.data_world)
    before = made.evaluate(batch).rows.nll_B
    shapes = {
        n: p.shape for n, p in build(made.stages[0].part.config).canonical_parameters().items()
    }
    other = {n: torch.full(shape, 0.01 * len(n)) for n, shape in shapes.items()}
    with made.replaced_weights(other):
        between = made.evaluate(batch).rows.nll_B
    return torch.stack((before, between, made.evaluate(batch).rows.nll_B))


def compare(case: Case, world: World) -> str:
    """What is wrong with a layout; nothing if all is well."""
    config = ParallelConfig(device="cpu", **{"microbatches": 4, **case.parallel})
    data = config.layout(world.size).data
    pieces = max(1, 4 // data)
    made = laid(case, world, pieces)
    if case.spoil:
        for name, p in made.named_parameters():
            if "ffn.down.weight" in name:
                p.register_hook(lambda grad: grad * 1.5)
    loss, grads, norms, nll = step(made)
    swapped = swap(made)
    if world.rank:
        return ""
    expected = alone(case, pieces * data)
    swapped_alone = swap(laid(single(case), World(), pieces * data))
    wrong = []
    if abs(loss - expected[0]) > 2e-6 * abs(expected[0]):
        wrong.append(f"loss {loss} for {expected[0]}")
    if not torch.allclose(nll, expected[3], rtol=1e-5, atol=1e-5):
        wrong.append("rows differ")
    if not torch.allclose(swapped, swapped_alone, rtol=1e-5, atol=1e-5):
        wrong.append("rows with other weights differ")
    off, name = worst(grads, expected[1])
    if off > 2e-5:
        wrong.append(f"gradient of {name} is off by {off:.2e}")
    for name, norm in norms.items():
        if abs(norm - expected[2][name]) > 1e-5 * max(expected[2].values()):
            wrong.append(f"norm of {name} is {norm} for {expected[2][name]}")
    total, wanted = (sum(n * n for n in x.values()) ** 0.5 for x in (norms, expected[2]))
    if abs(total - wanted) > 1e-6 * wanted:
        wrong.append(f"norm {total} for {wanted}")
    if case.exact:
        tables = {n for n in grads if n.endswith(".table")}
        wrong += [
            f"{n} is not equal to the bit"
            for n in sorted(grads.keys() - tables)
            if not torch.equal(grads[n], expected[1][n])
        ]
    return "; ".join(wrong)


def work(rank: int, size: int, folder: Path, cases: Sequence[Case]) -> None:
    """Of one rank: all cases in turn, each in groups of its own; rank 0 writes a line for each.

    Every group keeps a thread that wakes a hundred times a second: those of 20 cases together
    would keep the cores busy for nothing.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    gc.freeze()  # what was imported stays: the collections below need not look at it
    for number, case in enumerate(cases):
        meeting = f"file://{folder}/rendezvous{number}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
        try:
            said = compare(case, World(rank, size, rank))
        except Exception:  # told with the others
            said = traceback.format_exc()
        if rank == 0 or said:
            with (folder / "answers").open("a") as stream:
                stream.write(f"{case.name}\t{said!r}\n")
        if "Traceback" in said:
            os._exit(1)  # the others wait for this rank
        dist.barrier()
        dist.destroy_process_group()
        gc.collect()  # what held a group: its thread ends with it


def plain(**changes: Any) -> ModelConfig:
    """A small model: 2 encoder and 3 decoder layers, one tied table."""
    return small(layer(**{"residual_dropout": 0.0, **changes}))
