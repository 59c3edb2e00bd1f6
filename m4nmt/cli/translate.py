"""`m4nmt translate`: lines in, as many lines out."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import BinaryIO

from m4nmt.cli.decoding import add_model, add_search, load_translator, search_from
from m4nmt.translate.types import Translation

HELP = "translate standard input, line by line"
_CHUNK = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, --from, --to, search options, --scores, --json."""
    add_model(parser)
    parser.add_argument("--from", dest="src", required=True, help="language code, or auto")
    parser.add_argument("--to", dest="tgt", required=True, help="language code")
    add_search(parser)
    parser.add_argument("--scores", action="store_true", help="score, tab, translation")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Translate standard input; with --n-best each line gives up to n, led by its number."""
    translator = load_translator(args)
    search = search_from(args, translator.search)
    lines = read_lines(sys.stdin.buffer, "standard input")
    number = 0
    while chunk := list(islice(lines, _CHUNK)):
        found = translator.translate(chunk, args.src, args.tgt, search, token_scores=args.json)
        for best in found:
            number += 1
            for translation in best:
                print(_show(translation, number, search.n_best, args))
        sys.stdout.flush()
    return 0


def _show(translation: Translation, number: int, n_best: int, args: argparse.Namespace) -> str:
    """A line of output. Texts hold no tab and no line break, so the fields stay apart."""
    if args.json:
        return json.dumps({"line": number, **asdict(translation)}, ensure_ascii=False)
    fields = [str(number)] if n_best > 1 else []
    fields += [f"{translation.score:.4f}"] if args.scores else []
    return "\t".join([*fields, translation.text])


def read_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """Lines ended by \\n alone (never by U+2028 and the like), strictly UTF-8.

    Raises:
        ValueError: a line that is not UTF-8, with its number.
    """
    for number, raw in enumerate(stream, 1):
        try:
            yield raw.rstrip(b"\n").removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{name}, line {number}: not UTF-8 ({error.reason}); convert it, e.g. with iconv"
            ) from error
