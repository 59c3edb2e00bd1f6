"""How much memory `prepare` takes at one moment, in all its processes together, and at what.

    python benchmarks/prepare_memory.py --root ../shared/data --work runs/memory --pairs centric

Prepares all of a manifest in a process of its own and reads, every 0.2 s, the proportional set size
(PSS) of it and of all its descendants: a page that several processes share counts once in the sum.
PSS holds pages of mapped files too, which the kernel takes back when it wants them; "own" is the
part that it cannot. Beside each reading stands what the main process was doing: the two outermost
functions of m4nmt below `prepare` on its stack. Prints the highest sum of each stage and what it is
made of. Linux alone.

    python benchmarks/prepare_memory.py ... --limit 2048

ends with exit code 1 where the highest sum is over so many MiB.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from machine import processor

from m4nmt.core.config import canonical_json, override
from m4nmt.data.settings import DataConfig, DirectionsConfig, TokenizerConfig

_EVERY = 0.2
_PREPARE = """
import json, sys, threading, time
from pathlib import Path
from m4nmt.core.config import from_dict
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import DataConfig
doing, fresh = Path(sys.argv[4]), Path(sys.argv[4] + ".new")
def look(thread):
    last = ""
    while True:
        frame, names = sys._current_frames()[thread], []
        while frame:
            name = frame.f_code.co_name
            if "/m4nmt/" in frame.f_code.co_filename and name not in ("prepare", "run"):
                names.append(name)
            frame = frame.f_back
        found = " > ".join(names[:-3:-1])
        if found != last:
            fresh.write_text(found)
            fresh.replace(doing)  # read at any time, it is whole
            last = found
        time.sleep(0.05)
threading.Thread(target=look, args=(threading.get_ident(),), daemon=True).start()
prepare(from_dict(DataConfig, json.loads(Path(sys.argv[1]).read_text())), sys.argv[2],
        int(sys.argv[3]))
"""


@dataclass(frozen=True)
class Reading:
    """Memory at one moment, in MiB.

    Attributes:
        stage: what the main process did.
        main, workers: PSS of the main process and the sum of its descendants'.
        own: the part of both that is not pages of files.
        processes: how many.
    """

    stage: str
    main: float
    workers: float
    own: float
    processes: int

    @property
    def all(self) -> float:
        return self.main + self.workers


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for process in found:
        found += parents.get(process, [])
    return found


def pss(process: int) -> tuple[float, float] | None:
    """PSS of a process and the part of it that is no file's, in MiB; None where it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    kib = {name: int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines[1:])}
    return kib["Pss"] / 1024, (kib["Pss"] - kib["Pss_File"]) / 1024


def watch(settings: Path, out: Path, workers: int) -> list[Reading]:
    """Prepare and read the memory until it has ended."""
    doing, readings = out.with_name("doing"), []
    doing.write_text("")
    command = [sys.executable, "-c", _PREPARE, str(settings), str(out), str(workers), str(doing)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as main:
        while main.poll() is None:
            began = time.monotonic()
            found = [one for one in map(pss, tree(main.pid)) if one]
            if found:
                own = sum(one[1] for one in found)
                sums = (found[0][0], sum(one[0] for one in found[1:]))
                at = doing.read_text() or "start and end"
                readings.append(Reading(at, *sums, own, len(found)))
            time.sleep(max(0.0, _EVERY - (time.monotonic() - began)))
    if main.returncode:
        raise SystemExit(f"prepare ended with exit code {main.returncode}")
    return readings


def table(readings: list[Reading]) -> str:
    """The highest reading of each stage, in the order of the stages."""
    highest: dict[str, Reading] = {}
    count: dict[str, int] = {}
    for one in readings:
        count[one.stage] = count.get(one.stage, 0) + 1
        if one.stage not in highest or one.all > highest[one.stage].all:
            highest[one.stage] = one
    lines = [
        "| stage | readings | MiB together | main | workers | of it own, not files' | processes |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {count[name]} | {x.all:,.0f} | {x.main:,.0f} | {x.workers:,.0f} "
        f"| {x.own:,.0f} | {x.processes} |"
        for name, x in highest.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Print a table of stages and the highest sum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", default="bible100")
    parser.add_argument("--root", default="", help="folder of the corpora")
    parser.add_argument("--work", type=Path, default=Path("runs/memory"))
    parser.add_argument("--pairs", choices=("centric", "all"), default="centric")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--vocab", type=int, default=16000)
    parser.add_argument("--sample", type=int, default=200_000, help="lines, for the tokenizer")
    parser.add_argument("--tokenizer", default="", help="folder of one to keep")
    parser.add_argument("--set", nargs="*", default=[], help="as of m4nmt, without data.")
    parser.add_argument("--limit", type=float, default=0, help="MiB that must suffice")
    given = parser.parse_args()
    config = DataConfig(
        manifest=given.manifest,
        root=given.root,
        directions=DirectionsConfig(pairs=given.pairs),
        tokenizer=TokenizerConfig(vocab=given.vocab, sample=given.sample),
    )
    if given.tokenizer:
        config = replace(config, tokenizer=replace(config.tokenizer, path=given.tokenizer))
    config = override(config, given.set)
    out = given.work / given.pairs
    shutil.rmtree(out, ignore_errors=True)
    given.work.mkdir(parents=True, exist_ok=True)
    settings = given.work / "config.json"
    settings.write_text(canonical_json(config))
    began = time.monotonic()
    readings = watch(settings, out, given.workers)
    top = max(readings, key=lambda one: one.all)
    print(f"{processor()}; {given.manifest}, {given.pairs}, {given.workers} workers, ", end="")
    print(f"{time.monotonic() - began:.0f} s, {len(readings)} readings\n\n{table(readings)}\n")
    print(f"Highest: {top.all:,.0f} MiB together ({top.own:,.0f} own), at {top.stage}.")
    if given.limit and top.all > given.limit:
        raise SystemExit(f"over the limit of {given.limit:,.0f} MiB")


if __name__ == "__main__":
    main()
