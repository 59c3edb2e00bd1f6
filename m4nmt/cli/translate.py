"""`m4nmt translate`: lines in, as many lines out."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from m4nmt.cli.decoding import add_n_best
from m4nmt.cli.lines import read_lines
from m4nmt.cli.marks import Marked
from m4nmt.cli.translating import Translating, add_translating
from m4nmt.cli.wishes import add_line_wishes
from m4nmt.translate.types import Translation
from m4nmt.translate.wishes import WishError

_CHUNK = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, how to translate, --n-best, wishes of each line, --scores or --json."""
    add_translating(parser)
    add_n_best(parser)
    add_line_wishes(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--scores", action="store_true", help="score, tab, translation")
    shown.add_argument(
        "--json",
        action="store_true",
        help="a JSON object for each line: its translations with scores, confidence, marks, "
        "alignment and tokens",
    )


def run(args: argparse.Namespace) -> int:
    """Translate standard input; with --n-best each line gives up to n, led by its number. Lines
    that went wrong are told on standard error."""
    translator = Translating(args)
    marked = Marked()
    try:
        for number, best in _translated(translator, args):
            marked.add(number, best[0].marks)
            _show(best, number, translator.search.n_best, args)
    finally:
        if not args.json:
            marked.tell(sys.stderr)
    return 0


def _translated(
    translator: Translating, args: argparse.Namespace
) -> Iterator[tuple[int, list[Translation]]]:
    """(number, n-best translations) of each line."""
    lines = read_lines(sys.stdin.buffer, "standard input")
    number = 0
    while chunk := list(islice(lines, _CHUNK)):
        try:
            found = translator.translate(
                chunk, args.src, args.tgt, token_scores=args.json, align=args.json
            )
        except WishError as error:
            if error.text is None:
                raise
            raise WishError(
                f"standard input, line {number + error.text + 1}: {error.why}"
            ) from error
        for best in found:
            number += 1
            yield number, best
        sys.stdout.flush()


def _show(best: Sequence[Translation], number: int, n_best: int, args: argparse.Namespace) -> None:
    """Texts hold no tab and no line break, so the fields stay apart."""
    if args.json:
        shown = {"line": number, "options": [_for_programs(translation) for translation in best]}
        print(json.dumps(shown, ensure_ascii=False))
        return
    for translation in best:
        fields = [str(number)] if n_best > 1 else []
        fields += [f"{translation.score:.4f}"] if args.scores else []
        print("\t".join([*fields, translation.text]))


def _for_programs(t: Translation) -> dict[str, Any]:
    """Positions are of characters, [begin, end)."""
    links = [
        {"source": [x.source_begin, x.source_end], "target": [x.target_begin, x.target_end]}
        for x in t.alignment
    ]
    tokens = zip(t.tokens, t.token_scores, strict=True)
    return {
        "text": t.text,
        "score": t.score,
        "confidence": t.confidence,
        "least": t.least,
        "utility": t.utility,
        "finished": t.finished,
        "marks": t.marks,
        "alignment": links,
        "tokens": [{"text": text, "score": score} for text, score in tokens],
    }
