"""Data parallelism: weights sharded (FSDP2) or replicated over ranks that read different rows.

Gradients are *summed*: an engine's loss is already divided by the tokens of the global batch. Not
its job: other dimensions of the mesh.
"""

import warnings

import torch
from torch import nn
from torch.distributed._composable.replicate_with_fsdp import replicate
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, OffloadPolicy, fully_shard

from m4nmt.model.experts import Experts
from m4nmt.parallel.mesh import Mesh
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.parallel.stage import Stage


def shard(stage: Stage, config: ParallelConfig, mesh: Mesh) -> list[FSDPModule]:
    """Lay the weights of a stage, still on meta, over the data-parallel ranks.

    Every layer is gathered by itself. Tables, tied or not, belong to the whole stage: a parameter
    cannot be gathered by two owners.

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
    for module in (*_layers(stage), stage):
        if layout.shard * layout.expert > 1 or config.offload:
            _gather(module, where, config, released=config.zero == 3 and module is not stage)
        else:
            replicate(module, mesh=where)
    gathering: list[FSDPModule] = [m for m in stage.modules() if isinstance(m, FSDPModule)]
    for made in gathering:
        made.set_gradient_divide_factor(1.0)
        made.set_force_sum_reduction_for_comms(True)
    return gathering


def _gather(module: nn.Module, where: DeviceMesh, config: ParallelConfig, released: bool) -> None:
    """Shard a module; its weights are `released` between forward and backward."""
    offload: OffloadPolicy = OffloadPolicy()
    if config.offload:
        offload = CPUOffloadPolicy(pin_memory=torch.cuda.is_available())
    fully_shard(module, mesh=where, reshard_after_forward=released, offload_policy=offload)


def _layers(stage: Stage) -> list[nn.Module]:
    return [
        segment for name, segment in stage.part.named_children() if name.startswith(("enc", "dec"))
    ]
