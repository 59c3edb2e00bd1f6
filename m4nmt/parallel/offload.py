"""Where weights and moments rest: on the device, in the host's memory, or on a local disk.

On a disk each is a file mapped into memory: the kernel reads what is touched, and writes back and
forgets what it needs the room of. To torch they are tensors of the host, so the optimiser, a
refused step, clipping and checkpoints are what they are without. The aim is ZeRO-Infinity's
(arXiv:2104.07857); reading ahead is left to the kernel. Gradients and activations are not on the
disk. Not its job: bringing weights to the device layer by layer (shard).
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, UntypedStorage, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from m4nmt.parallel.settings import Disk, Offload

_FP32, _GIB = 4, 2**30
_NOT_A_DISK = {"tmpfs": "memory", "ramfs": "memory"}
_NOT_A_DISK |= dict.fromkeys(("nfs", "nfs4", "cifs", "smb3", "9p"), "another machine's")


@torch.no_grad()
def give_memory(stage: nn.Module, device: torch.device, offload: Offload | None) -> None:
    """Give a stage on meta the memory of its weights, holding any values.

    Raises:
        ValueError: the disk has not enough room.
    """
    stage.to_empty(device="cpu" if offload else device)
    if not isinstance(offload, Disk):
        return
    files = Files(Path(offload.folder))
    for module in stage.modules():
        if not isinstance(module, FSDPModule):
            continue
        group = module._get_fsdp_state()._fsdp_param_group
        for sharded in group.fsdp_params if group else ():
            # FSDP2 knows a rank's part flat and padded, and as the parameter's view of that. Both
            # move, and it sees that they are still one.
            memory = files.zeros(sharded._sharded_param_data.numel()).untyped_storage()
            _lie_in(memory, sharded._sharded_param_data)
            _lie_in(memory, sharded.sharded_param)


def _lie_in(memory: UntypedStorage, tensor: Tensor) -> None:
    """Let a tensor, or what of it is here, begin where other memory begins; its values are lost."""
    # not `to_local`, which makes another tensor
    here = tensor._local_tensor if isinstance(tensor, DTensor) else tensor
    here.set_(memory, 0, here.size(), here.stride())


def moments(offload: Offload | None) -> Callable[[Tensor], Tensor]:
    """What makes the moments of an optimiser: fp32 zeros laid like a weight, where they rest.

    Raises:
        ValueError: when called, where the disk has not enough room.
    """
    return Files(Path(offload.folder)).zeros_like if isinstance(offload, Disk) else _zeros_like


def _zeros_like(weight: Tensor) -> Tensor:
    return torch.zeros_like(weight, dtype=torch.float32)


def unfit(offload: Offload | None) -> Iterator[str]:
    """Why a folder cannot hold weights and moments, in words for people."""
    if not isinstance(offload, Disk):
        return
    if sys.platform != "linux":
        yield "offload=Disk needs Linux; take offload=Host"
        return
    folder = Path(offload.folder)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield (
            f"offload.folder: {folder} is no folder that can be written to on this machine; "
            "make it, or name one on a local disk"
        )
        return
    kind = _file_system(folder)
    if kind in _NOT_A_DISK:
        yield (
            f"offload.folder: {folder} is {_NOT_A_DISK[kind]} ({kind}), not a local disk; name a "
            "folder on one"
        )


def _file_system(folder: Path) -> str:
    """Its kind as the kernel calls it; empty where the kernel does not list it."""
    device = folder.stat().st_dev
    place = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == place:
            return after.split()[0]
    return ""


class Files:
    """Makes fp32 tensors whose memory is a file each. Their room is reserved when they are made;
    the files have lost their names by then and are gone with the process, whatever ends it.

    Args:
        folder: on a local disk, see `unfit`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made = 0

    def zeros(self, numel: int) -> Tensor:
        """So many zeros [numel].

        Raises:
            ValueError: the disk has not enough room.
        """
        if not numel:
            return torch.zeros(0)
        size = numel * _FP32
        disk = os.statvfs(self.folder)
        if size > disk.f_bavail * disk.f_frsize:
            raise ValueError(self._no_room(size, disk.f_bavail * disk.f_frsize))
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix="m4nmt-", buffering=0) as stream:
            os.posix_fallocate(stream.fileno(), 0, size)  # a disk full later would be a SIGBUS
            self._made += size
            return torch.from_file(stream.name, shared=True, size=numel)

    @torch.no_grad()
    def zeros_like(self, weight: Tensor) -> Tensor:
        """Laid like `weight`: of its shape and, where it is sharded, this rank's part alone."""
        like = torch.empty_like(weight, dtype=torch.float32, memory_format=torch.contiguous_format)
        here = like._local_tensor if isinstance(like, DTensor) else like
        _lie_in(self.zeros(here.numel()).untyped_storage(), like)
        return like

    def _no_room(self, size: int, free: int) -> str:
        return (
            f"parallel.offload.folder: no room in {self.folder} for another {size / _GIB:.2f} GiB: "
            f"{free / _GIB:.2f} are free, this process has taken {self._made / _GIB:.2f}. AdamW "
            "needs 12 bytes a weight, over all processes that shard it; take a larger disk, or "
            "parallel.shard over more machines"
        )
