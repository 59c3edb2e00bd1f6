"""`m4nmt prepare`: text files to a tokenizer and a token store, and the plan of the mixture."""

import argparse
import json

from m4nmt.cli.common import add_recipe, recipe_and_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RECIPE, --set, --run, --json."""
    add_recipe(parser)
    parser.add_argument("--json", action="store_true", help="print the plan for programs")


def run(args: argparse.Namespace) -> int:
    """Prepare and show the plan."""
    from m4nmt.data import overview
    from m4nmt.data.prepare import prepare

    config, folder = recipe_and_run(args)
    store = prepare(config.data, folder / "data")
    rows = overview.table(store, config.data, config.train.steps)
    print(json.dumps(overview.to_json(rows), indent=1) if args.json else overview.to_text(rows))
    return 0
