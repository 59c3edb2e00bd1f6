"""`m4nmt data list`, `fetch` and `vocab`: what is known of corpora before a store is made."""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from m4nmt.cli.common import recipe_and_run
from m4nmt.cli.table import table
from m4nmt.core.config import ConfigError
from m4nmt.data import manifest
from m4nmt.data.manifest import Fetch


def show(args: argparse.Namespace) -> int:
    """The manifests that ship, and whether their files are here."""
    rows = [_row(name) for name in manifest.names()]
    if args.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return 0
    told = [
        (
            row["name"],
            str(row["languages"]),
            " ".join(row["splits"]),
            "here" if row["here"] else "fetch" if row["fetch"] else "bring",
            decimal(row["bytes"]) if row["bytes"] else "",
            row["license"],
        )
        for row in rows
    ]
    head = ("name", "codes", "splits", "files", "size", "licence")
    print(table(head, told, right=("codes", "size")))
    print("--json tells all: codes, whole licences, where from, notes")
    return 0


def _row(name: str) -> dict[str, Any]:
    found = manifest.parse(manifest.find(name))
    try:
        manifest.load(name)
        here = True
    except (ConfigError, ValueError):
        here = False
    codes = {code for corpus in found.corpora for code in corpus.languages}
    return {
        "name": found.name,
        "languages": len(codes),
        "codes": sorted(codes),
        "splits": sorted({corpus.split for corpus in found.corpora}),
        "corpora": len(found.corpora),
        "bytes": sum(item.size for item in found.fetches),
        "here": here,
        "fetch": bool(found.fetches),
        "license": found.license,
        "url": found.url,
        "note": found.note,
    }


def get(args: argparse.Namespace) -> int:
    """Fetch what is not there, and say where it is."""
    from m4nmt.core.progress import progress
    from m4nmt.data.manifests.fetch import fetch

    found = manifest.parse(manifest.find(args.manifest))
    place = args.to or os.environ.get("M4NMT_DATA", "")
    if not place:
        raise ConfigError("say where the files should lie: --to DIR, or set M4NMT_DATA")
    root = Path(place).expanduser() / found.folder
    done: dict[str, str] = {}
    with progress(f"fetching {found.name}", len(found.fetches)) as ticker:

        def heard(item: Fetch, held: int, in_all: int) -> None:
            of = f" of {decimal(in_all)}" if in_all else ""
            ticker.advance(0, note=f"{item.file}: {decimal(held)}{of}")

        for item, what in fetch(found, root, heard):
            done[item.file] = what
            ticker.advance(note=item.file)
    if args.json:
        print(json.dumps({"folder": str(root), "files": done}, indent=1))
        return 0
    counts = {what: list(done.values()).count(what) for what in sorted(set(done.values()))}
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    print(f"{root}: {len(done)} files ({told}). Licence: {found.license}")
    if found.note:
        print(found.note)
    return 0


def vocab(args: argparse.Namespace) -> int:
    """Sweep sizes of the vocabulary."""
    from m4nmt.data.vocabularies import page as vocabulary_page
    from m4nmt.data.vocabularies.sweep import samples, sweep

    config, folder = recipe_and_run(args)
    if min(args.sizes) < 1 or args.lines < 1:
        raise ConfigError("--sizes and --lines are above zero")
    if args.html and (args.html.is_dir() or not args.html.parent.is_dir()):
        raise ConfigError(f"--html {args.html}: name a file in a folder that is there")
    train, trials = samples(config.data, folder / "data", args.lines)
    sizes = sweep(train, trials, config.data.tokenizer, sorted(set(args.sizes)))
    if args.html:
        args.html.write_text(vocabulary_page.page(sizes, config.name), "utf-8")
    if args.json:
        rows = [
            asdict(size) | {"gini": size.gini, "dearest": size.worst[0], "times": size.worst[1]}
            for size in sizes
        ]
        print(json.dumps(rows, indent=1))
        return 0
    told = Table("size", "pieces", "Gini", "dearest", "times the median", "unknown or bytes")
    for size in sizes:
        code, times = size.worst
        missing = sum(cost.unknown + cost.bytes for cost in size.costs) / len(size.costs)
        numbers = (f"{size.asked:,}", f"{size.pieces:,}", f"{size.gini:.3f}")
        told.add_row(*numbers, code, f"{times:.2f}", f"{missing:.2%}")
    Console().print(told)
    return 0
