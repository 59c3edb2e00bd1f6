"""Training speed: our real trainer, engine and loader beside the peers' own trainers.

    python benchmarks/train_step.py --peers ENVIRONMENTS --rounds 3 --threads 2

Every system trains the same model on the same synthetic corpus (see peers/README.md) in a process
of its own, one after another, round after round; medians and ratios are printed and written to
benchmarks/results/. Without --peers only ours run: fp32 and bf16. Beside the speeds stands how much
of a step is matrix products: all products of some steps, replayed alone.
`--equal-loss N` trains N steps in both precisions and compares losses on held-out lines.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import processor

HERE = Path(__file__).resolve().parent
# peer -> (its environment and adapter, further arguments)
PEERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sockeye": ("sockeye", ()),
    "opennmt": ("opennmt", ()),
    "fairseq": ("fairseq", ()),
    "hf": ("hf", ()),
    "marian": ("hf", ("--model", "marian")),
    "eole": ("eole", ()),
    "joeynmt": ("joeynmt", ()),
}
PRECISIONS = ("fp32", "bf16")


def main() -> None:
    """Measure, print, write."""
    given = _arguments()
    if given.one:
        _fix_threads(given.threads)
        from step_of_ours import equal_loss, one  # imports torch: after the threads

        work = one if given.one == "speed" else equal_loss
        print(json.dumps(work(given.corpus, given.precision, vars(given))), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        corpus = given.corpus or Path(folder)
        if given.corpus is None:
            subprocess.run(
                [sys.executable, str(HERE / "peers" / "corpus.py"), "--out", str(corpus)],
                check=True,
            )
        results = _rounds(given, corpus)
        losses = _losses(given, corpus) if given.equal_loss else {}
    text = _page(given, results, losses)
    print(text)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, help="folder of environments made by setup.sh")
    parser.add_argument(
        "--only", nargs="+", choices=PEERS, default=list(PEERS), help="peers to run"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--equal-loss", type=int, default=0, metavar="STEPS")
    parser.add_argument("--corpus", type=Path, help="made by peers/corpus.py; default: made anew")
    day = datetime.date.today().isoformat()
    name = f"train_step_{platform.machine()}_{day}.md"
    parser.add_argument("--out", type=Path, default=HERE / "results" / name)
    parser.add_argument("--profile", type=Path, help="also write where the time goes, to here")
    parser.add_argument("--one", choices=("speed", "loss"), help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help=argparse.SUPPRESS)
    return parser.parse_args()


def _fix_threads(threads: int) -> None:
    """As the adapters of the peers do it, before torch is imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def _rounds(given: argparse.Namespace, corpus: Path) -> dict[str, list[dict[str, Any]]]:
    """Every system once a round, in turn."""
    commands: dict[str, list[str]] = {
        f"m4nmt {precision}": _ours(given, corpus, "speed", precision) for precision in PRECISIONS
    }
    for name in given.only if given.peers else ():
        adapter, more = PEERS[name]
        python = given.peers / adapter / "bin" / "python"
        if not python.exists():
            print(f"no environment {python}: {name} is left out", file=sys.stderr)
            continue
        commands[name] = [
            str(python),
            str(HERE / "peers" / f"{adapter}.py"),
            *_common(given, corpus, given.updates),
            *more,
        ]
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for number in range(given.rounds):
        for name, command in commands.items():
            found = _run(name, command)
            if found:
                results[name].append(found)
                speed = found["tokens_per_second"]
                print(f"round {number + 1} {name}: {speed:,.0f} tokens/s", file=sys.stderr)
    return {name: found for name, found in results.items() if found}


def _common(given: argparse.Namespace, corpus: Path, updates: int) -> list[str]:
    values = {
        "--corpus": corpus,
        "--updates": updates,
        "--warmup": given.warmup,
        "--threads": given.threads,
        "--batch-tokens": given.batch_tokens,
    }
    return [word for name, value in values.items() for word in (name, str(value))]


def _ours(given: argparse.Namespace, corpus: Path, one: str, precision: str) -> list[str]:
    updates = given.updates if one == "speed" else given.equal_loss
    command = [sys.executable, str(HERE / "train_step.py"), "--one", one]
    command += ["--precision", precision, *_common(given, corpus, updates)]
    return command + (["--profile", str(given.profile)] if given.profile else [])


def _run(name: str, command: Sequence[str]) -> dict[str, Any] | None:
    """The last line of JSON that a system printed; None, with a word, where it failed."""
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        print(f"{name} failed ({done.returncode}):\n{done.stderr[-2000:]}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _losses(given: argparse.Namespace, corpus: Path) -> dict[str, float]:
    """Loss on held-out lines after the same steps, by precision."""
    found = {p: _run(f"loss {p}", _ours(given, corpus, "loss", p)) for p in PRECISIONS}
    return {name: result["loss"] for name, result in found.items() if result}


def _page(
    given: argparse.Namespace, results: dict[str, list[dict[str, Any]]], losses: dict[str, float]
) -> str:
    """The results as Markdown."""
    speed = {
        name: statistics.median(r["tokens_per_second"] for r in runs)
        for name, runs in results.items()
    }
    peers = {name: value for name, value in speed.items() if not name.startswith("m4nmt")}
    fastest = max(peers, key=lambda name: peers[name]) if peers else "m4nmt fp32"
    lines = [
        "# Training speed",
        "",
        f"{processor()}, {given.threads} threads, {given.rounds} alternating rounds of "
        f"{given.updates} updates after {given.warmup}, about {given.batch_tokens} target tokens a "
        "batch; 6+6 layers, width 256, feed-forward 1,024, 4 heads, one tied table of 8,000 words, "
        "dropout 0.1, label smoothing 0.1, Adam. Tokens are real target tokens with their end "
        "symbols. Trust the ratios.",
        "",
        f"| system | tokens/s (median) | all rounds | to {fastest} | real tokens of a batch "
        "| matrix products |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for name in sorted(speed, key=lambda n: -speed[n]):
        runs = results[name]
        all_rounds = ", ".join(f"{r['tokens_per_second']:,.0f}" for r in runs)
        real = statistics.mean(r["target_tokens"] / r["padded_target_tokens"] for r in runs)
        shares = [r["matrix_share"] for r in runs if "matrix_share" in r]
        share = f"{statistics.median(shares):.0%}" if shares else ""
        title = runs[0]["system"] + " " + runs[0].get("version", "")
        lines.append(
            f"| {title.strip()} | {speed[name]:,.0f} | {all_rounds} "
            f"| {speed[name] / speed[fastest]:.3f} | {real:.1%} | {share} |"
        )
    lines += [
        "",
        "*Matrix products*: the share of a step's time that the products of that step take when "
        "they are run alone, in the same process: 100 % is the ceiling.",
    ]
    if losses:
        shown = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())
        lines += ["", f"Loss on held-out lines after {given.equal_loss} steps: {shown}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
