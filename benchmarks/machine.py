"""What the machine is called, for the heads of result pages; what a process takes of it."""

import gc
import platform
from collections.abc import Callable
from pathlib import Path


def processor() -> str:
    """Name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return next(x for x in text.splitlines() if x.startswith("model name")).split(": ")[1]
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()


def resident() -> Callable[[], int]:
    """From now on, watch the resident memory of this process.

    Returns:
        A function that gives the high-water mark in bytes, less what is resident now and less the
        pages of files (code) that were read meanwhile.
    """
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # VmHWM begins anew
    before, files = _status("VmRSS"), _status("RssFile")

    def peak() -> int:
        return _status("VmHWM") - before - (_status("RssFile") - files)

    return peak


def _status(key: str) -> int:
    """A line of /proc/self/status in bytes."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(x.split()[1]) for x in text.splitlines() if x.startswith(f"{key}:")) * 1024
