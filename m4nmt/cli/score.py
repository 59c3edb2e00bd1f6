"""`m4nmt score`: how likely given translations are under a model."""

import argparse
from pathlib import Path

from m4nmt.cli.decoding import add_domain, add_ensemble, add_model, load_translator
from m4nmt.cli.lines import read_lines
from m4nmt.core.config import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, --ensemble, --domain, --from, --to, SOURCE, TARGET."""
    add_model(parser)
    add_ensemble(parser)
    add_domain(parser)
    parser.add_argument("--from", dest="src", required=True, help="language code, or auto")
    parser.add_argument("--to", dest="tgt", required=True, help="language code")
    parser.add_argument("source", type=Path, help="text file, one sentence a line")
    parser.add_argument("target", type=Path, help="its translations, line by line")


def run(args: argparse.Namespace) -> int:
    """Print one number a line: the sum of log p over the pieces and the end, in nats."""
    sources, targets = _lines(args.source), _lines(args.target)
    if len(sources) != len(targets):
        raise ConfigError(
            f"{args.source} has {len(sources)} lines but {args.target} has {len(targets)}; "
            "they must be line-aligned"
        )
    translator = load_translator(args)
    for value in translator.score(sources, targets, args.src, args.tgt, args.domain):
        print(f"{value:.4f}")
    return 0


def _lines(path: Path) -> list[str]:
    with path.open("rb") as stream:
        return list(read_lines(stream, str(path)))
