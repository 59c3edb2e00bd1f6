"""`m4nmt <verb>`: finds the verb, runs it, and turns errors into one line and an exit code.

Exit codes: 0 good, 1 failed, 2 wrong use; of `train` also 75: another process hangs or is gone.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from rich.logging import RichHandler

from m4nmt import __version__
from m4nmt.core.config import ConfigError
from m4nmt.core.files import FolderLockedError
from m4nmt.core.progress import console

VERBS = (
    "quickstart",
    "data",
    "prepare",
    "mixture",
    "train",
    "translate",
    "translate-file",
    "score",
    "evaluate",
    "report",
    "serve",
    "keys",
    "plan",
    "average",
    "export",
    "recipes",
    "languages",
    "doctor",
)


def build_parser() -> argparse.ArgumentParser:
    """The parser with every verb; each verb's file gives HELP, add_arguments and run."""
    parser = argparse.ArgumentParser(
        prog="m4nmt", description="Massively multilingual neural machine translation."
    )
    parser.add_argument("--version", action="version", version=f"m4nmt {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the whole trace of an error")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in VERBS:
        module = importlib.import_module(f"m4nmt.cli.{name.replace('-', '_')}")
        sub = verbs.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(sub)
        sub.set_defaults(perform=module.run)
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
    print(f"m4nmt {args.verb}: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
