"""`m4nmt data inspect`, `verify`, `sample` and `plan`: a store that `prepare` made."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from m4nmt.cli.common import existing_run, recipe_and_run
from m4nmt.cli.table import table
from m4nmt.core.config import from_dict, parse_json

if TYPE_CHECKING:
    from m4nmt.data.settings import Noise


def _out(path: Path) -> Path:
    """The prepared folder of a run, or itself."""
    folder = existing_run(path)
    return folder / "data" if (folder / "data" / "store").is_dir() else folder


def inspect(args: argparse.Namespace) -> int:
    """Facts of the store and a row for each of its columns."""
    from m4nmt.data import look
    from m4nmt.data.store import Store

    store = Store.open(_out(args.folder))
    facts, shards = look.facts(store), look.shards(store)
    if args.json:
        told = facts | {"shards": [asdict(shard) for shard in shards]}
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return 0
    console = Console(highlight=False)
    for name, value in facts.items():
        text = f"{value:,}" if isinstance(value, int) else value
        if isinstance(value, dict):
            text = ", ".join(f"{key or 'not told'} ({count})" for key, count in value.items())
        console.print(f"{name}: {text}", soft_wrap=True)
    numbers = ("lines", "good", "pieces", "bytes")
    rows = [
        (s.corpus, s.language, *(f"{getattr(s, name):,}" for name in numbers), s.licence)
        for s in shards
    ]
    print(table(("corpus", "language", *numbers, "licence"), rows, right=numbers))
    return 0


def verify(args: argparse.Namespace) -> int:
    """Name every damaged file; 1 where there is one."""
    from m4nmt.data.look import damages

    found = dict(damages(_out(args.folder)))
    bad = {name: what for name, what in found.items() if what}
    if args.json:
        print(json.dumps({"files": len(found), "damaged": bad}, indent=1))
    elif bad:
        for name, what in bad.items():
            print(f"{name}: {what}")
        print(f"{len(bad)} of {len(found)} files are damaged; prepare again: it makes them anew")
    else:
        print(f"{len(found)} files, all as they were written")
    return 1 if bad else 0


def sample(args: argparse.Namespace) -> int:
    """Print some examples of a direction."""
    from m4nmt.data import language, look
    from m4nmt.data.store import Store
    from m4nmt.data.types import Direction

    store, given = Store.open(_out(args.folder)), Direction.parse(args.direction)
    src, tgt = (language.normalise(code, store.languages) for code in (given.src, given.tgt))
    direction = replace(given, src=src, tgt=tgt)
    noises = _noises(args.folder) if given.task != "translate" else ()
    rows = look.examples(store, direction, args.split, args.count, args.seed, noises)
    if args.json:
        names = ("number", "source", "target")
        told = [dict(zip(names, row, strict=True)) for row in rows]
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return 0
    for number, source, target in rows:
        print(f"{number}\t{source}\t{target}")
    return 0


def _noises(folder: Path) -> "Sequence[Noise]":
    """The denoising tasks of a run; before it has one, as they are by default."""
    from m4nmt.data.settings import Infill, Mass

    saved = existing_run(folder) / "config.json"
    usual = (Mass(), Infill())
    if not saved.is_file():
        return usual
    from m4nmt.train.settings import RunConfig

    data = parse_json(saved.read_text("utf-8"), str(saved))
    return from_dict(RunConfig, data, str(saved)).data.tasks or usual


def plan(args: argparse.Namespace) -> int:
    """The mixture of a recipe over its prepared store."""
    from m4nmt.data import overview
    from m4nmt.data.store import Store

    config, folder = recipe_and_run(args)
    store = Store.open(folder / "data")
    overview.check(store, config.data)
    rows = overview.table(store, config.data, config.train.steps)
    print(json.dumps(overview.to_json(rows), indent=1) if args.json else overview.to_text(rows))
    return 0
