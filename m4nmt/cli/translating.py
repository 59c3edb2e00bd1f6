"""What `m4nmt translate` and `m4nmt translate-file` share: options, and a translator that keeps to
them.

Not its job: lines (translate), documents (translate_file).
"""

import argparse
from collections.abc import Sequence
from typing import Any

from m4nmt.cli.decoding import (
    add_domain,
    add_ensemble,
    add_model,
    add_search,
    load_translator,
    search_from,
)
from m4nmt.cli.wishes import add_wishes, check_search, terms_from, wish_from
from m4nmt.translate.types import Translation


def add_translating(parser: argparse.ArgumentParser) -> None:
    """RUN, --ensemble, --from, --to, --domain, search options, wishes, --no-guard."""
    add_model(parser)
    add_ensemble(parser)
    parser.add_argument("--from", dest="src", required=True, help="language code, or auto")
    parser.add_argument("--to", dest="tgt", required=True, help="language code")
    add_domain(parser)
    add_search(parser)
    add_wishes(parser)
    parser.add_argument(
        "--no-guard",
        action="store_true",
        help="neither mark what went wrong nor search it again",
    )


class Translating:
    """A translator that does as the command line says.

    Attributes:
        search: how it decodes.

    Raises:
        ConfigError: options, or a file of terms, that make no sense.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        wish, terms = wish_from(args), terms_from(args)
        self._translator = load_translator(args)
        self.search = search_from(args, self._translator.search)
        check_search(wish, terms, self.search)
        self._options: dict[str, Any] = {"wishes": wish, "terms": terms, "domain": args.domain}
        if args.no_guard:
            self._options["guard"] = None

    def translate(
        self, texts: Sequence[str], src: str, tgt: str, **more: Any
    ) -> list[list[Translation]]:
        """As Translator.translate, which takes `more`."""
        found: list[list[Translation]] = self._translator.translate(
            texts, src, tgt, self.search, **self._options, **more
        )
        return found
