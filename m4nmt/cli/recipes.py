"""`m4nmt recipes`: what ships, with sizes."""

import argparse
import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from m4nmt.cli.table import table
from m4nmt.core.names import Recipe, recipes
from m4nmt.model.cost import parameters
from m4nmt.train.settings import RunConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    rows = [describe(name, function) for name, function in recipes().items()]
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    head = ("recipe", "params", "layers", "dim", "hidden", "heads", "vocab", "data")
    print(table(head, [_row(described) for described in rows], right=head[1:-1]))
    return 0


def _row(described: dict[str, Any]) -> list[str]:
    """Of the table; what `describe` tells."""
    layers = "+".join(map(str, described["layers"]))
    sizes = [str(described[key]) for key in ("dim", "hidden", "heads", "vocab")]
    millions = f"{described['parameters'] / 1e6:,.1f} M"
    return [described["name"], millions, layers, *sizes, Path(described["data"]).stem]


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
