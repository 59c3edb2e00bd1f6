"""What a run ran on: versions, hardware, code, and settings that change numbers."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import m4nmt

PACKAGES = ("m4nmt", "torch", "numpy", "pyarrow", "sentencepiece", "safetensors", "accelerate")
VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "NCCL_ALGO",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "ATEN_CPU_CAPABILITY",
)


def describe() -> dict[str, Any]:
    """Plain data; what is not known is left out."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "code": code(),
        "cpu": {"cores": os.cpu_count(), "capability": torch.backends.cpu.get_cpu_capability()},
        "threads": torch.get_num_threads(),
        "cuda": _cuda(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "command": sys.argv,
    }


def code() -> dict[str, Any]:
    """Version of m4nmt, and commit and dirtiness where it runs from a git checkout."""
    found: dict[str, Any] = {"version": m4nmt.__version__}
    root = Path(m4nmt.__file__).resolve().parents[1]
    if (root / ".git").exists():
        commit = _git(root, "rev-parse", "HEAD")
        if commit:
            found["commit"] = commit
            found["dirty"] = bool(_git(root, "status", "--porcelain"))
    return found


def code_name() -> str:
    """The code in one word, as the card of a model names it."""
    found = code()
    commit = found.get("commit", "")[:12]
    mark = "+changes" if found.get("dirty") else ""
    return f"{found['version']}+{commit}{mark}" if commit else str(found["version"])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cuda() -> dict[str, Any]:
    if not torch.cuda.is_available():
        return {}
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "version": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "devices": names,
    }
