"""Decoding speed: the native engine beside CTranslate2 and Hugging Face `generate`, with the same
weights and forced lengths.

    python benchmarks/decode.py --threads 2 --rounds 3

A random model (6+6 layers, width 512, 16,000 words) whose end symbol is all but impossible, so that
every system makes `--steps` tokens for every sentence. Systems take turns in one process, round
after round; medians, and ratios to CTranslate2 in fp32. `agree` is the share of sentences whose
tokens equal those of the native engine in fp32. --settings are sentences:beam. Hugging Face takes
part where transformers can be imported.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import ctranslate2
import torch
from generate_hf import exported, generate
from machine import processor

from m4nmt.core.stages import SearchConfig
from m4nmt.exchange.ctranslate2 import Words, specification
from m4nmt.model import init, translation
from m4nmt.model.settings import ModelConfig, classic
from m4nmt.model.translation import TranslationModel
from m4nmt.translate.decoder import Symbols
from m4nmt.translate.engine import Native
from m4nmt.translate.packed import pack

BOS, EOS = 2, 3
SYMBOLS = Symbols(BOS, EOS, (0, 1, BOS))
CONFIG = replace(classic(layers=6, dim=512, hidden=2048, heads=8), vocab=16_000)
Tokens = list[tuple[int, ...]]
System = Callable[[list[list[int]], int, int], Tokens]


def weights(config: ModelConfig) -> dict[str, torch.Tensor]:
    """Random; the last norm gives 1 in its first place, where only the end symbol has a weight."""
    model = translation.build(config)
    init.materialise(model, "cpu", 1)
    found = {n: p.detach().clone() for n, p in model.canonical_parameters().items()}
    found["head.norm.weight"][0], found["head.norm.bias"][0] = 0.0, 1.0
    found["source.table"][:, 0] = 0.0
    found["source.table"][EOS, 0] = -1e4
    return found


def native(values: dict[str, torch.Tensor], precision: str) -> System:
    """The native engine: "fp32", "bf16" or "int8"."""
    model: TranslationModel = translation.build(CONFIG)
    init.materialise(model, "cpu", 1)
    with torch.no_grad():
        for name, parameter in model.canonical_parameters().items():
            parameter.copy_(values[name])
    model = model.to(torch.bfloat16 if precision == "bf16" else torch.float32)
    engine = Native(pack(model.requires_grad_(False).eval(), precision == "int8"), SYMBOLS)

    def run(rows: list[list[int]], beam: int, steps: int) -> Tokens:
        config = SearchConfig(beam=beam, batch_tokens=10**6)
        return [best[0].tokens for best in engine.decode(rows, [steps] * len(rows), config)]

    return run


def bare(values: dict[str, torch.Tensor], kind: str, threads: int, folder: Path) -> System:
    """CTranslate2 as people call it: "float32" or "int8"."""
    pieces = tuple(f"w{i}" for i in range(CONFIG.vocab))
    words = Words(pieces, unk=pieces[1], bos=pieces[BOS], eos=pieces[EOS])
    spec = specification(CONFIG, values, words, 256)
    spec.optimize(kind)
    where = folder / kind
    where.mkdir()
    spec.save(str(where))
    engine = ctranslate2.Translator(str(where), device="cpu", intra_threads=threads)

    def run(rows: list[list[int]], beam: int, steps: int) -> Tokens:
        found = engine.translate_batch(
            [[pieces[i] for i in row] for row in rows],
            beam_size=beam,
            max_decoding_length=steps,
            max_batch_size=0,
            suppress_sequences=[[pieces[i]] for i in SYMBOLS.forbidden],
        )
        return [tuple(int(piece[1:]) for piece in one.hypotheses[0]) for one in found]

    return run


def hugging_face(values: dict[str, torch.Tensor]) -> System:
    """transformers' generate over what our export writes, in fp32."""
    model = exported(CONFIG, values)

    def run(rows: list[list[int]], beam: int, steps: int) -> Tokens:
        return generate(model, rows, beam, steps, SYMBOLS.forbidden)

    return run


def rounds(
    systems: dict[str, System], rows: list[list[int]], beam: int, steps: int, count: int
) -> tuple[dict[str, float], dict[str, Tokens]]:
    """Median seconds of each system, and its tokens."""
    tokens = {name: run(rows, beam, steps) for name, run in systems.items()}  # warm
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(count):
        for name, run in systems.items():
            begin = time.perf_counter()
            run(rows, beam, steps)
            seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(times) for name, times in seconds.items()}, tokens


def table(settings: Sequence[str], systems: dict[str, System], given: argparse.Namespace) -> str:
    """A Markdown table of all settings."""
    lines = ["| sentences, beam | system | tokens/s | to CTranslate2 fp32 | agree |"]
    lines += ["|---|---|---:|---:|---:|"]
    generator = torch.Generator().manual_seed(0)
    for setting in settings:
        sentences, beam = map(int, setting.split(":"))
        shape = (sentences, given.source)
        rows = torch.randint(10, CONFIG.vocab, shape, generator=generator).tolist()
        seconds, tokens = rounds(systems, rows, beam, given.steps, given.rounds)
        for name, taken in seconds.items():
            same = [a == b for a, b in zip(tokens[name], tokens["native fp32"], strict=True)]
            lines.append(
                f"| {sentences}, {beam} | {name} | {sentences * given.steps / taken:,.0f} | "
                f"{seconds['CTranslate2 float32'] / taken:.2f} | {sum(same) / len(same):.2f} |"
            )
            print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--source", type=int, default=25)
    parser.add_argument("--settings", nargs="+", default=["64:5", "64:1", "1:5", "1:1"])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    values = weights(CONFIG)
    with tempfile.TemporaryDirectory() as folder:
        systems: dict[str, System] = {
            **{f"native {kind}": native(values, kind) for kind in ("fp32", "bf16", "int8")},
            **{
                f"CTranslate2 {kind}": bare(values, kind, given.threads, Path(folder))
                for kind in ("float32", "int8")
            },
        }
        if importlib.util.find_spec("transformers"):
            systems["Hugging Face fp32"] = hugging_face(values)
        print(f"{processor()}, {given.threads} threads, torch {torch.__version__}")
        table(given.settings, systems, given)


if __name__ == "__main__":
    main()
