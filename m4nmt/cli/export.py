"""`m4nmt export`: a model in another program's format."""

import argparse
from pathlib import Path

from m4nmt.cli.common import existing_run
from m4nmt.core.config import ConfigError

FORMATS = ("ctranslate2", "huggingface")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, --to, --quantize, --output."""
    parser.add_argument("model", type=Path, metavar="RUN", help="run folder or model folder")
    parser.add_argument("--to", required=True, choices=FORMATS, help="format")
    parser.add_argument(
        "--quantize",
        metavar="KIND",
        help="of CTranslate2: float32 (the default), int8, int16, float16, bfloat16, ...",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="new folder (default: ctranslate2-KIND in the model folder, where translate and "
        "serve find it, or huggingface there)",
    )


def run(args: argparse.Namespace) -> int:
    """Export, and print the folder.

    Raises:
        ConfigError: a model that the format cannot express, an unknown kind of number, or a folder
            that holds something else.
    """
    from m4nmt.checkpoint.model import load_model

    if args.to == "huggingface" and args.quantize:
        raise ConfigError("--quantize is of CTranslate2; transformers reads fp32 and quantises")
    loaded = load_model(existing_run(args.model))
    if args.to == "huggingface":
        from m4nmt.exchange import huggingface_folder

        folder = args.output or loaded.folder / huggingface_folder.FOLDER
        huggingface_folder.write_folder(loaded, folder)
    else:
        from m4nmt.exchange.folder import beside, write_export

        quantization = args.quantize or "float32"
        folder = args.output or beside(loaded.folder, quantization)
        write_export(loaded, folder, quantization)
    print(folder)
    return 0
