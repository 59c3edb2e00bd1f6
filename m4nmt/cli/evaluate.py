"""`m4nmt evaluate`: translate test sets and score them."""

import argparse
from dataclasses import replace
from pathlib import Path

from m4nmt.cli.common import existing_run
from m4nmt.cli.decoding import add_model, add_search

HELP = "score a run on its test sets: BLEU, chrF++, spBLEU and a report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, --split, --sentences, --directions, --metrics, search options, --json."""
    add_model(parser)
    add_search(parser)
    parser.add_argument("--split", choices=("dev", "test"))
    parser.add_argument("--sentences", type=int, help="at most this many per direction; 0: all")
    parser.add_argument("--directions", nargs="+", metavar="PATTERN", help="e.g. 'eng_Latn-*'")
    parser.add_argument("--metrics", nargs="+", choices=("bleu", "chrf", "spbleu"))
    parser.add_argument("--output", type=Path, help="folder of the report (default: RUN/report)")
    parser.add_argument("--json", action="store_true", help="print the report for programs")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print a table."""
    return 0
