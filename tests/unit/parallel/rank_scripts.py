"""Small scripts run by two processes that know of each other only what a launcher tells them."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HEAD = """
import os, signal, sys, time
from pathlib import Path
import torch.distributed as dist
from m4nmt.core.ranks import LostRankError
from m4nmt.parallel.watchdog import Watchdog
from m4nmt.parallel.world import World, joined
folder = Path(sys.argv[1])
"""
LAUNCH = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_env(**more: str) -> dict[str, str]:
    """This environment without a launcher's variables."""
    kept = {k: v for k, v in os.environ.items() if k not in LAUNCH}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


@contextlib.contextmanager
def ranks(body: str, folder: Path, size: int = 2) -> Iterator[list["subprocess.Popen[str]"]]:
    """The script in so many processes, all of which are gone at the end."""
    script = folder / "script.py"
    script.write_text(HEAD + body)
    port = free_port()
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            env=clean_env(
                RANK=str(rank),
                WORLD_SIZE=str(size),
                LOCAL_RANK=str(rank),
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=str(port),
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def outcome(process: "subprocess.Popen[str]", timeout: float = 60) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a process that ends by itself."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err
