"""`m4nmt <verb>`: finds the verb, runs it, and turns errors into one line and an exit code.

Exit codes: 0 good, 1 failed, 2 wrong use; of `train` also 75: another process hangs or is gone.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.logging import RichHandler

from m4nmt import __version__
from m4nmt.core.config import ConfigError
from m4nmt.core.files import FolderLockedError
from m4nmt.core.progress import console

VERBS = {
    "quickstart": "build a corpus, train, evaluate and translate: the whole road in minutes",
    "data": "list and fetch corpora; inspect, verify, sample and plan a store; "
    "compare vocabularies",
    "prepare": "clean, tokenise and store a recipe's corpora; print the mixture",
    "mixture": "show the mixture of a recipe or a run; draw it at T = 1, 5 and 100",
    "train": "train a recipe; the same command goes on after an interruption",
    "translate": "translate standard input, line by line",
    "translate-file": "translate a document: text, Markdown, HTML, Word, subtitles, PO, XLIFF",
    "score": "log-probability of each given translation, one a line",
    "evaluate": "score a run on its test sets: BLEU, chrF++, spBLEU and a report",
    "report": "write a run's report (HTML and Markdown) again from its report.json",
    "serve": "serve models over HTTP (LibreTranslate's dialect and others) with a web page",
    "keys": "make, list and remove API keys for m4nmt serve",
    "plan": "predict memory, speed and days of a run on N devices, and find the best layout",
    "average": "average the weights of model folders into a new one",
    "export": "write a model for CTranslate2, which is fast on CPUs, or for "
    "Hugging Face transformers",
    "recipes": "list the shipped recipes with their sizes",
    "languages": "list the languages of a model, or of all known corpora, with codes, "
    "names and scripts",
    "doctor": "check the installation and the machine",
}


class _Verb(argparse.ArgumentParser):
    """The parser of a verb; the verb's file is imported when it is asked for, and no other."""

    def __init__(self, *, verb: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._verb = verb

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._verb:  # the actions of a verb have parsers of this class too, made by its file
            module = importlib.import_module(f"m4nmt.cli.{self._verb.replace('-', '_')}")
            self._verb = ""
            module.add_arguments(self)
            self.set_defaults(perform=module.run)
        return super().parse_known_args(args, namespace)


def build_parser() -> argparse.ArgumentParser:
    """The parser with every verb; each verb's file gives add_arguments and run."""
    parser = argparse.ArgumentParser(
        prog="m4nmt", description="Massively multilingual neural machine translation."
    )
    parser.add_argument("--version", action="version", version=f"m4nmt {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the whole trace of an error")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Verb)
    for name, text in VERBS.items():
        verbs.add_parser(name, help=text, description=text, verb=name)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code of the process."""
    # Threads that wait by spinning take the cores from each other as soon as anything else runs on
    # the machine. The math library reads this once, when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    args = build_parser().parse_args(argv)
    handler = RichHandler(console=console, show_path=False, show_level=False, show_time=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    for name in ("httpx", "httpx2"):  # they tell of every request that `datasets` makes
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        code: int = args.perform(args)
    except BrokenPipeError:
        # The reader of our output left (`| head`): not an error, but Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ConfigError as error:
        return _fail(args, error, 2)
    except (ValueError, OSError, RuntimeError, FolderLockedError) as error:
        return _fail(args, error, 1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return code


def _fail(args: argparse.Namespace, error: Exception, code: int) -> int:
    if args.debug:
        raise error
    print(f"m4nmt {args.verb}: {_told(error)}", file=sys.stderr)
    return code


def _told(error: Exception) -> str:
    """What people read of an error: of one of the system's, the file and what is wrong with it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
