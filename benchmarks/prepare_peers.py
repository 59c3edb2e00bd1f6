"""How fast parallel text is prepared, beside `datasets.map` and the preparation of peers.

    python benchmarks/prepare_peers.py --peers ENVIRONMENTS --root ../shared/data

ENVIRONMENTS holds the peers that peers/setup.sh made. The training text of Multi30k's languages and
of some of bible100's as plain files, two languages side by side, no text twice, with one
SentencePiece model that is made before: every system reads that text and works with one worker on
one core, start of Python included. What each does of it:

    prepare       checks, hashes, judges, keys and encodes lines, drops duplicate and unequal
                  pairs, trains the language identifier, writes verified columns durably
    thorough      the same with all filters of the thorough chain
    datasets.map  encodes, writes Arrow
    fairseq       encodes to text; fairseq-preprocess: text to ids, memory-mapped files
    sockeye       encodes to text; sockeye.prepare_data: lengths, buckets, tensors in shards
    opennmt,      build_vocab: encode and count. Nothing is written but the counts; all else is
      eole        done again while training

Rounds alternate; medians. CPU seconds (user and system, all processes) are what counts on a busy
machine. `marginal`: sentences a CPU second beyond what a very small corpus takes, that is, without
what it takes to start.
"""

import argparse
import json
import lzma
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).parent / "peers"))

from machine import processor
from preparation import PEERS, Command, Task, emptied
from sentencepiece import SentencePieceProcessor

from m4nmt.core.config import canonical_json
from m4nmt.data import manifest
from m4nmt.data.filters.settings import FilterChain
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import DataConfig, TokenizerConfig

_OURS = """
import json, sys
from pathlib import Path
from m4nmt.core.config import from_dict
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import DataConfig
prepare(from_dict(DataConfig, json.loads(Path(sys.argv[1]).read_text())), sys.argv[2], 1)
"""
_MAP = """
import sys, datasets
from pathlib import Path
from m4nmt.data.tokenizer import Tokenizer
datasets.disable_progress_bars()
made = Tokenizer.load(Path(sys.argv[1]))
options = {"data_files": {"train": sys.argv[3:]}, "cache_dir": sys.argv[2], "split": "train"}
text = datasets.load_dataset("text", **options)
text.map(lambda rows: {"ids": made.encode(rows["text"])}, batched=True, remove_columns=["text"])
"""
System = Callable[[Path, Path], list[Command]]  # folder of the corpus, empty folder -> commands


class Reading(NamedTuple):
    """Seconds of all commands of a system, one after another."""

    user: float
    system: float
    clock: float

    @property
    def cpu(self) -> float:
        """Of all processes."""
        return self.user + self.system


def measured(commands: list[Command], log: Path) -> Reading:
    """Run them; what they say goes to a file.

    Raises:
        SystemExit: one of them failed.
    """
    user = system = 0.0
    started = time.perf_counter()
    for command in commands:
        with log.open("ab") as stream:
            child = subprocess.Popen(command, stdout=stream, stderr=stream)
            _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{command[0]} ended with {child.returncode}; see {log}")
        user, system = user + used.ru_utime, system + used.ru_stime
    return Reading(user, system, time.perf_counter() - started)


def texts(root: Path, languages: int) -> dict[str, list[bytes]]:
    """Language -> lines: Multi30k's, two by two aligned, and those of bible100, likewise."""
    found = {}
    for code in ("deu_Latn", "eng_Latn", "fra_Latn", "ces_Latn"):
        found[code] = _lines(root / f"multi30k/train.{code}.txt.xz")
    bible = manifest.load("bible100", str(root))
    (corpus,) = bible.of("train")
    others = [code for code in corpus.languages if code not in found][:languages]
    for code in others:
        found[code] = _lines(bible.root / corpus.files[code])
    return found


def _lines(path: Path) -> list[bytes]:
    return lzma.decompress(path.read_bytes()).removesuffix(b"\n").split(b"\n")


def written(given: dict[str, list[bytes]], folder: Path, most: int) -> tuple[Path, int]:
    """The first pairs of every two languages as plain text, a corpus each with a manifest for us
    and one for all others; returns also how many they are."""
    emptied(folder)
    parts = ['name = "pairs"', 'license = "CC-BY-NC-SA-4.0"']
    total = 0
    with (folder / "all.src").open("wb") as src, (folder / "all.tgt").open("wb") as tgt:
        for number, codes in enumerate(zip(*[iter(given)] * 2, strict=True)):
            both = zip(*(given[code] for code in codes), strict=True)
            rows = [row for row in both if all(side.strip() for side in row)][:most]
            total += len(rows)
            for place, (code, whole) in enumerate(zip(codes, (src, tgt), strict=True)):
                text = b"".join(row[place] + b"\n" for row in rows)
                (folder / f"{number}.{code}").write_bytes(text)
                whole.write(text)
            parts += ["[[corpus]]", f'name = "{number}"', 'split = "train"', 'format = "moses"']
            parts += [f'path = "{number}.{{lang}}"', f"languages = {list(codes)}"]
    (folder / "manifest.toml").write_text("\n".join(parts) + "\n")
    return folder, total


def settings(corpus: Path, tokenizer: TokenizerConfig) -> DataConfig:
    """Of a corpus, with the default filters."""
    return DataConfig(
        manifest=str(corpus / "manifest.toml"),
        root=str(corpus),
        tokenizer=tokenizer,
    )


def systems(tokenizer: Path, peers: Path | None) -> dict[str, System]:
    """Name -> the commands of a system."""
    model = tokenizer / "tokenizer.model"
    processor_ = SentencePieceProcessor(model_file=str(model))
    pieces = [processor_.id_to_piece(i) for i in range(processor_.vocab_size())]
    kept = TokenizerConfig(path=str(tokenizer), threads=1)

    def ours(thorough: bool) -> System:
        def commands(corpus: Path, out: Path) -> list[Command]:
            config = settings(corpus, kept)
            config = replace(config, filters=FilterChain()) if thorough else config
            path = out / "config.json"
            path.write_text(canonical_json(config))
            return [[sys.executable, "-c", _OURS, str(path), str(out / "data")]]

        return commands

    def mapped(corpus: Path, out: Path) -> list[Command]:
        files = [str(corpus / f"all.{side}") for side in ("src", "tgt")]
        return [[sys.executable, "-c", _MAP, str(tokenizer), str(out / "cache"), *files]]

    def peer(name: str) -> System:
        def commands(corpus: Path, out: Path) -> list[Command]:
            src, tgt = (corpus / f"all.{side}" for side in ("src", "tgt"))
            return PEERS[name](Task(src, tgt, model, pieces, sys.executable, peers, out))

        return commands

    found = {"prepare": ours(False), "thorough": ours(True), "datasets.map": mapped}
    return found | {name: peer(name) for name in PEERS if peers is not None}


def size(folder: Path) -> float:
    """MiB of the files in a folder."""
    return sum(x.stat().st_size for x in folder.rglob("*") if x.is_file()) / 2**20


def main() -> None:
    """Alternate all systems; print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments")
    parser.add_argument(
        "--only", nargs="+", choices=("prepare", "thorough", "datasets.map", *PEERS)
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--work", type=Path, default=Path("runs/prepare_peers"))
    parser.add_argument("--languages", type=int, default=40, help="of bible100, even")
    parser.add_argument("--vocab", type=int, default=16_000)
    parser.add_argument("--few", type=int, default=20, help="small corpus: pairs of two languages")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write all readings here, as JSON")
    given = parser.parse_args()
    work = given.work.resolve()
    found_texts = texts(given.root, given.languages)
    full, pairs = written(found_texts, work / "full", 1 << 62)
    few, small = written(found_texts, work / "few", given.few)
    config = settings(full, TokenizerConfig(vocab=given.vocab, sample=100_000, threads=1))
    tokenizer = prepare(config, work / "tokenizer", workers=1).out / "tokenizer"
    found = systems(tokenizer, given.peers and given.peers.resolve())
    missing = set(given.only or ()) - set(found)
    if missing:
        parser.error(f"--only {' '.join(sorted(missing))} needs --peers")
    found = {name: made for name, made in found.items() if name in (given.only or found)}
    readings: dict[str, dict[str, list[Reading]]] = {n: {"full": [], "few": []} for n in found}
    made: dict[str, float] = {}
    for _ in range(given.rounds):
        for name, commands in found.items():
            for corpus in (few, full):
                out = emptied(work / "out")
                reading = measured(commands(corpus, out), work / "log.txt")
                readings[name][corpus.name].append(reading)
            made[name] = size(out)
    print(f"{processor()}; {datetime.now(UTC):%Y-%m-%d}; {pairs:,} pairs, {2 * pairs:,} sentences")
    print(f"medians of {given.rounds} alternating rounds; vocabulary {given.vocab:,}\n")
    print(
        "| | sentences a CPU s | marginal | user s | system s | clock s | of them to start, CPU s "
        "| MiB |\n|---|---:|---:|---:|---:|---:|---:|---:|"
    )
    for name, both in readings.items():
        user, system, clock, cpu = (
            median(getattr(r, key) for r in both["full"])
            for key in ("user", "system", "clock", "cpu")
        )
        start = median(r.cpu for r in both["few"])
        marginal = 2 * (pairs - small) / max(cpu - start, 1e-9)
        print(
            f"| {name} | {2 * pairs / cpu:,.0f} | {marginal:,.0f} | {user:.2f} | {system:.2f} "
            f"| {clock:.2f} | {start:.2f} | {made[name]:.1f} |"
        )
    if given.out:
        named = {
            n: {c: [r._asdict() for r in x] for c, x in b.items()} for n, b in readings.items()
        }
        given.out.write_text(json.dumps({"processor": processor(), "readings": named}, indent=1))


if __name__ == "__main__":
    main()
