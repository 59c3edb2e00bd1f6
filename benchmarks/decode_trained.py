"""Decoding speed on real sentences of a trained run: batches in which sentences end when they end.

    python benchmarks/decode_trained.py runs/multi30k --threads 2

decode.py forces all sentences to one length, which hides what a search does with finished ones.
Here the run's own test sentences, sorted by length, are given to every system in the same batches:
the native engine, CTranslate2 and Hugging Face `generate`, with the same weights, beam, limit and
forbidden symbols, ranked by their sum of log p (the one ranking all three know). Systems take
turns; medians, and ratios to CTranslate2 in fp32. `same` is the share of sentences whose tokens
equal those of the native engine in fp32. Hugging Face takes part where transformers is installed.
"""

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import ctranslate2
import torch
from decode import Tokens, rounds
from generate_hf import exported
from machine import processor

from m4nmt.checkpoint.model import Loaded, load_model
from m4nmt.core.config import from_dict
from m4nmt.core.stages import SearchConfig
from m4nmt.data.store import Store
from m4nmt.data.tokenizer import PAD, Tokenizer
from m4nmt.evaluate.testsets import from_store
from m4nmt.exchange.folder import words, write_export
from m4nmt.model.settings import ModelConfig
from m4nmt.translate import loading
from m4nmt.translate.engine import Native

Batch = list[list[int]]
System = Callable[[list[Batch], int, int], Tokens]


class Trained(NamedTuple):
    """A run's model and its parts."""

    run: Path
    model: Loaded
    config: ModelConfig
    tokenizer: Tokenizer

    @classmethod
    def of(cls, run: Path) -> "Trained":
        """Of a run's folder."""
        model = load_model(run)
        config = from_dict(ModelConfig, model.card.config["model"], "card: model")
        return cls(run, model, config, Tokenizer.load(run / "data" / "tokenizer"))

    def batches(self, sentences: int, size: int) -> list[Batch]:
        """So many test sentences, from all over the sets, in batches of like length."""
        rows = []
        for bitext in from_store(Store.open(self.run / "data"), "test"):
            ids = self.tokenizer.encode(bitext.read()[0])
            rows += [self.tokenizer.source(one, bitext.direction) for one in ids]
        rows = sorted(rows[:: max(1, len(rows) // sentences)][:sentences], key=len, reverse=True)
        return [rows[at : at + size] for at in range(0, len(rows), size)]


def native(trained: Trained, precision: str) -> System:
    """Our engine."""
    engine = Native(
        loading.load(trained.run, "cpu", precision).model, loading.symbols(trained.tokenizer)
    )

    def run(batches: list[Batch], beam: int, limit: int) -> Tokens:
        config = SearchConfig(beam=beam, length_alpha=0.0, batch_tokens=10**6)
        found = [engine.decode(batch, [limit] * len(batch), config) for batch in batches]
        return [hypotheses[0].tokens for batch in found for hypotheses in batch]

    return run


def bare(trained: Trained, kind: str, threads: int, folder: Path) -> System:
    """CTranslate2 as people call it."""
    write_export(trained.model, folder, kind)
    pieces = words(trained.tokenizer, trained.config.vocab).pieces
    ids = {piece: i for i, piece in enumerate(pieces)}
    forbidden = loading.symbols(trained.tokenizer).forbidden
    engine = ctranslate2.Translator(str(folder), device="cpu", intra_threads=threads)

    def run(batches: list[Batch], beam: int, limit: int) -> Tokens:
        found = []
        for batch in batches:
            found += engine.translate_batch(
                [[pieces[i] for i in row] for row in batch],
                beam_size=beam,
                length_penalty=0.0,
                max_decoding_length=limit,
                max_batch_size=0,
                return_end_token=True,
                suppress_sequences=[[pieces[i]] for i in forbidden],
            )
        return [tuple(ids[piece] for piece in one.hypotheses[0]) for one in found]

    return run


def hugging_face(trained: Trained) -> System:
    """transformers' generate over what our export writes, in fp32."""
    model = exported(trained.config, trained.model.weights)
    symbols = loading.symbols(trained.tokenizer)

    def run(batches: list[Batch], beam: int, limit: int) -> Tokens:
        found: Tokens = []
        for batch in batches:
            longest = max(map(len, batch))
            ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in batch])
            with torch.inference_mode():
                out = model.generate(
                    ids,
                    attention_mask=(ids != PAD).long(),
                    num_beams=beam,
                    do_sample=False,
                    length_penalty=0.0,
                    max_new_tokens=limit,
                    suppress_tokens=list(symbols.forbidden),
                    decoder_start_token_id=symbols.bos,
                    eos_token_id=symbols.eos,
                    pad_token_id=PAD,
                )
            found += [_until(row[1:], symbols.eos) for row in out.tolist()]
        return found

    return run


def _until(row: list[int], end: int) -> tuple[int, ...]:
    """A row up to its end symbol."""
    return tuple(row[: row.index(end) + 1] if end in row else row)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--sentences", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--beams", type=int, nargs="+", default=[5, 1])
    parser.add_argument("--limit", type=int, default=60, help="most tokens of a translation")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    trained = Trained.of(given.run)
    batches = trained.batches(given.sentences, given.batch)
    with tempfile.TemporaryDirectory() as folder:
        systems: dict[str, System] = {
            **{f"native {kind}": native(trained, kind) for kind in ("fp32", "bf16", "int8")},
            **{
                f"CTranslate2 {kind}": bare(trained, kind, given.threads, Path(folder) / kind)
                for kind in ("float32", "int8")
            },
        }
        if importlib.util.find_spec("transformers"):
            systems["Hugging Face fp32"] = hugging_face(trained)
        count = sum(map(len, batches))
        print(
            f"{processor()}, {given.threads} threads, torch {torch.__version__}; {count} sentences"
        )
        print("| beam | system | sentences/s | to CTranslate2 fp32 | to Hugging Face | same |")
        print("|---:|---|---:|---:|---:|---:|")
        for beam in given.beams:
            seconds, tokens = rounds(systems, batches, beam, given.limit, given.rounds)
            peer = seconds.get("Hugging Face fp32", float("nan"))
            for name, taken in seconds.items():
                pairs = zip(tokens[name], tokens["native fp32"], strict=True)
                same = sum(a == b for a, b in pairs) / count
                print(
                    f"| {beam} | {name} | {count / taken:,.1f} | "
                    f"{seconds['CTranslate2 float32'] / taken:.2f} | {peer / taken:.2f} | "
                    f"{same:.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
