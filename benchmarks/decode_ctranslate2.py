"""What our road through CTranslate2 adds to CTranslate2 itself, on the same texts of a trained run.

    python benchmarks/decode_ctranslate2.py runs/quickstart --threads 2

Bare CTranslate2 is `translate_batch` on the same pieces, with the same beam, limit, batch budget
and threads, its own length penalty and its own sorting by length. *ids*: our engine adds groups,
the end at forbidden symbols, ids, GNMT's ranking, and the sentences that must be searched again.
*texts*: bare is SentencePiece, CTranslate2, SentencePiece; ours is `Translator.translate`, which
adds sentences, the guard and what else is known of a translation. The two take turns in one
process; what is added is the median, over turns, of the ratio of the two neighbours, which other
work on the machine disturbs least: of the process's CPU time, and of the time by the clock. The
texts are the run's own test sets. --layers N
measures a model that says the same at the cost of N layers a stack: the last layer of each is
repeated with all that it adds to the stream set to zero (pre-norm models only).
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from m4nmt.checkpoint.model import Loaded, load_model
from m4nmt.core.config import from_dict, to_dict
from m4nmt.core.stages import SearchConfig
from m4nmt.data.store import Store
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction
from m4nmt.evaluate.testsets import from_store
from m4nmt.exchange.folder import words, write_export
from m4nmt.model.settings import ModelConfig
from m4nmt.translate import engines, loading
from m4nmt.translate.ctranslate2 import CTranslate2
from m4nmt.translate.translator import Translator

Job = Callable[[], object]


class Sides(NamedTuple):
    """One export, bare and as we use it, and what is translated.

    Attributes:
        pieces: the written form of each id.
        rows, limits: of every sentence.
        texts, directions: the same, as people give them.
    """

    bare: Any
    ours: CTranslate2
    pieces: tuple[str, ...]
    rows: list[list[int]]
    limits: list[int]
    translator: Translator
    tokenizer: Tokenizer
    texts: list[str]
    directions: list[Direction]


def deepened(model: Loaded, layers: int) -> Loaded:
    """A model that computes the same through more layers."""
    config = from_dict(ModelConfig, model.card.config["model"], "card: model")
    weights = dict(model.weights)
    stacks = {"enc": config.encoder, "dec": config.decoder}
    for name, stack in stacks.items():
        last = f"{name}{len(stack) - 1:03d}."
        own = {key.removeprefix(last): w for key, w in weights.items() if key.startswith(last)}
        for i in range(len(stack), layers):
            for key, weight in own.items():
                added = key.split(".")[-2] in ("out", "down")
                weights[f"{name}{i:03d}.{key}"] = torch.zeros_like(weight) if added else weight
        stacks[name] = (*stack, *stack[-1:] * (layers - len(stack)))
    config = replace(config, encoder=stacks["enc"], decoder=stacks["dec"])
    card = replace(model.card, config={**model.card.config, "model": to_dict(config)})
    return model._replace(card=card, weights=weights)


def load(run: Path, folder: Path, given: argparse.Namespace) -> Sides:
    """A run's export, written to `folder`, and so many sentences of each of its test sets."""
    model = load_model(run)
    if given.layers:
        model = deepened(model, given.layers)
    write_export(model, folder, given.quantize)
    threads = given.threads
    tokenizer = Tokenizer.load(folder)
    config = from_dict(ModelConfig, model.card.config["model"], "card: model")
    pieces = words(tokenizer, config.vocab).pieces
    rows, limits, texts, directions = [], [], [], []
    search = loading.search_config(model.card)
    for bitext in from_store(Store.open(run / "data"), "test"):
        some = bitext.read()[0][: given.sentences]
        texts += some
        directions += [bitext.direction] * len(some)
        for ids in tokenizer.encode(some):
            rows.append(tokenizer.source(ids, bitext.direction))
            limits.append(math.ceil(search.max_ratio * len(ids)) + search.max_extra)
    ready = engines.load(folder, "cpu", "auto", "ctranslate2", threads)
    ours = cast(CTranslate2, ready.engine)
    translator = Translator(ours, tokenizer, ready.card, ready.identifier)
    bare = ours._translator
    return Sides(bare, ours, pieces, rows, limits, translator, tokenizer, texts, directions)


def bare(sides: Sides, config: SearchConfig, written: Sequence[list[str]]) -> list[Any]:
    """CTranslate2 as people call it."""
    found = sides.bare.translate_batch(
        written,
        beam_size=config.beam,
        length_penalty=config.length_alpha,
        max_decoding_length=max(sides.limits),
        max_batch_size=max(1, config.batch_tokens // config.beam),
        batch_type="tokens",
        return_scores=True,
    )
    return [(result.hypotheses[0], result.scores[0]) for result in found]


def bare_texts(sides: Sides, config: SearchConfig) -> list[str]:
    """The same, from texts to texts."""
    rows = zip(sides.tokenizer.encode(sides.texts), sides.directions, strict=True)
    written = [[sides.pieces[i] for i in sides.tokenizer.source(*row)] for row in rows]
    found = bare(sides, config, written)
    return sides.tokenizer.decode([sides.tokenizer.ids(pieces) for pieces, _ in found])


def pairs(sides: Sides, config: SearchConfig) -> dict[str, tuple[Job, Job]]:
    """By road: bare, and ours."""
    written = [[sides.pieces[i] for i in row] for row in sides.rows]
    ways = [d.src for d in sides.directions], [d.tgt for d in sides.directions]
    return {
        "ids": (
            lambda: bare(sides, config, written),
            lambda: sides.ours.decode(sides.rows, sides.limits, config),
        ),
        "texts": (
            lambda: bare_texts(sides, config),
            lambda: sides.translator.translate(sides.texts, *ways, config),
        ),
    }


class Timing(NamedTuple):
    """Median seconds over all rows, and the median of ours / bare."""

    bare: float
    ours: float
    ratio: float


def timing(jobs: tuple[Job, Job], repeats: int) -> tuple[Timing, Timing]:
    """Let the two take turns; CPU time, and the clock's."""
    turns: list[list[tuple[float, float]]] = []
    for _ in range(repeats + 1):
        turns.append([])
        for job in jobs:
            begun = time.process_time(), time.perf_counter()
            job()
            turns[-1].append((time.process_time() - begun[0], time.perf_counter() - begun[1]))
    timings = []
    for clock in range(2):
        theirs, own = zip(*([x[clock] for x in turn] for turn in turns[1:]), strict=True)
        ratios = [b / a for a, b in zip(theirs, own, strict=True)]
        timings.append(Timing(*map(statistics.median, (theirs, own, ratios))))
    return timings[0], timings[1]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--layers", type=int, default=0, help="of a stack (0: the model's own)")
    parser.add_argument("--sentences", type=int, default=50, help="of each test set")
    parser.add_argument("--quantize", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4, 5])
    parser.add_argument("--repeats", type=int, default=21)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sides = load(given.run, Path(folder) / "export", given)
    print(f"{len(sides.rows)} sentences, {given.quantize}, {given.threads} threads\n")
    print("| road | beam | bare, CPU µs a sentence | ours | added | by the clock |")
    print("|---|---:|---:|---:|---:|---:|")
    for beam in given.beams:
        for road, jobs in pairs(sides, SearchConfig(beam=beam, batch_tokens=8192)).items():
            cpu, clock = timing(jobs, given.repeats)
            each = (
                f"{cpu.bare / len(sides.rows) * 1e6:.0f} | {cpu.ours / len(sides.rows) * 1e6:.0f}"
            )
            added = f"{cpu.ratio - 1:+.1%} | {clock.ratio - 1:+.1%}"
            print(f"| {road} | {beam} | {each} | {added} |", flush=True)


if __name__ == "__main__":
    main()
