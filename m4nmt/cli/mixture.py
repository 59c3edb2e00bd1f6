"""`m4nmt mixture`: how often a recipe or a run draws each direction, and how T would change it."""

import argparse
import json
from pathlib import Path

from m4nmt.cli.common import add_recipe, recipe_and_run
from m4nmt.core.config import ConfigError, from_dict, override, parse_json
from m4nmt.train.settings import RunConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RECIPE or RUN, --set, --run, --html, --json."""
    add_recipe(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help="draw it on one page")
    parser.add_argument("--json", action="store_true", help="print it for programs")


def run(args: argparse.Namespace) -> int:
    """Read the sizes from the prepared data; nothing is prepared here."""
    from m4nmt.data import overview, picture
    from m4nmt.data.store import Store

    config, folder = _config(args)
    store = Store.open(folder / "data")
    overview.check(store, config.data)
    rows = overview.table(store, config.data, config.train.steps)
    made = picture.Picture.of(config.name, rows)
    if args.html:
        args.html.write_text(picture.page(made), "utf-8")
    print(json.dumps(made.to_json(), indent=1) if args.json else overview.to_text(rows))
    return 0


def _config(args: argparse.Namespace) -> tuple[RunConfig, Path]:
    """The recipe, or that of a run folder, and the folder."""
    saved = Path(args.recipe) / "config.json"
    if not saved.is_file() and (saved.parent / "data").is_dir():
        raise ConfigError(
            f"{saved.parent} was prepared, not trained, and does not tell its recipe: give that, "
            f"and --run {saved.parent}"
        )
    if not saved.is_file():
        return recipe_and_run(args)
    data = parse_json(saved.read_text("utf-8"), str(saved))
    config = from_dict(RunConfig, data, str(saved))
    return override(config, args.set), args.run or Path(args.recipe)
