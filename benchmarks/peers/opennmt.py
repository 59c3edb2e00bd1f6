"""Training speed of OpenNMT-py: its own command line and trainer, watched from outside."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import window as shared
from corpus import LINES, SOURCE_FILE, TARGET_FILE, VOCABULARY_FILE, read_lines, write_lines

if TYPE_CHECKING:
    from torch import Tensor


def labels(trainer: Any, batches: list[Any], *_: Any) -> Iterator[tuple[Tensor, int]]:
    """The labels of the batches of an update: the target without its start symbol."""
    for batch in batches:
        yield batch["tgt"][:, 1:, 0], trainer.train_loss.padding_idx


def write_inputs(corpus: Path, folder: Path) -> None:
    """Write the vocabulary with counts and the description of the corpus."""
    words = read_lines(corpus / VOCABULARY_FILE)
    write_lines(folder / "vocab.txt", [f"{word}\t1" for word in words])
    sides = {"path_src": str(corpus / SOURCE_FILE), "path_tgt": str(corpus / TARGET_FILE)}
    description = {"data": {"train": {**sides, "transforms": [], "weight": 1}}}
    # JSON is valid YAML.
    (folder / "run.yaml").write_text(json.dumps(description), encoding="utf-8")


def arguments(options: shared.Options, folder: Path) -> list[str]:
    """The arguments of ``onmt_train`` for the common model."""
    endless = options.warmup + options.updates + 10
    settings: dict[str, object] = {
        "config": folder / "run.yaml",
        "save_data": folder / "data",
        "save_model": folder / "model",
        "src_vocab": folder / "vocab.txt",
        "tgt_vocab": folder / "vocab.txt",
        "encoder_type": "transformer",
        "decoder_type": "transformer",
        "layers": shared.LAYERS,
        "hidden_size": shared.WIDTH,
        "word_vec_size": shared.WIDTH,
        "transformer_ff": shared.HIDDEN,
        "heads": shared.HEADS,
        "dropout": shared.DROPOUT,
        "attention_dropout": options.inner_dropout,
        "label_smoothing": shared.LABEL_SMOOTHING,
        "bucket_size": LINES,
        "num_workers": 0,
        "batch_type": "tokens",
        "batch_size": options.batch_tokens,
        "normalization": "tokens",
        "optim": "adam",
        "adam_beta1": shared.BETAS[0],
        "adam_beta2": shared.BETAS[1],
        "learning_rate": shared.LEARNING_RATE,
        "decay_method": "none",
        "max_grad_norm": 0,
        "train_steps": endless,
        "save_checkpoint_steps": endless,
        "valid_steps": endless,
        "report_every": endless,
        "seed": shared.SEED,
    }
    line = ["-share_vocab", "-share_embeddings", "-share_decoder_embeddings"]
    line += ["-position_encoding", "-param_init_glorot", "-param_init", "0"]
    for name, value in settings.items():
        line += [f"-{name}", str(value)]
    return line


def train(options: shared.Options, window: shared.Window) -> None:
    """Run ``onmt_train`` in this process."""
    from onmt.bin.train import _get_parser
    from onmt.bin.train import train as onmt_train
    from onmt.trainer import Trainer

    window.watch(Trainer, "_gradient_accumulation", labels, lambda trainer: trainer.model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_inputs(options.corpus.resolve(), folder)
        onmt_train(_get_parser().parse_known_args(arguments(options, folder))[0])


if __name__ == "__main__":
    shared.unshadow()
    shared.run("OpenNMT-py", "OpenNMT-py", shared.parse_options(), train)
