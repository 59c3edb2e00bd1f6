"""`m4nmt translate-file`: a document in, the same document in another language out."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from m4nmt.cli.decoding import add_model, add_search, load_translator, search_from
from m4nmt.core.files import write_atomic
from m4nmt.core.progress import progress

HELP = "translate a document: text, Markdown, HTML, Word, subtitles, PO, XLIFF"
_SHOWN = 10  # doubts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, IN, OUT, --from, --to, search options."""
    add_model(parser)
    parser.add_argument("input", type=Path, metavar="IN", help="its ending tells the format")
    parser.add_argument("output", type=Path, metavar="OUT")
    parser.add_argument("--from", dest="src", required=True, help="language code, or auto")
    parser.add_argument("--to", dest="tgt", required=True, help="language code")
    add_search(parser)


class _Searching:
    """A translator that decodes as the command line says."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._translator = load_translator(args)
        self._search = search_from(args, self._translator.search)

    def translate(
        self,
        texts: Sequence[str],
        src: str,
        tgt: str,
        *,
        align: bool,
        cancelled: Callable[[], bool] | None,
    ) -> Any:
        """As Translator.translate."""
        return self._translator.translate(
            texts, src, tgt, self._search, align=align, cancelled=cancelled
        )


def run(args: argparse.Namespace) -> int:
    """Translate IN to OUT; says which texts a person should look at.

    Raises:
        DocumentError: a document that is not to be translated; OUT is not touched.
    """
    from m4nmt.documents.fill import Watch
    from m4nmt.documents.formats import format_of
    from m4nmt.documents.translate import translate_document
    from m4nmt.documents.types import DocumentError

    if format_of(args.input.name) != format_of(args.output.name):
        raise DocumentError(f"{args.output} has the ending of another format than {args.input}")
    data = args.input.read_bytes()
    translator = _Searching(args)
    with progress(f"translating {args.input.name}") as bar:
        before = 0

        def told(done: int, total: int) -> None:
            nonlocal before
            bar.advance(done - before, f"of {total} texts")
            before = done

        watch = Watch(progress=told)
        out = translate_document(data, args.input.name, args.src, args.tgt, translator, watch=watch)
    write_atomic(args.output, out)
    _show(watch.doubts)
    return 0


def _show(doubts: Sequence[Any]) -> None:
    """On standard error, since the document is the output."""
    for doubt in doubts[:_SHOWN]:
        text = doubt.text if len(doubt.text) <= 60 else f"{doubt.text[:59]}…"
        print(f"look at {text!r}: {doubt.why}", file=sys.stderr)
    if len(doubts) > _SHOWN:
        print(f"and at {len(doubts) - _SHOWN} more", file=sys.stderr)
