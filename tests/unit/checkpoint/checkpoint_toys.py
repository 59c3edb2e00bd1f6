"""Small states, model folders and ways to damage them."""

import json
import random
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from torch import Tensor

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.core.config import config_hash, to_dict
from m4nmt.data import tokenizer
from m4nmt.data.settings import TokenizerConfig
from m4nmt.model.init import materialise
from m4nmt.model.settings import ModelConfig, classic
from m4nmt.model.translation import build

LANGUAGES = ("deu_Latn", "eng_Latn")


def state(step: int) -> dict[str, Tensor]:
    """Training state of a step: every dtype and rank that an optimiser keeps."""
    generator = torch.Generator().manual_seed(step)
    return {
        "model.source.table": torch.randn(40, 8, generator=generator),
        "model.norm.weight": torch.randn(8, generator=generator).bfloat16(),
        "optim.norm.weight.step": torch.tensor(float(step)),
        "optim.source.table.row": torch.rand(40, generator=generator),
        "rng": torch.randint(0, 255, (64,), dtype=torch.uint8, generator=generator),
    }


def blobs(step: int) -> dict[str, bytes]:
    return {"trainer.json": json.dumps({"step": step}).encode(), "rank0.bin": bytes(range(256))}


def zeros() -> dict[str, Tensor]:
    return {name: torch.zeros_like(value) for name, value in state(0).items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as stream:
        stream.seek(bit // 8)
        byte = stream.read(1)[0] ^ 1 << bit % 8
        stream.seek(bit // 8)
        stream.write(bytes([byte]))


def flip_somewhere(path: Path, draw: random.Random) -> int:
    """Flip a random bit; gives which."""
    bit = draw.randrange(8 * path.stat().st_size)
    flip(path, bit)
    return bit


@cache
def tokenizer_folder(text: str = "the quick brown fox jumps over lazy dogs") -> Path:
    """A trained tokenizer of few pieces."""
    folder = Path(mkdtemp(prefix="m4nmt-tokenizer-"))
    lines = {"eng_Latn": [text] * 50, "deu_Latn": [text[::-1]] * 50}
    config = TokenizerConfig(vocab=60, byte_fallback=False, coverage=1.0, threads=1)
    tokenizer.train(lines, config, LANGUAGES, folder)
    return folder


def model_config(dim: int = 16) -> ModelConfig:
    return classic(layers=1, dim=dim, hidden=32, heads=2, vocab=60)


def weights(seed: int = 1, dim: int = 16) -> dict[str, Tensor]:
    model = build(model_config(dim))
    materialise(model, "cpu", seed)
    return {name: p.detach() for name, p in model.canonical_parameters().items()}


def card(dim: int = 16, tokens: Path | None = None, step: int = 7) -> CheckpointCard:
    config = {"model": to_dict(model_config(dim))}
    return CheckpointCard(
        name="toy",
        step=step,
        config=config,
        config_sha256=config_hash(config),
        tokenizer_sha256=tokenizer.Tokenizer.load(tokens or tokenizer_folder()).sha256,
        directions=("deu_Latn-eng_Latn", "eng_Latn-deu_Latn"),
        languages=LANGUAGES,
        code="m4nmt 0.1.0",
        data={"licences": {"toy": "CC0-1.0"}, "corpora": ["toy"]},
        scores={"eng_Latn-deu_Latn": {"bleu": 31.25, "chrf": 55.0}},
    )
