"""Model folders made on the spot. Not a test."""

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
from m4nmt.model import init, translation
from m4nmt.model.settings import ModelConfig, classic
from m4nmt.train.settings import RunConfig

LINES = {
    "deu_Latn": ["Das ist ein Haus.", "Guten Tag, wie geht es?", "Wir gehen nach Hause."] * 4,
    "eng_Latn": ["This is a house.", "Good day, how are you?", "We are going home."] * 4,
}
MODEL = classic(layers=1, dim=16, hidden=24, heads=2)


def make_folder(folder: Path, model: ModelConfig = MODEL, seed: int = 1) -> Path:
    """A model folder with random weights that are sure of what they say."""
    made = tokenizer.train(
        LINES, TokenizerConfig(vocab=330, threads=1), sorted(LINES), folder / "tokenizer"
    )
    Identifier.train(LINES).save(made.folder / "identify.safetensors")
    data = DataConfig(manifest="none", blocks=BlockConfig(max_length=64))
    data = replace(data, tokenizer=TokenizerConfig(vocab=made.size))
    config = RunConfig(
        name="tiny", data=data, model=replace(model, vocab=made.size), search=SearchConfig(beam=2)
    )
    card = CheckpointCard(
        name="tiny",
        step=1,
        config=to_dict(config),
        config_sha256=config_hash(config),
        tokenizer_sha256=made.sha256,
        directions=("deu_Latn-eng_Latn", "eng_Latn-deu_Latn"),
        languages=made.languages,
        code="m4nmt",
    )
    built = translation.build(config.model)
    init.materialise(built, "cpu", seed)
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: p.detach() + torch.randn(p.shape, generator=generator) * 0.3
        for name, p in built.canonical_parameters().items()
    }
    save_model(folder / "model", weights, card, made.folder)
    return folder / "model"
