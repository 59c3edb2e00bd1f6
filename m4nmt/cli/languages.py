"""`m4nmt languages`: what a model speaks, and of which domains; or all languages that the known
corpora have."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from m4nmt.cli.common import existing_run
from m4nmt.cli.table import table
from m4nmt.data import language


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, --json."""
    parser.add_argument(
        "model", type=Path, metavar="RUN", nargs="?",
        help="run folder or model folder (default: languages of the manifests that ship)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print one row a language; below them a model's domains, where it knows any."""
    rows = _of_model(args.model) if args.model else _of_manifests()
    if args.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return 0
    head = [name.replace("_", " ") for name in rows[0]]
    print(table(head, [list(map(str, row.values())) for row in rows]))
    if names := _domains(args.model) if args.model else ():
        print(f"domains: {', '.join(names)}")
    return 0


def _of_model(path: Path) -> list[dict[str, Any]]:
    from m4nmt.checkpoint.model import load_card, model_folder

    card = load_card(model_folder(existing_run(path)))
    return [
        asdict(language.describe(code))
        | {
            "directions_into": sum(d.endswith(f"-{code}") for d in card.directions),
            "directions_from": sum(d.startswith(f"{code}-") for d in card.directions),
        }
        for code in card.languages
    ]


def _domains(path: Path) -> tuple[str, ...]:
    from m4nmt.checkpoint.model import model_folder
    from m4nmt.data.tokenizer import Tokenizer
    from m4nmt.translate.domains import domains_of

    return domains_of(Tokenizer.load(model_folder(existing_run(path))))


def _of_manifests() -> list[dict[str, Any]]:
    from m4nmt.data import manifest

    found: dict[str, set[str]] = {}
    for name in manifest.names():
        for corpus in manifest.parse(manifest.find(name)).corpora:
            for code in corpus.languages:
                found.setdefault(code, set()).add(name)
    return [
        asdict(language.describe(code)) | {"corpora": " ".join(sorted(found[code]))}
        for code in sorted(found)
    ]
