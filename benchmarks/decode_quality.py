"""What fewer bits cost: BLEU and chrF++ of one run in each precision of each engine.

    python benchmarks/decode_quality.py runs/multi30k --sentences 500

Every way is `m4nmt evaluate` on the same test sets; differences are to the native engine in fp32,
over the means of all trained directions. `same` is the share of lines that come out the same.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import processor

WAYS = (
    ("native", "fp32"),
    ("native", "bf16"),
    ("native", "int8"),
    ("ctranslate2", "fp32"),
    ("ctranslate2", "int8"),
)


def evaluated(given: argparse.Namespace, engine: str, precision: str, out: Path) -> dict[str, Any]:
    """The report of one way; hypotheses lie under `out`."""
    command = [sys.executable, "-m", "m4nmt.cli.main", "evaluate", given.run, "--json"]
    command += ["--engine", engine, "--precision", precision, "--output", str(out)]
    command += ["--threads", str(given.threads)]
    if given.sentences:
        command += ["--sentences", str(given.sentences)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def lines(out: Path) -> list[str]:
    """All hypotheses, in an order that does not depend on the way."""
    files = sorted(p for p in (out / "hypotheses").rglob("*") if p.is_file())
    return [line for file in files for line in file.read_text("utf-8").split("\n")]


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--sentences", type=int, default=0, help="of each set; 0: all")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    print(f"{processor()}; {given.run}, {given.sentences or 'all'} sentences of each set\n")
    print("| engine | precision | BLEU | difference | chrF++ | difference | same |")
    print("|---|---|---:|---:|---:|---:|---:|")
    first: tuple[float, float, list[str]] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for engine, precision in WAYS:
            out = Path(folder) / f"{engine}-{precision}"
            scores = [s for s in evaluated(given, engine, precision, out)["scores"] if s["trained"]]
            bleu, chrf = (statistics.mean(s[key] for s in scores) for key in ("bleu", "chrf"))
            said = lines(out)
            first = first or (bleu, chrf, said)
            same = sum(a == b for a, b in zip(said, first[2], strict=True)) / len(said)
            print(
                f"| {engine} | {precision} | {bleu:.2f} | {bleu - first[0]:+.2f} | {chrf:.2f} "
                f"| {chrf - first[1]:+.2f} | {same:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
