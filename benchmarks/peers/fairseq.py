"""Training speed of fairseq: its own command line and trainer, watched from outside.

The installed package must have been mended by ``mend_fairseq.py``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import window as shared
from corpus import SOURCE_FILE, TARGET_FILE, VOCABULARY_FILE, read_lines, write_lines

if TYPE_CHECKING:
    from torch import Tensor

VALIDATION_LINES = 20


def labels(trainer: Any, samples: list[Any], *_: Any) -> Iterator[tuple[Tensor, int]]:
    """The labels of the batches of an update."""
    for sample in samples:
        if sample:
            yield sample["target"], trainer.task.target_dictionary.pad()


def binarise(corpus: Path, folder: Path) -> None:
    """Run ``fairseq-preprocess`` with the given vocabulary.

    The trainer insists on loading a validation set, even where it never uses it.
    """
    from fairseq import options as command_line
    from fairseq_cli.preprocess import main as preprocess

    dictionary = folder / "words.txt"
    write_lines(dictionary, [f"{word} 1" for word in read_lines(corpus / VOCABULARY_FILE)])
    for side in (SOURCE_FILE, TARGET_FILE):
        valid = folder / side.replace("train", "valid")
        write_lines(valid, read_lines(corpus / side)[:VALIDATION_LINES])
    line = ["--source-lang", "src", "--target-lang", "tgt", "--joined-dictionary"]
    line += ["--trainpref", str(corpus / "train"), "--validpref", str(folder / "valid")]
    line += ["--srcdict", str(dictionary)]
    line += ["--destdir", str(folder / "data"), "--workers", "1"]
    preprocess(command_line.get_preprocessing_parser().parse_args(line))


def arguments(options: shared.Options, folder: Path) -> list[str]:
    """The arguments of ``fairseq-train`` for the common model."""
    inner = options.inner_dropout
    settings: dict[str, object] = {
        "task": "translation",
        "source-lang": "src",
        "target-lang": "tgt",
        "arch": "transformer",
        "dropout": shared.DROPOUT,
        "attention-dropout": inner,
        "activation-dropout": inner,
        "criterion": "label_smoothed_cross_entropy",
        "label-smoothing": shared.LABEL_SMOOTHING,
        "max-tokens": options.batch_tokens,
        "num-workers": 0,
        "optimizer": "adam",
        "adam-betas": repr(shared.BETAS),
        "adam-eps": shared.EPSILON,
        "lr": shared.LEARNING_RATE,
        "lr-scheduler": "fixed",
        "clip-norm": 0.0,
        "max-update": options.warmup + options.updates + 10,
        "log-format": "none",
        "seed": shared.SEED,
    }
    for side in ("encoder", "decoder"):
        settings[f"{side}-layers"] = shared.LAYERS
        settings[f"{side}-embed-dim"] = shared.WIDTH
        settings[f"{side}-ffn-embed-dim"] = shared.HIDDEN
        settings[f"{side}-attention-heads"] = shared.HEADS
    line = [str(folder / "data"), "--share-all-embeddings", "--encoder-normalize-before"]
    line += ["--decoder-normalize-before", "--cpu", "--no-save", "--disable-validation"]
    for name, value in settings.items():
        line += [f"--{name}", str(value)]
    return line


def train(options: shared.Options, window: shared.Window) -> None:
    """Run ``fairseq-preprocess`` and ``fairseq-train`` in this process."""
    from fairseq import options as command_line
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.distributed import utils as distributed
    from fairseq.trainer import Trainer
    from fairseq_cli.train import main as fairseq_train

    window.watch(Trainer, "train_step", labels, lambda trainer: trainer.model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        binarise(options.corpus, folder)
        parser = command_line.get_training_parser()
        line = command_line.parse_args_and_arch(parser, input_args=arguments(options, folder))
        distributed.call_main(convert_namespace_to_omegaconf(line), fairseq_train)


if __name__ == "__main__":
    shared.unshadow()
    shared.run("fairseq", "fairseq", shared.parse_options(), train)
