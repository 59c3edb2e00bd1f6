"""Options of decoding that `translate`, `score`, `evaluate` and `serve` share."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from m4nmt.cli.common import existing_run
from m4nmt.core.stages import SearchConfig

_SEARCH = ("beam", "n_best", "length_alpha", "temperature", "top_k", "top_p", "seed")


def add_model(parser: argparse.ArgumentParser) -> None:
    """RUN, --device, --precision, --threads, --engine."""
    parser.add_argument("model", type=Path, metavar="RUN", help="run, model or export folder")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument(
        "--precision", default="fp32", choices=("fp32", "bf16", "fp16", "int8", "auto")
    )
    parser.add_argument("--threads", type=int, default=0, help="math threads (0: the default)")
    parser.add_argument(
        "--engine",
        default="auto",
        choices=("auto", "native", "ctranslate2"),
        help="auto: CTranslate2 on a CPU where it is installed and knows the model's parts",
    )


def add_search(parser: argparse.ArgumentParser) -> None:
    """The options of SearchConfig that people change at the command line."""
    parser.add_argument("--beam", type=int, help="hypotheses per sentence; 1 is greedy")
    parser.add_argument(
        "--n-best",
        type=int,
        help="up to so many different translations per line, each led by the line's number",
    )
    parser.add_argument("--length-alpha", type=float, help="length penalty exponent")
    parser.add_argument("--sample", action="store_true", help="draw instead of searching")
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--seed", type=int)


def load_translator(args: argparse.Namespace) -> Any:
    """The Translator that the options ask for."""
    from m4nmt.translate.translator import Translator

    return Translator.load(
        existing_run(args.model),
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        engine=args.engine,
    )


def search_from(args: argparse.Namespace, base: SearchConfig) -> SearchConfig:
    """The recipe's search settings with the command line's changes."""
    changes = {k: getattr(args, k) for k in _SEARCH if getattr(args, k) is not None}
    if args.sample:
        changes["sample"] = True
    if changes.get("n_best", 0) > changes.get("beam", base.beam):
        changes["beam"] = changes["n_best"]
    return replace(base, **changes)
