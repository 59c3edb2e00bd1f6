"""What several verbs share: a recipe with changes, and the folder of a run."""

import argparse
from pathlib import Path

from m4nmt.core.config import ConfigError, override
from m4nmt.core.names import recipe
from m4nmt.train.settings import RunConfig


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """RECIPE, --set and --run."""
    parser.add_argument("recipe", help="name of a shipped recipe, or file.py:function")
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=V", help="change an option; repeatable"
    )
    parser.add_argument("--run", type=Path, metavar="DIR", help="run folder (default: runs/NAME)")


def recipe_and_run(args: argparse.Namespace) -> tuple[RunConfig, Path]:
    """The resolved recipe and its run folder.

    Raises:
        ConfigError: unknown recipe, or a change that does not fit.
    """
    config = recipe(args.recipe)()
    if not isinstance(config, RunConfig):
        raise ConfigError(f"recipe {args.recipe!r} returned {type(config).__name__}, not RunConfig")
    config = override(config, args.set)
    return config, args.run or Path("runs") / config.name


def existing_run(path: Path) -> Path:
    """A run or model folder given on the command line.

    Raises:
        ConfigError: no such folder; names those that exist.
    """
    if path.is_dir():
        return path
    beside = Path("runs") / path
    if beside.is_dir():
        return beside
    known = sorted(p.name for p in Path("runs").iterdir()) if Path("runs").is_dir() else []
    hint = f"; runs/ holds: {', '.join(known)}" if known else ""
    raise ConfigError(f"there is no run or model folder {path}{hint}")
