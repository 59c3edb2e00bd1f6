"""How much a second worker helps where all text is one huge file.

    python benchmarks/prepare_parts.py --root ../shared/data --work runs/prepare_parts

Training text of bible100 in English, each line with its number before it, is repeated to --rows
lines of one file, of --kind: `lines`, beside a file in German that has text in every hundredth line
only; or `tmx`, one memory with German in every hundredth unit. It is prepared by 1 and by 2
workers, each time from nothing in a process of its own, with one tokenizer that is made before. A
large file is encoded in parts by all workers; one checks it, judges its pairs and joins its parts.
Rounds alternate; medians.
"""

import argparse
import lzma
import os
import shutil
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from xml.sax.saxutils import escape

os.environ.setdefault("OMP_NUM_THREADS", "1")

from machine import processor
from prepare import run

from m4nmt.core.config import canonical_json
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import DataConfig, DirectionsConfig, TokenizerConfig

_SIDES = {"eng_Latn": "en", "deu_Latn": "de"}
_EVERY = 100
_PREPARE = """
import time; start = time.perf_counter()
import sys
from m4nmt.core.config import from_dict, parse_json
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import DataConfig
from pathlib import Path
config = from_dict(DataConfig, parse_json(Path(sys.argv[1]).read_text()))
prepare(config, sys.argv[2], int(sys.argv[3]))
"""
_UNIT = '<tu><tuv xml:lang="en"><seg>{}</seg></tuv><tuv xml:lang="de"><seg>{}</seg></tuv></tu>\n'


def texts(root: Path, rows: int) -> Iterator[tuple[str, str]]:
    """Rows of English and German; German is mostly blank."""
    sides = [
        lzma.decompress((root / "bible100" / "train" / f"{code}.txt.xz").read_bytes())
        for code in _SIDES
    ]
    both = zip(*(side.decode().split("\n") for side in sides), strict=False)
    full = cycle([pair for pair in both if all(text.strip() for text in pair)])
    for number, (one, other) in enumerate(islice(full, rows)):
        yield f"{number} {one}", "" if number % _EVERY else f"{number} {other}"


def write(kind: str, root: Path, rows: int, work: Path) -> str:
    """The files; returns the manifest."""
    work.mkdir(parents=True, exist_ok=True)
    if kind == "tmx":
        with (work / "x.tmx").open("w") as out:
            out.write('<tmx version="1.4"><header/><body>\n')
            out.writelines(_UNIT.format(*map(escape, row)) for row in texts(root, rows))
            out.write("</body></tmx>\n")
        how = 'format = "tmx"\npath = "x.tmx"\nlanguages = ["eng_Latn", "deu_Latn"]'
    else:
        files = [(work / f"x.{side}").open("w") for side in _SIDES.values()]
        for row in texts(root, rows):
            for file, text in zip(files, row, strict=True):
                file.write(f"{text}\n")
        for file in files:
            file.close()
        names = ", ".join(f'{code} = "{side}"' for code, side in _SIDES.items())
        how = f'format = "moses"\npath = "x.{{lang}}"\nlanguages = {{ {names} }}'
    path = work / "m.toml"
    path.write_text(
        f'name = "parts"\nlicense = "-"\n[[corpus]]\nname = "x"\nsplit = "train"\n{how}'
    )
    return str(path)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--work", type=Path, default=Path("runs/prepare_parts"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("--kind", choices=("lines", "tmx"), default="lines")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    work = given.work / given.kind
    tokenizer = TokenizerConfig(vocab=given.vocab, sample=50_000, threads=1)
    directions = DirectionsConfig(pairs="all")
    manifest = write(given.kind, given.root, 100_000, given.work / "tokenizer")
    small = DataConfig(
        manifest=manifest, root=str(Path(manifest).parent), directions=directions,
        tokenizer=tokenizer,
    )  # fmt: skip
    kept = TokenizerConfig(path=str(prepare(small, given.work / "kept", 1).out / "tokenizer"))
    manifest = write(given.kind, given.root, given.rows, work)
    large = DataConfig(manifest=manifest, root=str(work), directions=directions, tokenizer=kept)
    settings, out = work / "config.json", work / "out"
    settings.write_text(canonical_json(large))
    readings: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for _ in range(given.rounds):
        for workers, found in readings.items():
            shutil.rmtree(out, ignore_errors=True)
            found.append(run(_PREPARE, str(settings), str(out), str(workers)))
    print(f"{processor()}; {given.kind}, {given.rows:,} rows, vocabulary {given.vocab:,}\n")
    print("| workers | clock s | CPU s |\n|---:|---:|---:|")
    middle = {w: [median(r[key] for r in found) for key in ("seconds", "cpu")]
              for w, found in readings.items()}  # fmt: skip
    for workers, (clock, cpu) in middle.items():
        print(f"| {workers} | {clock:.1f} | {cpu:.1f} |")
    print(f"\n2 workers are {middle[1][0] / middle[2][0]:.2f} times as fast by the clock.")


if __name__ == "__main__":
    main()
