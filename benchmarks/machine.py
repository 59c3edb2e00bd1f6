"""What the machine is called, for the heads of result pages."""

import platform
from pathlib import Path


def processor() -> str:
    """Name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return next(x for x in text.splitlines() if x.startswith("model name")).split(": ")[1]
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()
