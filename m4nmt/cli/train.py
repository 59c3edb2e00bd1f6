"""`m4nmt train`: train a recipe, or go on with a run."""

import argparse
import sys

from m4nmt.cli.common import add_recipe, recipe_and_run

HELP = "train a recipe; the same command goes on after an interruption"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RECIPE, --set, --run, --accept-changes."""
    add_recipe(parser)
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="go on though recipe, data or tokenizer are not those of the run folder",
    )


def run(args: argparse.Namespace) -> int:
    """Train to the end, or to a signal."""
    from m4nmt.train.run import train

    config, folder = recipe_and_run(args)
    outcome = train(config, folder, args.accept_changes)
    print(f"{outcome.status} at step {outcome.step}; model: {outcome.model}", file=sys.stderr)
    return 1 if outcome.status == "failed" else 0
