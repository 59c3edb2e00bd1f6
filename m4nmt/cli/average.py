"""`m4nmt average`: one model from several checkpoints of the same model."""

import argparse
from dataclasses import replace
from pathlib import Path

from m4nmt.cli.common import existing_run
from m4nmt.core.config import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """FOLDER..., --output."""
    parser.add_argument("folders", nargs="+", type=Path, help="model folders, two or more")
    parser.add_argument("--output", type=Path, required=True, help="new model folder")


def run(args: argparse.Namespace) -> int:
    """Write the mean of the weights with the first folder's card."""
    from m4nmt.checkpoint.average import average
    from m4nmt.checkpoint.model import load_model, model_folder, save_model

    if args.output.exists():
        raise ConfigError(f"--output {args.output} is there already; choose a new folder")
    folders = [model_folder(existing_run(folder)) for folder in args.folders]
    if len(folders) < 2:
        raise ConfigError("give two or more folders; the average of one is itself")
    weights = average(folders)
    first = load_model(folders[0])
    card = replace(first.card, name=f"{first.card.name}-average", scores={})
    save_model(args.output, weights, card, first.folder)
    print(args.output)
    return 0
