"""`m4nmt doctor`: what this machine offers, and what is missing."""

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from m4nmt import __version__

_PACKAGES = (
    "torch",
    "numpy",
    "pyarrow",
    "datasets",
    "accelerate",
    "safetensors",
    "sentencepiece",
    "sacrebleu",
    "babel",
    "langcodes",
)
_EXTRAS = {
    "serve": ("fastapi", "uvicorn", "python-multipart"),
    "ctranslate2": ("ctranslate2",),
    "dev": ("pytest", "mypy", "ruff"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print findings; 1 when something that every run needs is missing."""
    found = examine()
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        for key, value in found.items():
            print(f"{key:14} {value}")
    return 1 if found["problems"] else 0


def examine() -> dict[str, Any]:
    """The machine and the installation as plain data."""
    versions = {name: _version(name) for name in _PACKAGES}
    problems = [f"package {name} is missing" for name, v in versions.items() if v is None]
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    if free < 2:
        problems.append(f"only {free:.1f} GiB free here; a run needs a few")
    extras = {e: all(_version(n) for n in names) for e, names in _EXTRAS.items()}
    return {
        "m4nmt": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "free_disk_gib": round(free, 1),
        "cpu_features": _cpu(),
        "bf16_fast": _fast_bf16(),
        "gpus": _gpus(),
        "packages": versions,
        "extras": {
            e: "installed" if ok else f"pip install 'm4nmt[{e}]'" for e, ok in extras.items()
        },
        "data_root": os.environ.get("M4NMT_DATA", "not set (M4NMT_DATA)"),
        "problems": problems,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    """What torch makes use of in this CPU; "" where there is no torch, which is told of above."""
    with suppress(ImportError):
        import torch

        return torch.backends.cpu.get_cpu_capability()
    return ""


def _gpus() -> list[str]:
    with suppress(ImportError):
        import torch

        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return []


def _fast_bf16() -> bool:
    """Whether this CPU multiplies bf16 natively; without it bf16 training is slower than fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
