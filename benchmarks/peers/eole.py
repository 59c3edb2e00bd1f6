"""Training speed of Eole: its own trainer and loader, watched from outside."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import window as shared
from corpus import LINES, SOURCE_FILE, TARGET_FILE, VOCABULARY_FILE, read_lines, write_lines

if TYPE_CHECKING:
    from torch import Tensor


def labels(trainer: Any, batches: list[Any], *_: Any, **__: Any) -> Iterator[tuple[Tensor, int]]:
    """The labels of the batches of an update: the target without its start symbol."""
    for batch in batches:
        yield batch["tgt"][:, 1:], trainer.train_loss.padding_idx


def model_settings() -> dict[str, Any]:
    """The common model."""
    return {
        "architecture": "transformer",
        "layers": shared.LAYERS,
        "hidden_size": shared.WIDTH,
        "transformer_ff": shared.HIDDEN,
        "heads": shared.HEADS,
        "share_embeddings": True,
        "share_decoder_embeddings": True,
        "embeddings": {
            "word_vec_size": shared.WIDTH,
            "position_encoding_type": "SinusoidalInterleaved",
        },
    }


def training_settings(options: shared.Options, folder: Path) -> dict[str, Any]:
    """The optimiser, the batches and an end that is never reached."""
    endless = options.warmup + options.updates + 10
    return {
        "model_path": str(folder / "model"),
        "param_init_method": "xavier_uniform",
        "compute_dtype": "fp32",
        "dropout": [shared.DROPOUT],
        "attention_dropout": [options.inner_dropout],
        "label_smoothing": shared.LABEL_SMOOTHING,
        "bucket_size": LINES,
        "num_workers": 0,
        "batch_type": "tokens",
        "batch_size": options.batch_tokens,
        "normalization": "tokens",
        "optim": "adam",
        "adam_beta1": shared.BETAS[0],
        "adam_beta2": shared.BETAS[1],
        "adam_eps": shared.EPSILON,
        "learning_rate": shared.LEARNING_RATE,
        "decay_method": "none",
        "max_grad_norm": 0,
        "log_attention_entropy": False,
        "train_steps": endless,
        "save_checkpoint_steps": endless,
        "valid_steps": endless,
        "world_size": 1,
        "gpu_ranks": [],
    }


def train(options: shared.Options, window: shared.Window) -> None:
    """Run Eole's training command in this process."""
    from eole.bin.run.train import train as eole_train
    from eole.config.run import TrainConfig
    from eole.trainer import Trainer

    window.watch(Trainer, "_train_step", labels, lambda trainer: trainer.model)
    corpus = options.corpus.resolve()
    sides = {"path_src": str(corpus / SOURCE_FILE), "path_tgt": str(corpus / TARGET_FILE)}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        words = read_lines(corpus / VOCABULARY_FILE)
        write_lines(folder / "vocab.txt", [f"{word}\t1" for word in words])
        config = TrainConfig(
            seed=shared.SEED,
            data={"train": {**sides, "transforms": [], "weight": 1}},
            src_vocab=str(folder / "vocab.txt"),
            tgt_vocab=str(folder / "vocab.txt"),
            share_vocab=True,
            vocab_size_multiple=1,
            report_every=options.warmup + options.updates + 10,
            model=model_settings(),
            training=training_settings(options, folder),
        )
        eole_train(config)


if __name__ == "__main__":
    shared.unshadow()
    shared.run("Eole", "eole", shared.parse_options(), train)
