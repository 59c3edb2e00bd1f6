"""The scripts of docs/examples, given what Slurm and Kubernetes give: two machines, both this one.

Clusters themselves are not here: that they give it is theirs to keep.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import machines
import pytest
import train_made
import yaml
from rank_runs import free_port, losses
from torch.distributed.run import get_args_parser

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
SLURM = EXAMPLES / "slurm.sh"
SRUN = """#!/bin/bash
# The command once a node, all at once; fails if one does.
while [[ $1 == --* ]]; do shift; done
for ((node = 0; node < SLURM_NNODES; node++)); do SLURM_NODEID=$node SLURM_PROCID=$node "$@" & done
code=0
for job in $(jobs -p); do wait "$job" || code=1; done
exit $code
"""
SCONTROL = """#!/bin/bash
[[ $* == "show hostnames node[0-1]" ]] && printf 'localhost\\nlocalhost\\n'
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """(a recipe, its run on one process)."""
    folder = tmp_path_factory.mktemp("examples")
    spec = machines.recipe(folder, steps=8, save_every=4)
    machines.alone(spec, folder / "alone")
    return spec, folder / "alone"


def container(name: str) -> dict[str, Any]:
    """The one of an example, with its pod's volumes."""
    spec = yaml.safe_load((EXAMPLES / name).read_text())["spec"]
    if "pytorchReplicaSpecs" in spec:
        spec = spec["pytorchReplicaSpecs"]["Worker"]
    pod = spec["template"]["spec"]
    (found,) = pod["containers"]
    return {**found, "volumes": pod["volumes"]}


def words(found: dict[str, Any], **values: str) -> list[str]:
    """Its command, with some texts in the place of others."""
    line = [*found["command"], *found.get("args", [])]
    for old, new in values.items():
        line = [word.replace(old, new) for word in line]
    return line


def test_the_slurm_script_is_a_script() -> None:
    subprocess.run(["bash", "-n", SLURM], check=True)
    text = SLURM.read_text()
    options = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert text.startswith("#!/bin/bash\n")
    assert all(line.split()[1].startswith("--") for line in options)
    before, _, _ = text.partition("set -euo")
    assert all(line in before for line in options)  # Slurm reads them up to the first command


@pytest.mark.parametrize("name", ["kubernetes.yaml", "pytorchjob.yaml"])
def test_the_manifests_say_what_torchrun_and_m4nmt_understand(name: str) -> None:
    found = container(name)
    mounted = {mount["name"] for mount in found["volumeMounts"]}
    assert mounted == {volume["name"] for volume in found["volumes"]}
    assert "/runs" in {mount["mountPath"] for mount in found["volumeMounts"]}
    program, *rest = words(found)
    assert program == "torchrun"
    understood = get_args_parser().parse_args(rest)
    assert understood.module
    assert [understood.training_script, *understood.training_script_args] == [
        *("m4nmt", "train", "base", "--run", "/runs/base")
    ]
    assert {"name": "TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "value": "1"} in found["env"]
    known = {variable["name"] for variable in found["env"]}
    used = {word.partition("$(")[2].partition(")")[0] for word in rest if "$(" in word}
    assert used <= known


def run_all(commands: list[list[str]], run: Path, **variables: str) -> None:
    """All at once; each must end well."""
    path = f"{machines.BIN}:{os.environ['PATH']}"
    env = {**machines.environment(run), "PATH": path} | variables
    logs = [run.parent / f"{number}.log" for number in range(len(commands))]
    started = []
    for command, log in zip(commands, logs, strict=True):
        with log.open("w") as stream:
            started.append(subprocess.Popen(command, env=env, stdout=stream, stderr=stream))
    try:
        codes = [process.wait(200) for process in started]
    finally:
        for process in started:
            process.kill()
    assert codes == [0] * len(commands), "\n".join(log.read_text()[-2000:] for log in logs)


def is_whole(run: Path, alone: Path, world: int) -> None:
    assert machines.examples(run) == machines.examples(alone)
    assert {line["world"] for line in machines.seen(run)} == {world}
    assert losses(run) == pytest.approx(losses(alone), rel=1e-5)
    assert train_made.events(run, "model")


@pytest.mark.slow
def test_the_slurm_script_trains(made: tuple[str, Path], tmp_path: Path) -> None:
    spec, alone = made
    run = machines.prepared(alone, tmp_path / "run")
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    given = {  # of a job of two nodes with a GPU each
        "PATH": f"{tmp_path}:{machines.BIN}:{os.environ['PATH']}",
        "SLURM_JOB_ID": str(free_port() - 20000),
        "SLURM_JOB_NODELIST": "node[0-1]",
        "SLURM_NNODES": "2",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_GPUS_ON_NODE": "1",
    }
    run_all([["bash", str(SLURM)]], run, **given, RECIPE=spec, RUN=str(run))
    is_whole(run, alone, world=2)


@pytest.mark.slow
def test_the_job_of_kubernetes_trains(made: tuple[str, Path], tmp_path: Path) -> None:
    spec, alone = made
    run = machines.prepared(alone, tmp_path / "base")
    found = container("kubernetes.yaml")
    command = words(found, **{"$(POD_IP)": "127.0.0.1", "$(JOB)": "0f-1d", "/runs": str(tmp_path)})
    command[command.index("--nproc-per-node") + 1] = "1"
    command[command.index("--nnodes") + 1] = "2:4"
    command[command.index("train") + 1] = spec
    run_all([command] * 2, run, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")
    is_whole(run, alone, world=2)


@pytest.mark.slow
def test_the_job_of_the_operator_trains(made: tuple[str, Path], tmp_path: Path) -> None:
    spec, alone = made
    run = machines.prepared(alone, tmp_path / "base")
    command = words(container("pytorchjob.yaml"), **{"/runs": str(tmp_path)})
    command[command.index("train") + 1] = spec
    given = {  # what the operator sets in every pod
        "PET_NNODES": "2:2",
        "PET_NPROC_PER_NODE": "1",
        "PET_MAX_RESTARTS": "20",
        "PET_RDZV_BACKEND": "c10d",
        "PET_RDZV_ENDPOINT": f"localhost:{free_port()}",
        "PET_RDZV_ID": "base",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    run_all([command] * 2, run, **given)
    is_whole(run, alone, world=2)
