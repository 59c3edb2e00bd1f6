"""Alignment of many pairs: a model for each, or judged through one language; what both find.

    python benchmarks/alignment_through.py --root ../shared/data

Takes some languages of bible100 and spoils all but the first: 5 % of the lines become a line from
nearby, and 300 lines in the middle are shifted by one. Every pair is then judged by the filter
`Alignment` twice, with a lexical model of its own and through the first language. Prints, of the
pairs with that language and of those without, the share of the bad rows that were found, the share
of the good ones that were dropped, and the CPU seconds of a pair.
"""

import argparse
import lzma
import os
import random
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import processor

from m4nmt.data.filters.features import Features, FeatureWriter, Wanted
from m4nmt.data.filters.settings import Alignment, FilterChain
from m4nmt.data.preparing.judging import PairJudge
from m4nmt.data.preparing.tally import CorpusColumns

_MANY = 10**6
_SHIFTED = 300
_NEAR = (-7, -3, 3, 9, 20)
_AT_ONCE = 2000


def spoil(lines: list[str], draw: random.Random) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Spoil lines in place; which of them hold another text now."""
    right = list(lines)
    having = [number for number, line in enumerate(lines) if line]
    for number in draw.sample(having, len(having) // 20):
        near = min(max(number + draw.choice(_NEAR), 0), len(lines) - 1)
        lines[number] = right[near] or right[draw.choice(having)]
    middle = having[len(having) // 2]
    lines[middle : middle + _SHIFTED] = right[middle - 1 : middle + _SHIFTED - 1]
    return np.array([one != other for one, other in zip(lines, right, strict=True)])


def read(given: argparse.Namespace, folder: Path) -> tuple[CorpusColumns, dict[str, Any]]:
    """The corpus, spoiled, and which lines of each language are bad."""
    draw = random.Random(given.seed)
    columns, features, keep, bad = {}, {}, {}, {}
    for code in given.languages:
        packed = given.root / "bible100" / "train" / f"{code}.txt.xz"
        lines = [line.strip() for line in lzma.decompress(packed.read_bytes()).decode().split("\n")]
        first = code == given.languages[0]
        bad[code] = np.zeros(len(lines), bool) if first else spoil(lines, draw)
        writer = FeatureWriter(folder / code, Wanted(words=True))
        for start in range(0, len(lines), _AT_ONCE):
            writer.append(lines[start : start + _AT_ONCE], code)
        writer.finish()
        features[code] = Features(folder / code)
        columns[code] = cast(Any, SimpleNamespace(chars=np.array(list(map(len, lines)), np.int32)))
        keep[code] = np.array(lines) != ""
    codes = sorted(given.languages)
    pairs = [(one, other) for one in codes for other in codes if one < other]
    made = CorpusColumns("bible100.train", columns, pairs, features=features)
    made.keep = keep
    return made, bad


def judged(made: CorpusColumns, bad: dict[str, Any], models: int) -> dict[bool, Any]:
    """Found of the bad, dropped of the good, CPU seconds: with the pivot and without it, means."""
    chain = FilterChain(lines=(), rows=(), pairs=(Alignment(models=models),))
    judge = PairJudge([made], chain)
    seen: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
    pivot = (
        judge.through.pivot
        or PairJudge(
            [made], FilterChain(lines=(), rows=(), pairs=(Alignment(models=0),))
        ).through.pivot
    )
    for phase in judge.phases():
        for pair in phase:
            began = time.process_time()
            told = judge.judge(pair)
            took = time.process_time() - began
            judge.through.learn(told.wrong)
            one, other = pair
            present = np.flatnonzero(made.keep[one] & made.keep[other])
            shift = told.judged[0].shift
            drop = np.zeros(len(present), bool)
            drop[shift + np.arange(len(shift))] = True
            wrong = (bad[one] | bad[other])[present]
            seen[pivot in pair].append((drop[wrong].mean(), drop[~wrong].mean(), took))
    return {kind: np.mean(values, axis=0) for kind, values in seen.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of the corpora")
    codes = "eng_Latn deu_Latn swh_Latn tam_Taml zho_Hans hin_Deva tur_Latn"
    parser.add_argument(
        "--languages", nargs="+", default=codes.split(), help="the first stays whole"
    )
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made, bad = read(given, Path(folder))
        print(f"{processor()}; {len(given.languages)} languages, {len(made.pairs)} pairs\n")
        print(
            "| pairs | judged | bad found | good dropped | CPU s a pair |\n|---|---|---:|---:|---:|"
        )
        for name, models in (("by its own model", _MANY), ("through one language", 0)):
            for kind, (found, lost, took) in judged(made, bad, models).items():
                which = "with it" if kind else "without it"
                print(f"| {which} | {name} | {found:.1%} | {lost:.2%} | {took:.3f} |", flush=True)


if __name__ == "__main__":
    main()
