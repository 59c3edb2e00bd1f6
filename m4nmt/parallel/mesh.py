"""The devices of a run as a mesh: pipeline x replicate x shard x expert x tensor.

Ranks that differ in `pipeline` hold other segments, in `tensor` other slices of the same ones; all
others hold the same and read other rows. Not its job: starting processes (world).
"""

import warnings

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from m4nmt.core import ranks
from m4nmt.parallel.settings import Layout

NAMES = ("pipeline", "replicate", "shard", "expert", "tensor")
ROWS = "rows"  # shard and expert as one: all that share a copy of what is no expert


class Mesh:
    """The mesh of a layout. One process without a process group has none behind it.

    Attributes:
        layout: sizes of the dimensions.
        place: this rank's coordinates, as a layout.
        rank: of this process.
    """

    def __init__(self, layout: Layout, device: torch.device) -> None:
        self.layout = layout
        self.place = Layout(0, 0, 0, 0, 0)
        self.rank = 0
        self._mesh: DeviceMesh | None = None
        self._rows: DeviceMesh | None = None
        if ranks.initialised() and dist.get_world_size() == layout.world:
            self.rank = dist.get_rank()
            sizes = tuple(getattr(layout, name) for name in NAMES)
            self._mesh = init_device_mesh(device.type, sizes, mesh_dim_names=NAMES)
            self.place = Layout(*(self._mesh.get_local_rank(name) for name in NAMES))
            if layout.shard > 1 and layout.expert > 1:
                self._rows = self._mesh["shard", "expert"]._flatten(ROWS)

    @property
    def spread(self) -> bool:
        """Whether there are several processes."""
        return self.layout.world > 1

    @property
    def data_rank(self) -> int:
        """Which part of the rows is read here."""
        place, sizes = self.place, self.layout
        return (place.replicate * sizes.shard + place.shard) * sizes.expert + place.expert

    @property
    def speaks(self) -> bool:
        """Whether this rank reports the rows it computed: one of each data rank does."""
        return self.place.pipeline == self.layout.pipeline - 1 and self.place.tensor == 0

    def of(self, *names: str) -> DeviceMesh:
        """The submesh of these dimensions in which this rank lies.

        Raises:
            RuntimeError: there is no process group.
        """
        if self._mesh is None:
            raise RuntimeError("a mesh needs a process group; start with torchrun or --devices")
        with warnings.catch_warnings():
            # of a flattened dimension beside another; torch offers no public way yet
            warnings.filterwarnings("ignore", "Slicing a flattened dim")
            return self._mesh[names if len(names) > 1 else names[0]]

    def group(self, name: str) -> dist.ProcessGroup:
        """The process group along one dimension."""
        return self.of(name).get_group()

    def copies(self, *, expert: bool) -> DeviceMesh:
        """The ranks between which parameters are replicated and sharded: 2-D (replicate, shard)
        or, where there is nothing to shard, 1-D (replicate).

        Args:
            expert: of the experts' weights, which ranks of other `expert` do not share.
        """
        layout = self.layout
        if expert:
            return self.of("replicate", "shard")
        sharding = [name for name in ("shard", "expert") if getattr(layout, name) > 1]
        if not sharding:
            return self.of("replicate" if layout.replicate > 1 else "shard")
        one = sharding[0] if len(sharding) == 1 else ROWS
        if layout.replicate > 1:
            return self.of("replicate", one)
        return self.of(one) if one != ROWS else self._flat()

    def _flat(self) -> DeviceMesh:
        assert self._rows is not None
        return self._rows

    def pipelines(self) -> list[list[int]]:
        """Global ranks of every pipeline, stage by stage, in one order on all ranks."""
        behind = self.layout.world // self.layout.pipeline
        return [
            [stage * behind + lane for stage in range(self.layout.pipeline)]
            for lane in range(behind)
        ]
