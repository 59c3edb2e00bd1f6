"""Where every parameter of the whole model stands, and tables that stand in several stages.

A tied table has a copy in every stage that reads it. The copies begin equal, their gradients are
summed over the pipeline, and so they stay equal. Not its job: tables tied inside one stage, which
are one Parameter.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import nn

from m4nmt.model.settings import ModelConfig
from m4nmt.model.translation import TIES, build
from m4nmt.parallel.mesh import Mesh
from m4nmt.parallel.stage import Stage
from m4nmt.parallel.weights import local


class Tied:
    """The whereabouts of parameters.

    Args:
        stages: of this process.
        names: segments of every stage of the pipeline.

    Attributes:
        owners: parameter of the whole model -> first pipeline rank that has it, in one order.
        holders: parameter of the whole model -> how many pipeline ranks have it.
    """

    def __init__(
        self,
        config: ModelConfig,
        stages: Sequence[Stage],
        names: Sequence[Sequence[str]],
        mesh: Mesh,
    ) -> None:
        ranks = _ranks(config, names, mesh.layout.pipeline)
        self.owners = {name: found[0] for name, found in ranks.items()}
        self.holders = {name: len(found) for name, found in ranks.items()}
        self._copies: dict[str, list[nn.Parameter]] = {}
        for stage in stages:
            for name, parameter in stage.part.canonical_parameters().items():
                self._copies.setdefault(name, []).append(parameter)
        self._groups = {
            name: group
            for name, found in ranks.items()
            if len(found) > 1 and (group := _group(found, mesh)) is not None
        }

    @torch.no_grad()
    def sum_gradients(self) -> None:
        """Give every copy of a table the gradient of all of them."""
        for name, copies in self._copies.items():
            grads = [local(copy.grad) for copy in copies if copy.grad is not None]
            for other in grads[1:]:
                grads[0].add_(other)
            if name in self._groups:
                dist.all_reduce(grads[0], group=self._groups[name])
            for other in grads[1:]:
                other.copy_(grads[0])

    @torch.no_grad()
    def spread(self) -> None:
        """After an update of the first copy here: make the others equal."""
        for first, *others in self._copies.values():
            for other in others:
                local(other).copy_(local(first))


def _ranks(
    config: ModelConfig, names: Sequence[Sequence[str]], pipeline: int
) -> dict[str, list[int]]:
    """Parameter of the whole model -> pipeline ranks that have it, ascending."""
    rank_of = {name: i % pipeline for i, stage in enumerate(names) for name in stage}
    ties = TIES[config.ties]
    found: dict[str, set[int]] = {}
    for name, _ in build(config).named_parameters(remove_duplicate=False):
        found.setdefault(ties.get(name, name), set()).add(rank_of[name.partition(".")[0]])
    return {name: sorted(ranks) for name, ranks in found.items()}


def _group(ranks: Sequence[int], mesh: Mesh) -> dist.ProcessGroup | None:
    """The ranks of this process's pipeline among `ranks`; every process makes every group."""
    mine = None
    for lane in mesh.pipelines():
        members = [lane[i] for i in ranks]
        made = dist.new_group(members)
        if mesh.rank in members:
            mine = made
    return mine
