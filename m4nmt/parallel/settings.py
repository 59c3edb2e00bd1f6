"""The parallel section of a recipe: how a step is laid over devices, never what is computed."""

from dataclasses import dataclass, field
from typing import Literal, get_args

# ---- rematerialisation: which activations are computed again in the backward pass


@dataclass(frozen=True, kw_only=True)
class KeepAll:
    """Keep every activation."""


@dataclass(frozen=True, kw_only=True)
class Recompute:
    """Of every `every`-th layer keep only the input, and compute the layer again (Chen et al. 2016,
    arXiv:1604.06174; GPipe, arXiv:1811.06965, section 2.3)."""

    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError("need every >= 1")


@dataclass(frozen=True, kw_only=True)
class Selective:
    """Keep the results of the large matrix products and compute the rest again (Korthikanti et al.
    2022, arXiv:2205.05198, section 5)."""


Remat = KeepAll | Recompute | Selective

# ---- offload: where weights and moments rest while they are not used


@dataclass(frozen=True, kw_only=True)
class Host:
    """In the memory of the host."""


@dataclass(frozen=True, kw_only=True)
class Disk:
    """In files on a local disk, through the memory of the host; gradients stay in that memory.

    Attributes:
        folder: on a disk of each machine, NVMe if it can be; there before the run starts.
    """

    folder: str

    def __post_init__(self) -> None:
        if not self.folder:
            raise ValueError("need the name of a folder")


Offload = Host | Disk
ScheduleName = Literal["gpipe", "1f1b", "interleaved", "bfs"]


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """How a step is computed. Changing it never changes what is computed.

    The devices form a mesh pipeline x replicate x shard x expert x tensor, tensor innermost. All
    ranks but those that differ only in `pipeline` or `tensor` read different rows.

    Attributes:
        pipeline: groups of devices, each with consecutive segments of the model.
        schedule: order of micro-batches in the pipeline. "gpipe" and "1f1b" have one stage a
            device, "interleaved" and "bfs" have `virtual` stages a device.
        virtual: stages a device holds.
        cut: first segment of every stage but the first; empty: balanced by cost.
        balance: the cost of a segment: "estimated" from its operations, or "measured" on rank 0's
            device when the run starts.
        replicate: copies of the model, each on other rows; 0 takes all devices that are left.
        shard: devices over which weights, gradients and moments are sharded (FSDP).
        zero: what is sharded between uses: 1 moments, 2 gradients too, 3 weights too
            (arXiv:1910.02054).
        expert: devices over which the experts of a layer are spread.
        tensor: devices over which heads, hidden units and vocabulary are split
            (arXiv:1909.08053).
        microbatches: pieces a rank's rows are computed in, gradients accumulated.
        remat: which activations are computed again.
        offload: where weights and moments rest; none: on the device.
        precision: of the matrix products; weights, moments and sums stay fp32.
        device: "auto" takes a GPU where there is one.
        threads: CPU threads of the math library; 0 leaves its default.
        compile: torch.compile the segments (pays on GPUs).
        timeout: seconds after which a collective that hangs ends the run.
    """

    pipeline: int = 1
    schedule: ScheduleName = "1f1b"
    virtual: int = 1
    cut: tuple[str, ...] = ()
    balance: Literal["estimated", "measured"] = "estimated"
    replicate: int = 0
    shard: int = 1
    zero: Literal[1, 2, 3] = 3
    expert: int = 1
    tensor: int = 1
    microbatches: int = 1
    remat: Remat = field(default_factory=KeepAll)
    offload: Offload | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0
    compile: bool = False
    timeout: float = 120.0

    def __post_init__(self) -> None:
        if self.microbatches < 1 or self.threads < 0 or self.replicate < 0 or self.timeout <= 0:
            raise ValueError("need microbatches >= 1, threads >= 0, replicate >= 0, timeout > 0")
        if min(self.pipeline, self.virtual, self.shard, self.expert, self.tensor) < 1:
            raise ValueError("need pipeline, virtual, shard, expert and tensor of at least 1")
        if self.schedule not in get_args(ScheduleName):
            raise ValueError(f"schedule {self.schedule!r} is none of {get_args(ScheduleName)}")
        self._check_schedule()

    def _check_schedule(self) -> None:
        looped = self.schedule in ("interleaved", "bfs")
        if self.virtual > 1 and not looped:
            raise ValueError(
                f"virtual={self.virtual} stages a device need schedule=interleaved or bfs; "
                f"{self.schedule} has one"
            )
        if self.schedule == "1f1b" and self.pipeline > self.microbatches:
            raise ValueError(
                f"schedule=1f1b needs as many microbatches ({self.microbatches}) as stages "
                f"({self.pipeline}), or more; raise microbatches, or take schedule=gpipe"
            )
        if self.schedule == "interleaved" and self.microbatches % self.pipeline:
            raise ValueError(
                f"schedule=interleaved needs microbatches ({self.microbatches}) in whole rounds of "
                f"pipeline ({self.pipeline}); make it a multiple"
            )
        if self.cut and len(self.cut) != self.stages - 1:
            raise ValueError(
                f"cut names {len(self.cut)} segments, {self.stages} stages need {self.stages - 1}"
            )

    @property
    def stages(self) -> int:
        """Stages of the whole pipeline."""
        return self.pipeline * self.virtual

    def layout(self, world: int) -> "Layout":
        """Sizes of the mesh's dimensions on `world` devices.

        Raises:
            ValueError: the sizes do not multiply to the number of devices.
        """
        fixed = self.pipeline * self.shard * self.expert * self.tensor
        replicate = self.replicate or max(1, world // fixed)
        layout = Layout(self.pipeline, replicate, self.shard, self.expert, self.tensor)
        if layout.world != world:
            raise ValueError(
                f"parallel: pipeline {self.pipeline} x replicate {self.replicate or 'auto'} x "
                f"shard {self.shard} x expert {self.expert} x tensor {self.tensor} do not make "
                f"{world} device{'s' * (world > 1)}; start {layout.world}, or change one of them "
                "(replicate=0 takes what is left)"
            )
        return layout


@dataclass(frozen=True)
class Layout:
    """Sizes of the mesh's dimensions, outermost first."""

    pipeline: int = 1
    replicate: int = 1
    shard: int = 1
    expert: int = 1
    tensor: int = 1

    @property
    def world(self) -> int:
        """Devices."""
        return self.pipeline * self.data * self.tensor

    @property
    def data(self) -> int:
        """Ranks that read different rows."""
        return self.replicate * self.shard * self.expert
