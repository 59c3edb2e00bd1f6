"""Tokenizers and model folders made on the spot. Not a test."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.checkpoint.model import save_model
from m4nmt.core.config import config_hash, to_dict
from m4nmt.core.stages import SearchConfig
from m4nmt.data import tokenizer
from m4nmt.data.identify import Identifier
from m4nmt.data.settings import BlockConfig, DataConfig, TokenizerConfig
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.model import init, translation
from m4nmt.model.settings import ModelConfig, classic
from m4nmt.train.settings import RunConfig

LINES = {
    "deu_Latn": ["Das ist ein Haus.", "Guten Tag, wie geht es?", "Wir gehen nach Hause."] * 4,
    "eng_Latn": ["This is a house.", "Good day, how are you?", "We are going home."] * 4,
    "zho_Hans": ["这是一座房子。", "你好，你好吗？", "我们回家。"] * 4,
}
DIRECTIONS = ("deu_Latn-eng_Latn", "eng_Latn-deu_Latn", "eng_Latn-zho_Hans")
MODEL = classic(layers=1, dim=16, hidden=24, heads=2)


def make_tokenizer(folder: Path) -> Tokenizer:
    """Letters, bytes and a few pieces of three languages; with an identifier beside it."""
    made = tokenizer.train(LINES, TokenizerConfig(vocab=360, threads=1), sorted(LINES), folder)
    Identifier.train(LINES).save(folder / "identify.safetensors")
    return made


def run_config(
    model: ModelConfig = MODEL, max_length: int = 64, search: SearchConfig | None = None
) -> RunConfig:
    data = DataConfig(manifest="none", blocks=BlockConfig(max_length=max_length))
    return RunConfig(name="tiny", data=data, model=model, search=search or SearchConfig(beam=2))


def make_card(made: Tokenizer, config: RunConfig) -> CheckpointCard:
    return CheckpointCard(
        name=config.name,
        step=1,
        config=to_dict(config),
        config_sha256=config_hash(config),
        tokenizer_sha256=made.sha256,
        directions=DIRECTIONS,
        languages=tuple(made.languages),
        code="m4nmt",
    )


def make_model_folder(
    folder: Path, tokenizer_folder: Path, config: RunConfig | None = None, seed: int = 1
) -> Path:
    """A model folder with random weights that are sure of what they say."""
    made = Tokenizer.load(tokenizer_folder)
    config = config or run_config()
    data = replace(config.data, tokenizer=TokenizerConfig(vocab=made.size))
    config = replace(config, data=data, model=replace(config.model, vocab=made.size))
    model = translation.build(config.model)
    init.materialise(model, "cpu", seed)
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: (p + torch.randn(p.shape, generator=generator) * 0.3).detach()
        for name, p in model.canonical_parameters().items()
    }
    save_model(folder, weights, make_card(made, config), tokenizer_folder)
    return folder


def texts_of(translations: Sequence[Sequence[object]]) -> list[list[str]]:
    return [[t.text for t in n_best] for n_best in translations]  # type: ignore[attr-defined]
