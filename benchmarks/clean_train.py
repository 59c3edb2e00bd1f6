"""What cleaning is worth: the same small model, trained on clean, noisy and cleaned text.

    python benchmarks/clean_train.py --work runs/clean_train

The first --clean rows of Multi30k, German to English, are the clean corpus. Out of the other rows,
with their French and Czech, this program makes --noise times as many noisy ones, of kinds that web
crawls hold (Khayrallah and Koehn 2018, "On the Impact of Various Types of Noise on Neural Machine
Translation": an equally large crawl took 9.9 BLEU off a neural model), and strews them among the
clean ones. Four arms, each from raw text on, tokenizer included, with the same model, number of
steps, batches and seed:

    clean      the clean rows alone, default filters
    none       all rows, no filters
    default    all rows, the default filters
    thorough   all rows, the thorough chain

Each is scored on test2016 and test2017 as `m4nmt evaluate` does it. Arms run --together at once, on
one core each; an arm that was done is not done again. Prints two tables; writes --out as JSON.
"""

import argparse
import itertools
import json
import lzma
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from clean_train_noise import CLEAN, OTHERS, SRC, TGT, noisy
from machine import processor

from m4nmt.core.stages import EvaluateConfig, SearchConfig
from m4nmt.data.columns import column
from m4nmt.data.columns.rows import unpack
from m4nmt.data.filters.settings import FilterChain
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import (
    BlockConfig,
    DataConfig,
    DirectionsConfig,
    FilterConfig,
    Filters,
    TokenizerConfig,
)
from m4nmt.data.store import keep_name, pairs_name
from m4nmt.evaluate.run import evaluate
from m4nmt.model.settings import classic
from m4nmt.optim.settings import AdamW, WarmupStableDecay
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.train.run import train
from m4nmt.train.settings import RunConfig, TrainConfig

SETS = {"dev": "val", "test2016": "test_2016_flickr", "test2017": "test_2017_flickr"}
NO_FILTERS = FilterConfig(
    max_chars=0, max_tokens=0, max_ratio=0, identical=False, duplicates=False, overlap=False
)
ARMS: dict[str, tuple[str, Filters]] = {
    "clean": ("clean", FilterConfig()),
    "none": ("noisy", NO_FILTERS),
    "default": ("noisy", FilterConfig()),
    "thorough": ("noisy", FilterChain()),
}


def lines(root: Path, name: str, language: str) -> list[str]:
    """A file of Multi30k."""
    path = root / f"multi30k/{name}.{language}.txt.xz"
    return lzma.decompress(path.read_bytes()).decode().removesuffix("\n").split("\n")


def corpora(root: Path, work: Path, size: int, noise: float) -> dict[str, Counter[str]]:
    """Write both corpora with their manifests and labels; say what they hold."""
    texts = {code: lines(root, "train", code) for code in (SRC, TGT, *OTHERS)}
    pairs = zip(texts[SRC][:size], texts[TGT][:size], strict=True)
    clean = [(s, t, CLEAN) for s, t in pairs]
    rest = {code: text[size:] for code, text in texts.items()}
    made = {"clean": clean, "noisy": noisy(rest, clean, round(noise * size), seed=1)}
    for name, rows in made.items():
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        for side, code in enumerate((SRC, TGT)):
            text = "".join(row[side] + "\n" for row in rows)
            (folder / f"train.{code}").write_text(text, encoding="utf-8", newline="\n")
            for test, file in SETS.items():
                text = "".join(line + "\n" for line in lines(root, file, code))
                (folder / f"{test}.{code}").write_text(text, encoding="utf-8", newline="\n")
        (folder / "labels.json").write_text(json.dumps([row[2] for row in rows]))
        parts = ['name = "clean_train"', 'license = "CC-BY-NC-SA-4.0"']
        for test in ("train", *SETS):
            split = test if test in ("train", "dev") else "test"
            parts += ["[[corpus]]", f'name = "{test}"', f'split = "{split}"', 'format = "moses"']
            parts += [f'path = "{test}.{{lang}}"', f"languages = {[SRC, TGT]}"]
        (folder / "manifest.toml").write_text("\n".join(parts) + "\n")
    return {name: Counter(row[2] for row in rows) for name, rows in made.items()}


def recipe(arm: str, seed: int, steps: int, work: Path) -> RunConfig:
    """The run of an arm: what differs is the corpus and the filters."""
    corpus, filters = ARMS[arm]
    return RunConfig(
        name=f"{arm}-{seed}",
        data=DataConfig(
            manifest=str(work / corpus / "manifest.toml"),
            root=str(work / corpus),
            directions=DirectionsConfig(only=(f"{SRC}-{TGT}",)),
            tokenizer=TokenizerConfig(vocab=4000, threads=1),
            filters=filters,
            blocks=BlockConfig(tokens=2048, max_length=128),
            seed=seed,
        ),
        model=classic(layers=2, dim=128, hidden=512, heads=4, dropout=0.1),
        optim=AdamW(lr=3e-3),
        schedule=WarmupStableDecay(warmup=200, decay=0.5),
        train=TrainConfig(
            steps=steps,
            validate_every=max(1, steps // 4),
            validate_rows=1014,
            save_every=max(1, steps // 4),
            average=0,
            choose="last",
            seed=seed,
        ),
        parallel=ParallelConfig(precision="bf16"),
        search=SearchConfig(beam=4),
        evaluate=EvaluateConfig(metrics=("bleu", "chrf")),
    )


def kept(out: Path, labels: list[str]) -> Counter[str]:
    """Labels of the training rows that `prepare` kept."""
    table, _ = column.read_arrow(out / "store" / pairs_name("train.train"))
    words, _ = column.read_arrow(out / "store" / keep_name("train.train"))
    bitmaps = dict(
        zip(
            words.column("language").to_pylist(), words.column("words").to_numpy(False), strict=True
        )
    )
    one, other = (unpack(bitmaps[code], len(labels)) for code in (SRC, TGT))
    (shift,) = table.column("shift").to_numpy(False)
    dropped = shift + np.arange(len(shift))  # ranks among the good rows, see rows.shifts
    found = Counter(labels[row] for row in np.delete(np.flatnonzero(one & other), dropped))
    if found.total() != table.column("kept").to_pylist()[0]:
        raise SystemExit(f"{out}: its bitmaps and its count of pairs do not agree")
    return found


def _cpu() -> float:
    usage = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def run_arm(arm: str, seed: int, steps: int, work: Path) -> dict[str, Any]:
    """Prepare, train and evaluate one arm in this process."""
    config, folder = recipe(arm, seed, steps, work), work / f"{arm}-{seed}"
    marks = [(time.perf_counter(), _cpu())]
    store = prepare(config.data, folder / "data", workers=1)
    marks.append((time.perf_counter(), _cpu()))
    outcome = train(config, folder)
    if outcome.step != steps:
        raise SystemExit(f"{arm}, seed {seed}: {outcome.status} at step {outcome.step}")
    marks.append((time.perf_counter(), _cpu()))
    report = evaluate(folder)
    marks.append((time.perf_counter(), _cpu()))
    spent = [
        {"seconds": round(b[0] - a[0], 1), "cpu": round(b[1] - a[1], 1)}
        for a, b in itertools.pairwise(marks)
    ]
    labels = json.loads((work / ARMS[arm][0] / "labels.json").read_text())
    records = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        "arm": arm,
        "seed": seed,
        "steps": steps,
        "kept": kept(store.out, labels),
        "target_tokens": [r for r in records if r["kind"] == "train"][-1]["total_target_tokens"],
        "losses": {r["step"]: r["loss"] for r in records if r["kind"] == "validation"},
        "scores": {
            s.testset: {
                "bleu": s.bleu,
                "interval": s.interval,
                "chrf": s.chrf,
                "signatures": dict(s.signatures),
            }
            for s in report.scores
        },
        **dict(zip(("prepare", "train", "evaluate"), spent, strict=True)),
    }


def start(arm: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """The result of an arm; in a process of its own, unless it was done before."""
    work: Path = given.work
    result = work / f"{arm}-{seed}.json"
    if not result.is_file():
        command = [sys.executable, __file__, "--arm", arm, "--seeds", str(seed)]
        command += ["--steps", str(given.steps), "--work", str(work)]
        with (work / f"{arm}-{seed}.log").open("ab") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log)
    found: dict[str, Any] = json.loads(result.read_text())
    if found["steps"] != given.steps:
        raise SystemExit(f"{result} is of {found['steps']} steps; choose another --work")
    return found


def _score(runs: list[dict[str, Any]], test: str, metric: str) -> str:
    value = f"{fmean(run['scores'][test][metric] for run in runs):.1f}"
    if metric == "bleu" and len(runs) == 1:
        low, high = runs[0]["scores"][test]["interval"]
        value += f" ({low:.1f} to {high:.1f})"
    return value


def shown(results: list[dict[str, Any]], given: Counter[str]) -> None:
    """Scores of the arms, means over seeds; and what each kept of every kind."""
    tests = [name for name in SETS if name != "dev"]
    heads = [f"{t} {m}" for t in tests for m in ("BLEU", "chrF++")]
    print(f"| arm | rows | of them clean | {' | '.join(heads)} | dev loss |")
    print("|---|" + "---:|" * (len(heads) + 3))
    arms = {arm: [r for r in results if r["arm"] == arm] for arm in ARMS}
    arms = {arm: runs for arm, runs in arms.items() if runs}
    for arm, runs in arms.items():
        rows = runs[0]["kept"]
        scores = " | ".join(_score(runs, t, m) for t in tests for m in ("bleu", "chrf"))
        loss = fmean(list(run["losses"].values())[-1] for run in runs)
        clean = rows[CLEAN] / sum(rows.values())
        print(f"| {arm} | {sum(rows.values()):,} | {clean:.1%} | {scores} | {loss:.3f} |")
    noisy_arms = [arm for arm in arms if ARMS[arm][0] == "noisy"]
    print(f"\n| kind | rows | {' | '.join(f'kept by {arm}' for arm in noisy_arms)} |")
    print("|---|---:|" + "---:|" * len(noisy_arms))
    for kind, count in given.most_common():
        shares = (f"{arms[arm][0]['kept'].get(kind, 0) / count:.1%}" for arm in noisy_arms)
        print(f"| {kind} | {count:,} | {' | '.join(shares)} |")


def main() -> None:
    """All arms, or one of them in this process (--arm)."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("runs/clean_train"))
    parser.add_argument("--root", type=Path, default=os.environ.get("M4NMT_DATA"))
    parser.add_argument("--clean", type=int, default=20_000, help="rows of the clean corpus")
    parser.add_argument("--noise", type=float, default=1.0, help="noisy rows for each clean one")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--together", type=int, default=1, help="arms that run at once")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    given = parser.parse_args()
    given.work = given.work.resolve()
    if given.arm:
        found = run_arm(given.arm, given.seeds[0], given.steps, given.work)
        path = given.work / f"{given.arm}-{given.seeds[0]}.json"
        path.write_text(json.dumps(found, indent=1))
        return
    if given.root is None:
        parser.error("say where the corpora are: --root or M4NMT_DATA")
    held = corpora(given.root, given.work, given.clean, given.noise)
    jobs = [(arm, seed) for seed in given.seeds for arm in given.arms]
    with ThreadPoolExecutor(given.together) as pool:
        results = list(pool.map(lambda job: start(*job, given), jobs))
    print(f"{processor()}; {datetime.now(UTC):%Y-%m-%d}; {given.steps} steps\n")
    shown(results, held["noisy"])
    if given.out:
        figures = {"held": held, "processor": processor(), "results": results}
        given.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
