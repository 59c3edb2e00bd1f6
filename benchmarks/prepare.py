"""How fast text becomes a token store, beside `datasets.map` alone, and in how much memory.

    python benchmarks/prepare.py --root ../shared/data --work runs/prepare

Each part runs in a process of its own, with one core's work at a time, on the first --languages of
a manifest's training text and with one and the same tokenizer, which is made before. `prepare`
checks, hashes, judges, keys, encodes, finds duplicates and leaks with test sets, counts pairs and
writes all durably; `datasets.map` reads the same lines, unpacked and without the blank ones, and
writes the ids, nothing else. Lines that hold text count. Rounds alternate; medians of CPU time, as
other work on the machine lengthens the clock's.

    python benchmarks/prepare.py --root ../shared/data --work runs/prepare --memory centric

prepares all of bible100 (with `all`: its 15,500 directions) and prints the peak of the memory of
each process, and what a second run takes and writes.
"""

import argparse
import json
import lzma
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

from machine import processor

from m4nmt.core.config import canonical_json
from m4nmt.data import manifest
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import DataConfig, DirectionsConfig, TokenizerConfig

_COUNT = """
import resource, sys, time
own, workers = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
sys.stdout.write("|%f|%f|%d|%d" % (
    time.perf_counter() - start, sum(own[:2]) + sum(workers[:2]), own.ru_maxrss, workers.ru_maxrss))
"""
_OURS = """
import time; start = time.perf_counter()
import json, sys
from m4nmt.core.config import from_dict
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import DataConfig
from pathlib import Path
config = from_dict(DataConfig, json.loads(Path(sys.argv[1]).read_text()))
prepare(config, sys.argv[2], int(sys.argv[3]))
"""
_MAP = """
import time; start = time.perf_counter()
import json, sys, datasets
from m4nmt.data.tokenizer import Tokenizer
from pathlib import Path
datasets.disable_progress_bars()
made = Tokenizer.load(Path(sys.argv[1]))
files = json.loads(sys.argv[2])
options = {"data_files": {"train": files}, "cache_dir": sys.argv[3], "split": "train"}
text = datasets.load_dataset("text", **options)
text.map(lambda rows: {"ids": made.encode(rows["text"])}, batched=True, remove_columns=["text"])
"""


def run(script: str, *args: str) -> dict[str, float]:
    """A script in a process of its own: seconds by the clock and of CPU, peaks of memory in KiB."""
    out = subprocess.run(
        [sys.executable, "-c", script + _COUNT, *args], check=True, capture_output=True, text=True
    ).stdout
    names = ("seconds", "cpu", "self", "worker")
    return dict(zip(names, map(float, out.split("|")[-4:]), strict=True))


def unpacked(config: DataConfig, work: Path) -> list[str]:
    """The training files as plain text, without their blank lines, for `datasets`."""
    found = manifest.load(config.manifest, config.root)
    files = []
    for corpus in found.of("train"):
        for code in config.directions.languages:
            path = work / "plain" / f"{corpus.key}.{code}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            raw = lzma.decompress((found.root / corpus.files[code]).read_bytes())
            path.write_bytes(b"".join(x + b"\n" for x in raw.split(b"\n") if x.strip()))
            files.append(str(path))
    return files


def throughput(given: argparse.Namespace) -> None:
    """Alternate both; print sentences a CPU-second."""
    languages = manifest.parse(manifest.find(given.manifest)).of("train")[0].languages
    chosen = tuple(sorted({"eng_Latn", *languages[: given.languages]}))
    directions = DirectionsConfig(pairs="centric", languages=chosen)
    tokenizer = TokenizerConfig(vocab=given.vocab, sample=100_000, threads=1)
    config = DataConfig(
        manifest=given.manifest, root=given.root, directions=directions, tokenizer=tokenizer
    )
    made = prepare(config, given.work / "tokenizer", workers=1)
    files = unpacked(config, given.work)
    kept = replace(tokenizer, path=str(made.out / "tokenizer"))
    settings = given.work / "config.json"
    settings.write_text(canonical_json(replace(config, tokenizer=kept)))
    lines = sum(sum(map(bool, Path(f).read_text().split("\n"))) for f in files)
    out, cache = given.work / "ours", given.work / "cache"
    readings: dict[str, list[dict[str, float]]] = {"prepare": [], "datasets.map": []}
    for _ in range(given.rounds):
        shutil.rmtree(out, ignore_errors=True)
        readings["prepare"].append(run(_OURS, str(settings), str(out), "1"))
        shutil.rmtree(cache, ignore_errors=True)
        folder = str(made.out / "tokenizer")
        readings["datasets.map"].append(run(_MAP, folder, json.dumps(files), str(cache)))
    again = run(_OURS, str(settings), str(out), "1")
    print(f"{processor()}; {len(chosen)} languages, {lines:,} lines, vocabulary {given.vocab:,}\n")
    print("| | sentences/s and core | CPU s | clock s | MiB |\n|---|---:|---:|---:|---:|")
    for name, found in readings.items():
        cpu, clock = (median(r[key] for r in found) for key in ("cpu", "seconds"))
        peak = max(r["self"] for r in found) / 1024
        print(f"| {name} | {lines / cpu:,.0f} | {cpu:.2f} | {clock:.2f} | {peak:,.0f} |")
    print(f"\nA second `prepare`: {again['cpu']:.2f} CPU s, of which most is Python's start.")


def memory(given: argparse.Namespace) -> None:
    """All of a corpus: peaks of memory of the main process and of its largest worker."""
    config = DataConfig(
        manifest=given.manifest,
        root=given.root,
        directions=DirectionsConfig(pairs=given.memory),
        tokenizer=TokenizerConfig(vocab=given.vocab, sample=given.sample),
    )
    given.work.mkdir(parents=True, exist_ok=True)
    settings, out = given.work / "config.json", given.work / given.memory
    settings.write_text(canonical_json(config))
    if given.tokenizer:
        kept = replace(config.tokenizer, path=str(given.tokenizer))
        settings.write_text(canonical_json(replace(config, tokenizer=kept)))
    workers = len(os.sched_getaffinity(0))
    for name in ("first", "second"):
        began = time.time()
        found = run(_OURS, str(settings), str(out), str(workers))
        peaks = [found[key] / 1024 for key in ("self", "worker")]
        print(
            f"{name} run, {workers} workers: {found['seconds']:.1f} s by the clock, "
            f"{found['cpu']:.1f} CPU s; peak {peaks[0]:,.0f} MiB, largest worker {peaks[1]:,.0f} "
            f"MiB; {_written(out, began)} files written",
            flush=True,
        )


def _written(out: Path, since: float) -> int:
    files = (path for path in out.rglob("*") if path.is_file() and path.name != ".lock")
    return sum(path.stat().st_mtime >= since for path in files)


def main() -> None:
    """Print a table, or peaks of memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", default="bible100")
    parser.add_argument("--root", default="", help="folder of the corpora")
    parser.add_argument("--work", type=Path, default=Path("runs/prepare"))
    parser.add_argument("--languages", type=int, default=12, help="for throughput, with English")
    parser.add_argument("--vocab", type=int, default=16000)
    parser.add_argument("--sample", type=int, default=200_000, help="lines, for the tokenizer")
    parser.add_argument("--tokenizer", type=Path, help="folder of one to keep (--memory)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", choices=("centric", "all"))
    given = parser.parse_args()
    (memory if given.memory else throughput)(given)


if __name__ == "__main__":
    main()
