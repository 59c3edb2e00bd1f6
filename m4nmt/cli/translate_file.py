"""`m4nmt translate-file`: a document in, the same document in another language out."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from m4nmt.cli.marks import MEANINGS
from m4nmt.cli.translating import Translating, add_translating
from m4nmt.core.files import write_atomic
from m4nmt.core.progress import progress
from m4nmt.translate.types import Translation
from m4nmt.translate.wishes import WishError

_SHOWN = 10  # texts to look at


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, IN, OUT, how to translate."""
    add_translating(parser)
    parser.add_argument("input", type=Path, metavar="IN", help="its ending tells the format")
    parser.add_argument("output", type=Path, metavar="OUT")


class _Listening:
    """A translator whose marks are kept.

    Attributes:
        marked: (text, why a person should look at it).
    """

    def __init__(self, translator: Translating) -> None:
        self._translator = translator
        self.marked: list[tuple[str, str]] = []

    def translate(
        self,
        texts: Sequence[str],
        src: str,
        tgt: str,
        *,
        align: bool,
        cancelled: Callable[[], bool] | None,
    ) -> list[list[Translation]]:
        """As Translator.translate."""
        try:
            found = self._translator.translate(texts, src, tgt, align=align, cancelled=cancelled)
        except WishError as error:  # a number of a text means nothing to whoever sees documents
            raise WishError(error.why) from error
        for text, (best, *_) in zip(texts, found, strict=True):
            self.marked += ((text, MEANINGS.get(mark, mark)) for mark in best.marks)
        return found


def run(args: argparse.Namespace) -> int:
    """Translate IN to OUT; says which texts a person should look at.

    Raises:
        DocumentError: a document that is not to be translated; OUT is not touched.
        WishError: a wish that cannot be granted; OUT is not touched.
    """
    from m4nmt.documents.fill import Watch
    from m4nmt.documents.formats import format_of
    from m4nmt.documents.translate import translate_document
    from m4nmt.documents.types import DocumentError

    if format_of(args.input.name) != format_of(args.output.name):
        raise DocumentError(f"{args.output} has the ending of another format than {args.input}")
    data = args.input.read_bytes()
    translator = _Listening(Translating(args))
    with progress(f"translating {args.input.name}") as bar:
        before = 0

        def told(done: int, total: int) -> None:
            nonlocal before
            bar.advance(done - before, f"of {total} texts")
            before = done

        watch = Watch(progress=told)
        out = translate_document(data, args.input.name, args.src, args.tgt, translator, watch=watch)
    write_atomic(args.output, out)
    _show([*((doubt.text, doubt.why) for doubt in watch.doubts), *translator.marked])
    return 0


def _show(doubts: Iterable[tuple[str, str]]) -> None:
    """Texts, each once, and why to look at them; on standard error, since the document is the
    output."""
    reasons: dict[str, list[str]] = {}
    for text, why in dict.fromkeys(doubts):
        reasons.setdefault(text, []).append(why)
    for text, whys in islice(reasons.items(), _SHOWN):
        short = text if len(text) <= 60 else f"{text[:59]}…"
        print(f"look at {short!r}: {'; '.join(whys)}", file=sys.stderr)
    if len(reasons) > _SHOWN:
        print(f"and at {len(reasons) - _SHOWN} more", file=sys.stderr)
