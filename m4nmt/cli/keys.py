"""`m4nmt keys`: the file of API keys that `m4nmt serve --keys` reads.

Not its job: checking keys of requests (the service does, and reads the file anew when it changes).
"""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from m4nmt.core.config import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """add FILE NAME, list FILE, remove FILE NAME."""
    deeds = parser.add_subparsers(dest="deed", metavar="DEED", required=True)
    add = deeds.add_parser("add", help="make a key and print it: it is shown this once")
    add.add_argument("file", type=Path, metavar="FILE", help="made if there is none")
    add.add_argument("name", metavar="NAME", help="whose key it is")
    add.add_argument(
        "--chars",
        type=int,
        default=0,
        metavar="N",
        help="characters it may have translated in a calendar month (UTC); 0: any number",
    )
    add.add_argument(
        "--per-minute",
        type=int,
        default=0,
        metavar="N",
        help="requests a minute, of which a quarter may come at once; 0: any number",
    )
    shown = deeds.add_parser("list", help="names and limits; the keys themselves are not kept")
    shown.add_argument("file", type=Path, metavar="FILE")
    shown.add_argument("--json", action="store_true", help="for programs")
    remove = deeds.add_parser("remove", help="take a key back; a running service heeds it at once")
    remove.add_argument("file", type=Path, metavar="FILE")
    remove.add_argument("name", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Do it.

    Raises:
        ConfigError: the serve extra is not installed, the file cannot be used, a name is there
            already or not at all.
    """
    try:
        keys = importlib.import_module("m4nmt_serve.keys")
    except ImportError as error:
        raise ConfigError(f"{error}; install the service: pip install 'm4nmt[serve]'") from error
    match args.deed:
        case "add":
            try:
                print(keys.add(args.file, args.name, args.chars, args.per_minute))
            except ValueError as error:
                raise ConfigError(str(error)) from error
        case "remove":
            keys.remove(args.file, args.name)
        case _:
            _list(keys.read(args.file).keys, args.json)
    return 0


def _list(keys: Any, as_json: bool) -> None:
    rows = [
        {"name": key.name, "chars_per_month": key.chars_per_month, "per_minute": key.per_minute}
        for key in keys
    ]
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    table = Table("name", "characters a month", "requests a minute")
    for row in rows:
        name, *limits = row.values()
        table.add_row(str(name), *(str(limit or "any") for limit in limits))
    Console().print(table)
