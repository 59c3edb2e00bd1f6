"""Training speed of JoeyNMT: its own trainer and loader, watched from outside."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import window as shared
from corpus import SOURCE_FILE, TARGET_FILE, VOCABULARY_FILE, read_lines, write_lines

if TYPE_CHECKING:
    from torch import Tensor

SPECIALS = ("<unk>", "<pad>", "<s>", "</s>")
VALIDATION_LINES = 20


def labels(trainer: Any, batch: Any) -> Iterator[tuple[Tensor, int]]:
    """The labels of a batch: target words and the end symbol."""
    yield batch.trg, trainer.model.pad_index


def write_inputs(corpus: Path, folder: Path) -> None:
    """Write the vocabulary with its special symbols and a validation set."""
    words = [*SPECIALS, *read_lines(corpus / VOCABULARY_FILE)]
    write_lines(folder / "vocab.txt", words)
    for name in (SOURCE_FILE, TARGET_FILE):
        valid = folder / name.replace("train", "valid")
        write_lines(valid, read_lines(corpus / name)[:VALIDATION_LINES])


def half_settings() -> dict[str, Any]:
    """The encoder or the decoder of the common model."""
    return {
        "type": "transformer",
        "num_layers": shared.LAYERS,
        "num_heads": shared.HEADS,
        "hidden_size": shared.WIDTH,
        "ff_size": shared.HIDDEN,
        "dropout": shared.DROPOUT,
        "layer_norm": "pre",
        "embeddings": {
            "embedding_dim": shared.WIDTH,
            "scale": True,
            "dropout": shared.DROPOUT,
        },
    }


def training_settings(options: shared.Options) -> dict[str, Any]:
    """The optimiser, the batches and an end that is never reached."""
    endless = options.warmup + options.updates + 10
    return {
        "label_smoothing": shared.LABEL_SMOOTHING,
        "optimizer": "adam",
        "adam_betas": list(shared.BETAS),
        "learning_rate": shared.LEARNING_RATE,
        "learning_rate_min": 0.0,
        "scheduling": "exponential",  # one is required; this one acts between epochs
        "normalization": "tokens",
        "batch_size": options.batch_tokens,
        "batch_type": "token",
        "epochs": endless,
        "updates": endless,
        "logging_freq": endless,
        "validation_freq": endless,
        "shuffle": True,
    }


def settings(options: shared.Options, folder: Path) -> dict[str, Any]:
    """The whole configuration, as its file would hold it."""
    side = {"level": "word", "voc_file": str(folder / "vocab.txt"), "max_length": -1}
    return {
        "name": "speed",
        "model_dir": str(folder / "model"),
        "use_cuda": False,
        "num_workers": 0,
        "random_seed": shared.SEED,
        "data": {
            "train": str(options.corpus / "train"),
            "dev": str(folder / "valid"),
            "dataset_type": "plain",
            "src": {"lang": "src", **side},
            "trg": {"lang": "tgt", **side},
        },
        "model": {
            "initializer": "xavier_uniform",
            "tied_embeddings": True,
            "tied_softmax": True,
            "encoder": half_settings(),
            "decoder": half_settings(),
        },
        "training": training_settings(options),
        "testing": {},
    }


def train(options: shared.Options, window: shared.Window) -> None:
    """Run JoeyNMT's training in this process.

    The watched method ends before the optimiser steps, so the window runs from one
    backward pass to another: it holds as many optimiser steps as updates.
    """
    from joeynmt.training import TrainManager
    from joeynmt.training import train as joeynmt_train

    window.watch(TrainManager, "_train_step", labels, lambda trainer: trainer.model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "model").mkdir()
        write_inputs(options.corpus, folder)
        joeynmt_train(rank=0, world_size=1, cfg=settings(options, folder), skip_test=True)


if __name__ == "__main__":
    shared.unshadow()
    shared.run("JoeyNMT", "joeynmt", shared.parse_options(), train)
