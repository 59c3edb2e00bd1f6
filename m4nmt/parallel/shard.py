"""Data parallelism: weights sharded (FSDP2) or replicated over ranks that read different rows.

Gradients are *summed*: an engine's loss is already divided by the tokens of the global batch. Not
its job: other dimensions of the mesh.
"""

import warnings
from collections.abc import Iterable

import torch
from torch import nn
from torch.distributed._composable.replicate_with_fsdp import replicate
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, OffloadPolicy, fully_shard

from m4nmt.model.experts import Experts
from m4nmt.parallel.mesh import Mesh
from m4nmt.parallel.settings import Host, Layout, ParallelConfig
from m4nmt.parallel.stage import Stage


def shard(stage: Stage, config: ParallelConfig, mesh: Mesh) -> list[FSDPModule]:
    """Lay the weights of a stage, still on meta, over the data-parallel ranks.

    Every layer is gathered by itself. Tables, tied or not, belong to the whole stage: a parameter
    cannot be gathered by two owners. torch.distributed.pipelining takes over a stage that gathers:
    it keeps weights and whole gradients to the end of the step and reduces then, which is what
    zero=1 means. For more, its segments gather instead, and the stage looks plain to torch.

    Returns:
        The modules that gather.
    """
    # What a layer gives may be a view; nobody changes it in place.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    layout = mesh.layout
    if layout.data == 1 and not config.offload:
        return []
    if layout.expert > 1:
        for module in stage.modules():
            if isinstance(module, Experts):
                _gather(module, mesh.copies(expert=True), config, released=config.zero == 3)
    where = mesh.copies(expert=False)
    tables = stage.part if zero(config, layout) > 1 else stage
    for module in (*_layers(stage), tables):
        if layout.shard * layout.expert > 1 or config.offload:
            _gather(module, where, config, released=config.zero == 3 and module is not tables)
        else:
            replicate(module, mesh=where)
    gathering: list[FSDPModule] = [m for m in stage.modules() if isinstance(m, FSDPModule)]
    for made in gathering:
        made.set_gradient_divide_factor(1.0)
        made.set_force_sum_reduction_for_comms(True)
    return gathering


def zero(config: ParallelConfig, layout: Layout) -> int:
    """What `config.zero` comes to: 1 where nothing is sharded and more would save nothing."""
    return config.zero if layout.shard * layout.expert > 1 or config.offload else 1


def keeps_copies(config: ParallelConfig, layout: Layout) -> bool:
    """Whether no gradient is reduced before a backward pass has ended, so that autocast may use its
    copies of the weights again for the next micro-batch."""
    reduced = layout.data > 1 or config.offload
    return not reduced or (config.stages > 1 and zero(config, layout) == 1)


def announce(gathering: Iterable[FSDPModule], zero: int, last: bool) -> None:
    """Say before a backward pass what becomes of gradients and weights in it.

    Args:
        zero: from 2 on gradients are reduced after every micro-batch, from 3 on weights are
            released between uses.
        last: whether it is the last one of the step.
    """
    for module in gathering:
        module.set_is_last_backward(last)
        module.set_requires_gradient_sync(last or zero > 1, recurse=False)
        module.set_reshard_after_backward(last or zero > 2, recurse=False)


def _gather(module: nn.Module, where: DeviceMesh, config: ParallelConfig, released: bool) -> None:
    """Shard a module; its weights are `released` between forward and backward."""
    offload: OffloadPolicy = OffloadPolicy()
    if config.offload:
        pinned = isinstance(config.offload, Host) and torch.cuda.is_available()
        offload = CPUOffloadPolicy(pin_memory=pinned)  # pages of files cannot be pinned
    fully_shard(module, mesh=where, reshard_after_forward=released, offload_policy=offload)


def _layers(stage: Stage) -> list[nn.Module]:
    return [
        segment for name, segment in stage.part.named_children() if name.startswith(("enc", "dec"))
    ]
