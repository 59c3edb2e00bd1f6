"""`m4nmt data`: corpora, and the store that `prepare` makes of them.

Each action has a function in data_sources.py (corpora, vocabulary) or data_store.py (the store).
"""

import argparse
from pathlib import Path

from m4nmt.cli import data_sources, data_store
from m4nmt.cli.common import add_recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An action and what it needs."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    found = actions.add_parser("list", help="the corpora that are known by name")
    found.set_defaults(act=data_sources.show)

    fetch = actions.add_parser("fetch", help="get the files of a corpus")
    fetch.add_argument("manifest", help="name (m4nmt data list) or path of a manifest")
    fetch.add_argument("--to", metavar="DIR", default="", help="folder (default: $M4NMT_DATA)")
    fetch.set_defaults(act=data_sources.get)

    vocab = actions.add_parser("vocab", help="what each size of vocabulary costs each language")
    add_recipe(vocab)
    vocab.add_argument(
        "--sizes", type=int, nargs="+", default=[8000, 16000, 32000], metavar="N", help="to try"
    )
    vocab.add_argument("--lines", type=int, default=1000, help="tried, a language (default 1000)")
    vocab.add_argument("--html", type=Path, metavar="FILE", help="write one page")
    vocab.set_defaults(act=data_sources.vocab)

    for name, act, text in (
        ("inspect", data_store.inspect, "what is in a prepared store"),
        ("verify", data_store.verify, "read every byte of a store and compare hashes"),
        ("sample", data_store.sample, "some examples as the model sees them"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("folder", type=Path, metavar="RUN", help="run folder, or its data")
        action.set_defaults(act=act)
        if name == "sample":
            action.add_argument("direction", help="such as en-sw, sw-sw:mass, sw-en+bt")
            action.add_argument(
                "-n", type=int, default=5, dest="count", help="how many (default 5)"
            )
            action.add_argument("--split", choices=("train", "dev", "test"), default="train")
            action.add_argument("--seed", type=int, default=1, help="another choice (default 1)")

    plan = actions.add_parser("plan", help="size, share and epochs of each direction of a run")
    add_recipe(plan)
    plan.set_defaults(act=data_store.plan)
    for action in actions.choices.values():
        action.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    code: int = args.act(args)
    return code
