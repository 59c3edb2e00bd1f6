"""How well the thorough chain finds noise: recall per kind, and what it drops of clean pairs.

    python benchmarks/clean_noise.py [--out clean_noise.json]

Four parts. `labelled`: 5,000 pairs of five language pairs with a label each (wild/noisy of
M4NMT_DATA). `injected`: Multi30k, German and English, into which this program puts noise.
`regions`: the translation memories of wild/tmx, two of which are misaligned from some row on. Each
goes through `prepare`; then every pair filter is asked again by itself, row by row. `speed`: lines
or pairs a second of processor time of each filter.
"""

import argparse
import gzip
import json
import lzma
import os
import random
import tempfile
import time
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m4nmt.data.columns.column import Column
from m4nmt.data.filters import pairs
from m4nmt.data.filters.features import Features, FeatureWriter
from m4nmt.data.filters.near import near_duplicates
from m4nmt.data.filters.settings import FilterChain, NearDuplicates
from m4nmt.data.filters.view import View
from m4nmt.data.prepare import prepare
from m4nmt.data.preparing import clean
from m4nmt.data.preparing.encode import IDENTIFIER, features_path
from m4nmt.data.settings import BlockConfig, DataConfig, TokenizerConfig
from m4nmt.data.store import column_name

Corpus = dict[str, list[tuple[str, str, str]]]  # "eng_Latn-fra_Latn" -> (source, target, label)
Counts = Mapping[str, Mapping[str, int]]
CLEAN = "clean"
PARTS = ("labelled", "injected", "regions", "speed")


def labelled(root: Path) -> Corpus:
    """wild/noisy as published."""
    found: Corpus = defaultdict(list)
    with lzma.open(root / "wild/noisy/noisy_labeled.tsv.xz", "rt", encoding="utf-8") as stream:
        for line in list(stream)[1:]:
            pair, source, target, label = line.rstrip("\n").split("\t")
            found[pair].append((source, target, label))
    return found


def _near(text: str, draw: random.Random) -> str:
    words = text.split()
    words[draw.randrange(len(words))] = "neu"
    return " ".join(words)


def _digits(text: str, draw: random.Random) -> str:
    return f"{text} ({draw.randint(100, 999)})"


def _boundary(text: str) -> str:
    return text[: max(8, len(text) * 2 // 5)]


def injected(root: Path) -> Corpus:
    """Multi30k, every twentieth row spoilt in one way, and a shifted stretch of 200 rows."""
    one, other = (
        lzma.decompress((root / f"multi30k/train.{code}.txt.xz").read_bytes()).decode().split("\n")
        for code in ("eng_Latn", "deu_Latn")
    )
    draw = random.Random(1)
    ways: dict[str, Callable[[str, str], tuple[str, str]]] = {
        "misaligned": lambda s, t: (s, draw.choice(other[:-1])),
        "untranslated_copy": lambda s, t: (s, s),
        "truncated": lambda s, t: (s, _boundary(t)),
        "mojibake": lambda s, t: (s, (t + " Grüße").encode().decode("latin-1")),
        "html_noise": lambda s, t: (s, f"<p>{t}</p>"),
        "control_characters": lambda s, t: (s, t[:5] + "\x02" + t[5:]),
        "wrong_script": lambda s, t: (s, "".join(chr(0x430 + ord(c) % 32) for c in t)),
        "repeated": lambda s, t: (s, " ".join(t.split()[:2] * 12)),
        "number_mismatch": lambda s, t: (_digits(s, draw), _digits(t, draw)),
        "links": lambda s, t: (s, f"https://example.org/{abs(hash(t)) % 10**12}/index.html?a=1"),
        "swapped": lambda s, t: (t, s),
    }
    found = []
    for row in range(len(one) - 1):
        pair = (one[row], other[row])
        label = CLEAN
        if row % 20 == 19 and not 12_000 <= row < 12_200:
            label = draw.choice([*ways, "near_duplicate"])
            before = found[draw.randrange(len(found))][:2]
            pair = ways[label](*pair) if label in ways else (before[0], _near(before[1], draw))
        elif 12_000 <= row < 12_200:
            pair, label = (one[row], other[row - 3]), "shifted_region"
        found.append((*pair, label))
    return {"eng_Latn-deu_Latn": found}


def prepared(corpus: Corpus, folder: Path, chain: FilterChain) -> Path:
    """Run `prepare` on it, one corpus a pair."""
    parts = ['name = "noise"', 'license = "none"']
    for pair, rows in corpus.items():
        codes = pair.split("-")
        for side, code in enumerate(codes):
            text = "".join(row[side] + "\n" for row in rows)
            (folder / f"{pair}.{code}").write_text(text, encoding="utf-8", newline="\n")
        parts += [
            "[[corpus]]",
            f'name = "{pair}"',
            'split = "train"',
            'format = "moses"',
            f'path = "{pair}.{{lang}}"',
            f"languages = {codes}",
        ]
    (folder / "manifest.toml").write_text("\n".join(parts) + "\n")
    config = DataConfig(
        manifest=str(folder / "manifest.toml"),
        root=str(folder),
        tokenizer=TokenizerConfig(vocab=4000, sample=20_000),
        filters=chain,
        blocks=BlockConfig(max_length=512),
    )
    return prepare(config, folder / "out").out


def viewed(out: Path, pair: str) -> View:
    """The columns and features of a pair, in the order of its languages' codes."""
    paths = [out / "store" / column_name(f"{pair}.train", code) for code in sorted(pair.split("-"))]
    one, other = (Column(path) for path in paths)
    good = (one.flags == clean.GOOD) & (other.flags == clean.GOOD)
    return View((one, other), tuple(Features(features_path(path)) for path in paths), good)


def verdicts(out: Path, pair: str, chain: FilterChain) -> dict[str, Any]:
    """Rows that each filter alone drops, by filter."""
    view = viewed(out, pair)
    one, other = view.columns
    good = view.present_R
    found = {}
    for number, name in enumerate(clean.LINE_FILTERS):
        if number:
            found[name] = (one.flags == number) | (other.flags == number)
    for config in chain.pairs:
        verdict = pairs.judge(config, [view])
        if verdict is not None:
            found[clean.name(config)] = verdict.drop[0]
    alive = good & ~np.any(list(found.values()), axis=0)
    mixed = one.keys * np.uint64(3) + other.keys
    later = np.ones(len(mixed), bool)
    where = np.flatnonzero(alive)
    later[where[np.unique(mixed[where], return_index=True)[1]]] = False
    found["duplicates"] = later & alive
    near = next(config for config in chain.pairs if isinstance(config, NearDuplicates))
    found["near_duplicates"] = near_duplicates([view], [alive & ~later], near.least)[0]
    return found


def measured(corpus: Corpus, chain: FilterChain) -> dict[str, Any]:
    """Rows dropped by label and filter, over all pairs of languages."""
    dropped: dict[str, Counter[str]] = defaultdict(Counter)
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        out = prepared(corpus, Path(folder), chain)
        seconds = time.perf_counter() - started
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        kept = 0
        for pair, rows in corpus.items():
            found = verdicts(out, pair, chain)
            gone = np.any(list(found.values()), axis=0)
            kept += int(np.count_nonzero(~gone))
            for row, (_, _, label) in enumerate(rows):
                total[label] += 1
                dropped[label]["any"] += bool(gone[row])
                for name, mask in found.items():
                    dropped[label][name] += bool(mask[row])
        said = sum(item["kept"] for item in report["pairs"])
        if said != kept:
            raise SystemExit(f"prepare kept {said} pairs, its filters one by one {kept}")
    return {
        "rows": dict(total),
        "dropped": {label: dict(+counts) for label, counts in dropped.items()},
        "regions": [i["regions"] for i in report["pairs"] if "regions" in i],
        "seconds": round(seconds, 1),
    }


def speed(corpus: Corpus, chain: FilterChain) -> dict[str, float]:
    """Of each line filter and the features lines, of each pair filter pairs a CPU second."""
    ((pair, rows),) = corpus.items()
    texts = [row[0] for row in rows]
    language = pair.split("-")[0]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        out = prepared(corpus, Path(folder), chain)
        identifier = out / "tokenizer" / IDENTIFIER
        judges = {clean.name(one): clean.LineJudge([one], identifier) for one in chain.lines}
        judges["all line filters"] = clean.LineJudge(chain.lines, identifier)
        for name, judge in judges.items():
            started = time.process_time()
            for start in range(0, len(texts), 4096):
                judge.judge(texts[start : start + 4096], language)
            found[name] = len(texts) / (time.process_time() - started)
        started = time.process_time()
        writer = FeatureWriter(Path(folder) / "features", pairs.wanted(chain, train=True))
        for start in range(0, len(texts), 4096):
            writer.append(texts[start : start + 4096], language)
        writer.finish()
        found["features"] = len(texts) / (time.process_time() - started)
        view = viewed(out, pair)
        count = int(np.count_nonzero(view.present_R))
        for config in chain.pairs:
            started = time.process_time()
            if isinstance(config, NearDuplicates):
                near_duplicates([view], [view.present_R], config.least)
            elif pairs.judge(config, [view]) is None:
                continue
            found[clean.name(config)] = count / (time.process_time() - started)
    return {name: round(value) for name, value in found.items()}


def shown(name: str, found: Mapping[str, Any]) -> None:
    """One line a label: how many, how many dropped, by which filters."""
    noise = {label: n for label, n in found["rows"].items() if label != CLEAN}
    caught = sum(found["dropped"][label].get("any", 0) for label in noise)
    lost = found["dropped"].get(CLEAN, {}).get("any", 0)
    print(
        f"{name}: {sum(noise.values())} of {sum(found['rows'].values())} rows are noise; "
        f"recall {caught / sum(noise.values()):.3f}, precision {caught / (caught + lost):.3f}, "
        f"clean pairs dropped {lost / found['rows'][CLEAN]:.4f}; {found['seconds']} s"
    )
    for label, count in sorted(found["rows"].items()):
        by_filter = sorted(found["dropped"][label].items(), key=lambda item: -item[1])
        rest = ", ".join(f"{name} {n}" for name, n in by_filter if name != "any" and n)
        share = found["dropped"][label].get("any", 0) / count
        print(f"  {label:20} {count:6} {share:6.3f}  {rest}")
    print(f"  suspected regions: {found['regions']}")


def memories(root: Path) -> dict[str, Corpus]:
    """The translation memories that have two sides."""
    folder = root / "wild/tmx"
    files = {
        "all.en-fr.tmx.gz": "eng_Latn-fra_Latn",
        "all.en-so.tmx.zip": "eng_Latn-som_Latn",
        "all.en-bn.tmx.zip": "eng_Latn-ben_Beng",
        "all.hi-ur.tmx.zip": "hin_Deva-urd_Arab",
        "en_es.tsv.tmx-2020-4-29_2-57.zip": "eng_Latn-spa_Latn",
    }
    return {name: {pair: _memory(folder / name)} for name, pair in files.items()}


def _memory(path: Path) -> list[tuple[str, str, str]]:
    """Its units, without what stands outside (the files of the benchmark are trusted)."""
    if path.suffix == ".gz":
        raw = gzip.decompress(path.read_bytes())
    else:
        with zipfile.ZipFile(path) as archive:
            raw = archive.read(next(n for n in archive.namelist() if n.endswith(".tmx")))
    text = raw.decode("utf-8-sig")
    start = text.index("<body")
    body = ET.fromstring(text[start : text.index("</body>") + len("</body>")])
    found = []
    for unit in body.iter("tu"):
        one, other = ("".join(seg.itertext()) for seg in unit.iter("seg"))
        found.append((" ".join(one.split()), " ".join(other.split()), CLEAN))
    return found


def suspected(corpus: Corpus, chain: FilterChain) -> list[Any]:
    """The regions that `prepare` reports."""
    with tempfile.TemporaryDirectory() as folder:
        out = prepared(corpus, Path(folder), chain)
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return [region for item in report["pairs"] for region in item.get("regions", [])]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    args = parser.parse_args(arguments)
    root, chain = Path(os.environ["M4NMT_DATA"]), FilterChain()
    figures: dict[str, Any] = {}
    for name, make in {"labelled": labelled, "injected": injected}.items():
        if name in args.only:
            figures[name] = measured(make(root), chain)
            shown(name, figures[name])
    if "regions" in args.only:
        figures["regions"] = {n: suspected(c, chain) for n, c in memories(root).items()}
        for name, regions in figures["regions"].items():
            print(f"{name}: {regions or 'no region suspected'}")
    if "speed" in args.only:
        figures["speed"] = speed(injected(root), chain)
        for name, value in figures["speed"].items():
            print(f"{name:20} {value:12,.0f} /s")
    if args.out:
        args.out.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
