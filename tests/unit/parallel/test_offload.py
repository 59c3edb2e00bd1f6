"""Weights and moments on a disk: the numbers are those of memory to the bit, they really lie in
files, the files vanish, and a folder that cannot hold them is refused."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import parallel_toys
import pytest
import torch
from rank_scripts import clean_env
from torch import Tensor

from m4nmt import optim
from m4nmt.core.config import ConfigError, from_dict, override
from m4nmt.optim.settings import Adafactor, AdamW, Optim
from m4nmt.optim.state import tensors
from m4nmt.parallel import offload
from m4nmt.parallel.offload import Files, moments, unfit
from m4nmt.parallel.settings import Disk, Host, Offload, ParallelConfig
from m4nmt.parallel.weights import local
from m4nmt.parallel.world import joined
from m4nmt.train.clip import Global
from m4nmt.train.guard import Guard, Verdict
from m4nmt.train.settings import GuardConfig
from m4nmt.train.trainer import Trainer

MOMENTS: list[Optim] = [
    AdamW(lr=1e-2, weight_decay=0.1),
    Adafactor(lr=1e-2, beta1=0.9, min_dim_factored=48),
]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder of a real disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    for reason in unfit(Disk(folder=str(folder))):
        pytest.skip(f"temporary files do not lie on a local disk: {reason}")
    return folder


def in_files(given: Mapping[str, Tensor], folder: Path) -> set[str]:
    """Names of the tensors whose memory is a file of the folder, by the kernel's own account."""
    lines = [li for li in Path("/proc/self/maps").read_text().splitlines() if str(folder) in li]
    mapped = [range(*(int(x, 16) for x in line.split()[0].split("-"))) for line in lines]
    places = {name: local(tensor).data_ptr() for name, tensor in given.items()}
    return {name for name, place in places.items() if any(place in part for part in mapped)}


@contextmanager
def trainer(rests: Offload | None, optimizer: Optim) -> Iterator[Trainer]:
    """Of a tiny model with dropout, clipped."""
    with joined("cpu", 60, always=True):
        engine = parallel_toys.engine(dropout=0.2, offload=rests, microbatches=2)
        made = optim.build(optimizer, engine.named_parameters(), moments(rests))
        yield Trainer(engine, made, lambda step: 1e-2, Global(0.5), Guard(GuardConfig()))


def state(of: Trainer) -> dict[str, Tensor]:
    weights = {f"model.{n}": p for n, p in of.engine.named_parameters()}
    return weights | {f"optim.{n}": t for n, t in tensors(of.optimizer).items()}


def picture(of: Trainer) -> dict[str, Tensor]:
    return {name: local(t).clone() for name, t in state(of).items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("optimizer", MOMENTS, ids=["adamw", "adafactor"])
def test_a_disk_gives_the_numbers_of_memory_to_the_bit(optimizer: Optim, disk: Path) -> None:
    found = []
    for rests in (Host(), Disk(folder=str(disk))):
        with trainer(rests, optimizer) as made:
            losses = [made.step(parallel_toys.batch(seed=step)).loss for step in range(3)]
            found.append((losses, picture(made)))
    (there, in_memory), (here, on_disk) = found
    assert there == here
    assert len(set(here)) == 3
    assert same(in_memory, on_disk)


@pytest.mark.parametrize("optimizer", MOMENTS, ids=["adamw", "adafactor"])
def test_weights_and_moments_stay_in_files_while_it_trains(optimizer: Optim, disk: Path) -> None:
    with trainer(Disk(folder=str(disk)), optimizer) as made:
        for _ in range(2):
            small = {n for n in state(made) if n.endswith((".step", ".row", ".column"))}
            assert in_files(state(made), disk) == state(made).keys() - small
            made.step(parallel_toys.batch())
        assert not list(disk.iterdir())  # nameless: nothing is left, whatever ends the process


def test_a_refused_step_leaves_what_is_on_the_disk(disk: Path) -> None:
    with trainer(Disk(folder=str(disk)), MOMENTS[0]) as made:
        made.step(parallel_toys.batch())
        before = picture(made)
        made.guard.judge = lambda *told: Verdict(False, "as a test", 0.0, 0.0)  # type: ignore[method-assign]
        assert not made.step(parallel_toys.batch(seed=1)).verdict.accept
        assert same(picture(made), before)


UNEVEN = """
import os, sys
from pathlib import Path
import torch
import torch.distributed as dist
from m4nmt.parallel.apply import parallelize
from m4nmt.parallel.settings import Disk, Host, ParallelConfig
from m4nmt.parallel.weights import local
from m4nmt.parallel.world import joined
from parallel_toys import batch, cross_entropy, tiny
from test_offload import in_files
folder = Path(sys.argv[1])
with joined("cpu", 60) as world:
    found = []
    for rests in (Host(), Disk(folder=str(folder))):
        config = ParallelConfig(device="cpu", shard=2, offload=rests)
        made = parallelize(tiny(), config, cross_entropy, 1, world)
        made.step(batch())
        found.append([local(p.grad).clone() for _, p in made.named_parameters()])
        all_ = {name: p for name, p in made.named_parameters() if local(p).numel()}
        assert in_files(all_, folder) == (all_.keys() if rests != Host() else set())
    table = dict(made.named_parameters())["source.table"]
    assert tuple(local(table).shape) == ((27, 32), (26, 32))[world.rank]  # padded on one rank
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
"""


def test_parts_of_unequal_size_lie_in_files_too(tmp_path: Path, disk: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(UNEVEN)
    unit = Path(__file__).parent
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(script), str(disk)],
        env=clean_env(
            PYTHONPATH=f"{unit.parents[2]}{os.pathsep}{unit}{os.pathsep}{unit.parents[1]}"
        ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


# ---- refusals


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, disk: Path) -> None:
    gone = Disk(folder=str(tmp_path / "gone"))
    with joined("cpu", 60, always=True), pytest.raises(ValueError, match=r"gone is no folder"):
        parallel_toys.engine(offload=gone)
    file = tmp_path / "file"
    file.touch()
    assert "no folder" in next(unfit(Disk(folder=str(file))))
    assert not [*unfit(Disk(folder=str(disk))), *unfit(Host()), *unfit(None)]


@pytest.mark.parametrize(("kind", "says"), [("tmpfs", "is memory"), ("nfs4", "another machine's")])
def test_memory_and_networks_are_no_local_disks(
    kind: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "_file_system", lambda folder: kind)
    assert says in next(unfit(Disk(folder=str(tmp_path))))


def test_the_kind_of_a_file_system_is_the_kernels() -> None:
    assert offload._file_system(Path("/proc")) == "proc"
    shared = Path("/dev/shm")
    if shared.is_dir() and os.path.ismount(shared):
        assert "memory (tmpfs)" in next(unfit(Disk(folder=str(shared))))


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path) -> None:
    there = os.statvfs(tmp_path)
    files = Files(tmp_path)
    files.zeros(2**18)
    with pytest.raises(ValueError, match=r"no room in .* are free.*take a larger disk"):
        files.zeros(there.f_bavail * there.f_frsize // 4 + 2**28)
    assert not list(tmp_path.iterdir())


def test_a_tensor_of_nothing_needs_no_file(tmp_path: Path) -> None:
    assert Files(tmp_path).zeros_like(torch.empty(0, 3)).shape == (0, 3)


# ---- the recipe


def test_the_recipe_names_it(tmp_path: Path) -> None:
    plain = ParallelConfig()
    assert override(plain, ["offload=Host"]).offload == Host()
    named = override(plain, ['offload={"kind": "Disk", "folder": "/nvme"}'])
    assert named.offload == Disk(folder="/nvme")
    with pytest.raises(ConfigError, match="'folder' is missing"):
        override(plain, ["offload=Disk"])
    with pytest.raises(ConfigError, match="name of a folder"):
        from_dict(ParallelConfig, {"offload": {"kind": "Disk", "folder": ""}})
