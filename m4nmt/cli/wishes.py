"""What a translation is asked to say and not to say: the options, and the file of terms.

Not its job: what is promised of them (translate.wishes).
"""

import argparse
from pathlib import Path

from m4nmt.cli.lines import read_lines
from m4nmt.core.config import ConfigError
from m4nmt.core.stages import SearchConfig
from m4nmt.translate.wishes import Wish


def add_line_wishes(parser: argparse.ArgumentParser) -> None:
    """--prefix, --required: what can be asked of a line, and hardly of every text of a document."""
    parser.add_argument("--prefix", default="", help="every translation begins with this")
    _add_phrases(parser, "--required", "occurs in every translation; repeatable")


def add_wishes(parser: argparse.ArgumentParser) -> None:
    """--forbidden, --terms."""
    parser.set_defaults(prefix="", required=[])
    _add_phrases(parser, "--forbidden", "occurs in no translation; repeatable")
    parser.add_argument(
        "--terms",
        type=Path,
        metavar="FILE.tsv",
        help="a term, tab, its translation on each line: required where the term occurs",
    )


def _add_phrases(parser: argparse.ArgumentParser, option: str, says: str) -> None:
    parser.add_argument(option, action="append", default=[], metavar="PHRASE", help=says)


def wish_from(args: argparse.Namespace) -> Wish:
    """What is wished of every text.

    Raises:
        ConfigError: a blank phrase, or one that is both required and forbidden.
    """
    for name in ("required", "forbidden"):
        if not all(phrase.strip() for phrase in getattr(args, name)):
            raise ConfigError(f"--{name}: a blank phrase; write the words, in quotes")
    both = sorted(set(args.required) & set(args.forbidden))
    if both:
        raise ConfigError(f"{both[0]!r} is both --required and --forbidden; choose one")
    return Wish(args.prefix, tuple(args.required), tuple(args.forbidden))


def terms_from(args: argparse.Namespace) -> dict[str, str]:
    """{term: its translation} of the file.

    Raises:
        ConfigError: a line that is no pair, or that contradicts another; says which.
    """
    terms: dict[str, str] = {}
    if args.terms is None:
        return terms
    with args.terms.open("rb") as stream:
        for number, line in enumerate(read_lines(stream, str(args.terms)), 1):
            if not line.strip():
                continue
            pair = [field.strip() for field in line.split("\t")]
            if len(pair) != 2 or not all(pair):
                raise ConfigError(
                    f"{args.terms}, line {number}: a line is a term, a tab, and its translation; "
                    f"got {line[:60]!r}"
                )
            if terms.setdefault(*pair) != pair[1]:
                raise ConfigError(
                    f"{args.terms}, line {number}: {pair[0]!r} is to be {pair[1]!r}, but an "
                    f"earlier line says {terms[pair[0]]!r}; keep one"
                )
    if not terms:
        raise ConfigError(f"{args.terms} holds no terms")
    return terms


def check_search(wish: Wish, terms: dict[str, str], search: SearchConfig) -> None:
    """Refuse at once what would be refused at the first line in which a term occurs.

    Raises:
        ConfigError: no such search can see to phrases.
    """
    from m4nmt.translate.dispatch import SearchError, check_required

    if not (wish.required or terms):
        return
    try:
        check_required(search)
    except SearchError as error:
        raise ConfigError(str(error)) from error
