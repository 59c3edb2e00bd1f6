"""`m4nmt languages`: what a model, or a corpus, speaks."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from m4nmt.cli.common import existing_run
from m4nmt.data import language

HELP = "list the languages of a model with their codes and names"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, --json."""
    parser.add_argument("model", type=Path, metavar="RUN", help="run folder or model folder")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print one row a language."""
    from m4nmt.checkpoint.model import load_card, model_folder

    card = load_card(model_folder(existing_run(args.model)))
    rows = [
        {
            "code": code,
            "bcp47": language.to_bcp47(code),
            "name": language.display_name(code),
            "native": language.native_name(code),
            "directions_into": sum(d.endswith(f"-{code}") for d in card.directions),
            "directions_from": sum(d.startswith(f"{code}-") for d in card.directions),
        }
        for code in card.languages
    ]
    if args.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return 0
    table = Table("code", "BCP-47", "name", "own name", "into", "from")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    return 0
