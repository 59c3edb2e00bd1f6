"""`m4nmt recipes`: what ships, with sizes."""

import argparse
import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from m4nmt.core.names import Recipe, recipes
from m4nmt.model.cost import parameters
from m4nmt.train.settings import RunConfig

HELP = "list the shipped recipes with their sizes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    rows = [describe(name, function) for name, function in recipes().items()]
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    table = Table(Column("recipe", no_wrap=True), Column("params", no_wrap=True))
    for name in ("layers", "dim", "hidden", "heads", "vocab", "data"):
        table.add_column(name)
    for r in rows:
        layers = f"{r['layers'][0]}+{r['layers'][1]}"
        sizes = (r["dim"], r["hidden"], r["heads"], r["vocab"])
        millions = f"{r['parameters'] / 1e6:,.1f} M"
        table.add_row(r["name"], millions, layers, *map(str, sizes), Path(r["data"]).stem)
    Console().print(table)
    return 0


def describe(name: str, function: Recipe) -> dict[str, Any]:
    """Name, parameters, layers and widths of a recipe, counted without allocating anything."""
    config: RunConfig = function()
    model = replace(config.model, vocab=config.model.vocab or config.data.tokenizer.vocab)
    layer = model.encoder[0]
    return {
        "name": name,
        "parameters": parameters(model),
        "layers": [len(model.encoder), len(model.decoder)],
        "dim": model.dim,
        "hidden": layer.ffn.hidden,
        "heads": layer.attention.heads,
        "vocab": model.vocab,
        "data": config.data.manifest,
        "summary": inspect.getdoc(function) or "",
    }
