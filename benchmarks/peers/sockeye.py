"""Training speed of Sockeye: its own command line and trainer, watched from outside."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import window as shared
from corpus import SOURCE_FILE, TARGET_FILE, VOCABULARY_FILE, read_lines, write_lines

if TYPE_CHECKING:
    from torch import Tensor

PADDING = 0
SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")
VALIDATION_LINES = 20


def labels(trainer: Any, batch: Any) -> Iterator[tuple[Tensor, int]]:
    """The labels of a batch: target words and the end symbol."""
    yield batch.labels["target_label"], PADDING


def write_inputs(corpus: Path, folder: Path) -> None:
    """Write the vocabulary in Sockeye's form and a validation set, which it insists on."""
    words = [*SPECIALS, *read_lines(corpus / VOCABULARY_FILE)]
    index = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(index), encoding="utf-8")
    for name in (SOURCE_FILE, TARGET_FILE):
        write_lines(folder / f"valid-{name}", read_lines(corpus / name)[:VALIDATION_LINES])


def arguments(options: shared.Options, folder: Path) -> list[str]:
    """The arguments of ``sockeye-train`` for the common model."""
    inner = options.inner_dropout
    endless = options.warmup + options.updates + 10
    settings: dict[str, object] = {
        "source": options.corpus / SOURCE_FILE,
        "target": options.corpus / TARGET_FILE,
        "validation-source": folder / f"valid-{SOURCE_FILE}",
        "validation-target": folder / f"valid-{TARGET_FILE}",
        "source-vocab": folder / "vocab.json",
        "target-vocab": folder / "vocab.json",
        "output": folder / "model",
        "num-layers": shared.LAYERS,
        "transformer-model-size": shared.WIDTH,
        "transformer-feed-forward-num-hidden": shared.HIDDEN,
        "transformer-attention-heads": shared.HEADS,
        "weight-tying-type": "src_trg_softmax",
        "embed-dropout": shared.DROPOUT,
        "transformer-dropout-prepost": shared.DROPOUT,
        "transformer-dropout-attention": inner,
        "transformer-dropout-act": inner,
        "label-smoothing": shared.LABEL_SMOOTHING,
        "batch-type": "word",
        "batch-size": options.batch_tokens,
        "optimizer": "adam",
        "optimizer-betas": ":".join(map(str, shared.BETAS)),
        "optimizer-eps": shared.EPSILON,
        "initial-learning-rate": shared.LEARNING_RATE,
        "learning-rate-scheduler-type": "none",
        "gradient-clipping-type": "none",
        "checkpoint-interval": endless,
        "max-updates": endless,
        "decode-and-evaluate": 0,
        "seed": shared.SEED,
    }
    line = ["--shared-vocab", "--use-cpu", "--no-logfile"]
    for name, value in settings.items():
        line += [f"--{name}", str(value)]
    return line


def train(options: shared.Options, window: shared.Window) -> None:
    """Run ``sockeye-train`` in this process."""
    from sockeye import arguments as command_line
    from sockeye.train import train as sockeye_train
    from sockeye.training import EarlyStoppingTrainer

    window.watch(EarlyStoppingTrainer, "_step", labels, lambda trainer: trainer.sockeye_model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_inputs(options.corpus, folder)
        parser = command_line.ConfigArgumentParser()
        command_line.add_train_cli_args(parser)
        sockeye_train(parser.parse_args(arguments(options, folder)))


if __name__ == "__main__":
    shared.unshadow()
    shared.run("Sockeye", "sockeye", shared.parse_options(), train)
