"""Options of decoding that several verbs share. What is theirs alone stands with the verb."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from m4nmt.cli.common import existing_run
from m4nmt.core.config import ConfigError
from m4nmt.core.stages import SearchConfig

_DRAWS = ("temperature", "top_k", "top_p", "seed")
_OTHERS = ("beam", "n_best", "length_alpha", "max_ratio", "max_extra", "groups", "diversity")
_SEARCH = (*_DRAWS, *_OTHERS, "coverage", "risk", "batch_tokens")


def add_model(parser: argparse.ArgumentParser) -> None:
    """RUN, --device, --precision, --threads, --engine."""
    parser.set_defaults(ensemble=[])
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
    """The options of SearchConfig that people change at the command line, but for `n_best`."""
    parser.set_defaults(n_best=None)
    parser.add_argument("--beam", type=int, help="hypotheses per sentence; 1 is greedy")
    parser.add_argument("--length-alpha", type=float, help="length penalty exponent")
    parser.add_argument(
        "--max-ratio", type=float, help="most tokens of a translation for each token of its source"
    )
    parser.add_argument("--max-extra", type=int, help="and so many more")
    parser.add_argument("--groups", type=int, help="diverse beam search: groups of beams")
    parser.add_argument(
        "--diversity", type=float, help="how much groups keep off each other's words, in nats"
    )
    parser.add_argument("--coverage", type=float, help="weight of the coverage penalty; 0 is off")
    parser.add_argument(
        "--risk",
        choices=("chrf", "bleu"),
        help="minimum-risk decoding: of the beam, or of the draws, the one nearest to all",
    )
    parser.add_argument(
        "--sample", action="store_true", help="draw instead of searching (--beam counts draws)"
    )
    parser.add_argument("--temperature", type=float, help="of draws; below 1 is surer")
    parser.add_argument("--top-k", type=int, help="draw from the k likeliest tokens; 0: all")
    parser.add_argument("--top-p", type=float, help="draw from the likeliest with this mass")
    parser.add_argument("--seed", type=int, help="of draws")
    parser.add_argument("--batch-tokens", type=int, help="decoded together, beams included")


def add_n_best(parser: argparse.ArgumentParser) -> None:
    """--n-best, where more than one translation is shown."""
    parser.add_argument(
        "--n-best",
        type=int,
        help="up to so many different translations per line, each led by the line's number",
    )


def add_ensemble(parser: argparse.ArgumentParser) -> None:
    """--ensemble."""
    parser.add_argument(
        "--ensemble",
        action="append",
        default=[],
        type=Path,
        metavar="RUN",
        help="one more model, with the same tokenizer, to decode with as one; repeatable",
    )


def add_domain(parser: argparse.ArgumentParser) -> None:
    """--domain."""
    parser.add_argument(
        "--domain",
        default="",
        metavar="NAME",
        help="what the text is about, as the manifest of the training data named it; "
        "m4nmt languages RUN lists those that a model knows",
    )


def load_translator(args: argparse.Namespace) -> Any:
    """The Translator that the options ask for."""
    from m4nmt.translate.translator import Translator

    more = map(existing_run, args.ensemble)
    return Translator.load(
        [existing_run(args.model), *more],
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        engine=args.engine,
    )


def search_from(args: argparse.Namespace, base: SearchConfig) -> SearchConfig:
    """The recipe's search settings with the command line's changes.

    Raises:
        ConfigError: options that make no sense together.
    """
    changes = {k: getattr(args, k) for k in _SEARCH if getattr(args, k) is not None}
    if args.sample:
        changes["sample"] = True
    if changes.get("n_best", 0) > changes.get("beam", base.beam):
        changes["beam"] = changes["n_best"]
    try:
        search = replace(base, **changes)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    idle = [name for name in _DRAWS if name in changes and not search.sample]
    if idle:
        raise ConfigError(f"{_option(idle[0])} is of draws: add --sample, or leave it out")
    if "diversity" in changes and search.groups == 1:
        raise ConfigError("--diversity is between groups: add --groups 2 or more, or leave it out")
    return search


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
