"""From a config of a model to an Engine: cut -> experts -> tensor -> remat -> compile -> shard ->
materialise. The one page on which a model meets its devices.

Not its job: what is computed (the model), what is minimised (the injected loss), starting processes
(world).
"""

import torch

from m4nmt.core import ranks
from m4nmt.data.types import Shape
from m4nmt.model.init import initialise
from m4nmt.model.settings import ModelConfig
from m4nmt.model.translation import build
from m4nmt.parallel import weights
from m4nmt.parallel.check import check
from m4nmt.parallel.cut import TYPICAL, stage_names
from m4nmt.parallel.engine import Engine, Loss
from m4nmt.parallel.experts import spread_experts
from m4nmt.parallel.laid import Laid
from m4nmt.parallel.measure import measured
from m4nmt.parallel.mesh import Mesh
from m4nmt.parallel.offload import give_memory
from m4nmt.parallel.remat import remat
from m4nmt.parallel.run import Pipelined, Runner, Whole
from m4nmt.parallel.settings import Offload, ParallelConfig
from m4nmt.parallel.shard import shard, zero
from m4nmt.parallel.stage import Stage, Step
from m4nmt.parallel.tensor import split_tensors
from m4nmt.parallel.tied import Tied
from m4nmt.parallel.world import World


def parallelize(
    model: ModelConfig,
    config: ParallelConfig,
    loss: Loss,
    seed: int,
    world: World | None = None,
    shape: tuple[int, int, int] = TYPICAL,
) -> Engine:
    """Lay a model over the devices of the world, with its first values.

    Args:
        seed: of the run; first values and dropout follow from it.
        shape: (rows, source length, target length) of the micro-batch that stages are balanced for.

    Raises:
        ValueError: a device that is not there, or a layout that makes no sense for this model.
    """
    world = world or World()
    if config.threads:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device, world)
    layout = config.layout(world.size)
    check(model, config, layout)
    mesh = Mesh(layout, device)
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    costs = None
    if config.balance == "measured" and config.stages > 1:
        costs = ranks.led(lambda: measured(model, Shape(*shape), loss, device, dtype))
    names = stage_names(model, config, shape, costs)
    step = Step(seed)
    stages, gathering = {}, {}
    for number in range(mesh.place.pipeline, config.stages, layout.pipeline):
        part = build(model, names[number])
        spread_experts(part, mesh)
        split_tensors(part, mesh)
        remat(part, config.remat)
        if config.compile:
            for name in part.names:
                part.get_submodule(name).compile()  # in place; equal layers share one graph
        following = names[number + 1][0] if number + 1 < len(names) else ""
        stages[number] = Stage(part, following, loss, step, dtype)
        gathering[number] = shard(stages[number], config, mesh)
        materialise(stages[number], device, seed, config.offload)
    runner: Runner
    if config.stages == 1:
        runner = Whole(stages[0], gathering[0], zero(config, layout))
    else:
        firsts = [stage[0] for stage in names]
        runner = Pipelined(stages, gathering, firsts, config, mesh, device)
    tied = Tied(model, list(stages.values()), names, mesh)
    return Laid(list(stages.values()), runner, tied, mesh, config, device)


def materialise(stage: Stage, device: torch.device, seed: int, offload: Offload | None) -> None:
    """Give a stage on meta its memory and its first values, which depend on (seed, name) alone;
    beyond the memory it takes no more than one expert's weight or one other whole parameter."""
    give_memory(stage, device, offload)
    stage.part.tie()
    initialise(stage.part, seed, weights.part)


def choose_device(wish: str, world: World | None = None) -> torch.device:
    """The device behind "auto", "cpu" or "cuda", for this process.

    Raises:
        ValueError: "cuda" where torch sees no CUDA device.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "parallel.device is 'cuda' but torch sees no CUDA device; set parallel.device=auto or "
            "cpu, or install a CUDA build of torch and a driver"
        )
    if wish == "auto":
        wish = "cuda" if torch.cuda.is_available() else "cpu"
    if wish == "cuda" and world is not None and world.size > 1:
        return torch.device("cuda", world.local_rank)
    return torch.device(wish)
