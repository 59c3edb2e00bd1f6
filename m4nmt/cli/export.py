"""`m4nmt export`: a model in another program's format."""

import argparse
from pathlib import Path

from m4nmt.cli.common import existing_run

HELP = "write a model for CTranslate2, which translates faster on CPUs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, --to, --quantize, --output."""
    parser.add_argument("model", type=Path, metavar="RUN", help="run folder or model folder")
    parser.add_argument("--to", required=True, choices=("ctranslate2",), help="format")
    parser.add_argument(
        "--quantize", default="float32", metavar="KIND", help="int8, int16, float16, bfloat16, ..."
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="new folder (default: ctranslate2-KIND in the model folder, where translate and "
        "serve find it)",
    )


def run(args: argparse.Namespace) -> int:
    """Export, and print the folder.

    Raises:
        ConfigError: a model that the format cannot express, an unknown kind of number, or a folder
            that holds something else.
    """
    from m4nmt.checkpoint.model import load_model
    from m4nmt.exchange.folder import beside, write_export

    loaded = load_model(existing_run(args.model))
    folder = args.output or beside(loaded.folder, args.quantize)
    write_export(loaded, folder, args.quantize)
    print(folder)
    return 0
