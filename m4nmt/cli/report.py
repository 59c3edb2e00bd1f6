"""`m4nmt report`: draw the report of an evaluated run again."""

import argparse
from pathlib import Path

from m4nmt.cli.common import existing_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN."""
    parser.add_argument("model", type=Path, metavar="RUN", help="an evaluated run folder")


def run(args: argparse.Namespace) -> int:
    """Render report/report.json and print where the page lies."""
    from m4nmt.evaluate.report import load, write

    folder = existing_run(args.model) / "report"
    write(load(folder / "report.json"), folder)
    print(folder / "index.html")
    return 0
