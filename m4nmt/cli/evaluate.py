"""`m4nmt evaluate`: translate test sets and score them."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from m4nmt.cli.common import existing_run
from m4nmt.cli.decoding import add_domain, add_model, add_search, load_translator, search_from
from m4nmt.core.config import ConfigError, from_dict, to_dict
from m4nmt.core.stages import EvaluateConfig

_OPTIONS = ("split", "sentences", "directions", "metrics")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, what to score, search options, --domain, where the report goes."""
    add_model(parser)
    add_search(parser)
    add_domain(parser)
    parser.add_argument("--split", choices=("dev", "test"))
    parser.add_argument("--sentences", type=int, help="at most this many per direction; 0: all")
    parser.add_argument("--directions", nargs="+", metavar="PATTERN", help="e.g. 'eng_Latn-*'")
    parser.add_argument("--metrics", nargs="+", choices=("bleu", "chrf", "spbleu"))
    parser.add_argument("--manifest", help="test sets of another manifest, by name or path")
    parser.add_argument("--root", default="", help="folder of that manifest's files")
    parser.add_argument("--source", type=Path, help="one file against --reference, --from, --to")
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--from", dest="src", help="language of --source")
    parser.add_argument("--to", dest="tgt", help="language of --reference")
    parser.add_argument("--output", type=Path, help="folder of the report (default: RUN/report)")
    parser.add_argument("--json", action="store_true", help="print the report for programs")


def run(args: argparse.Namespace) -> int:
    """Evaluate, write the report, print a table."""
    from m4nmt.evaluate.report import markdown
    from m4nmt.evaluate.run import evaluate

    model = existing_run(args.model)
    translator = load_translator(args)
    card = translator.card
    config = from_dict(EvaluateConfig, card.config.get("evaluate", {}))
    changes = {k: getattr(args, k) for k in _OPTIONS if getattr(args, k) is not None}
    changes |= {k: tuple(v) for k, v in changes.items() if isinstance(v, list)}
    config = replace(config, **changes)
    report = evaluate(
        model,
        config,
        sets=_other_sets(args, config, translator),
        out=args.output,
        search=search_from(args, translator.search),
        domain=args.domain,
        translator=translator,
    )
    print(json.dumps(to_dict(report), ensure_ascii=False) if args.json else markdown(report))
    return 0


def _other_sets(args: argparse.Namespace, config: EvaluateConfig, translator: Any) -> Any:
    """Test sets that are not the run's own, or None."""
    from m4nmt.data.language import normalise
    from m4nmt.data.types import Direction
    from m4nmt.evaluate.testsets import from_files, from_manifest

    files = (args.source, args.reference, args.src, args.tgt)
    if any(files):
        if not all(files) or args.manifest:
            raise ConfigError(
                "--source, --reference, --from and --to go together, without manifest"
            )
        src, tgt = (normalise(code, among=translator.languages) for code in (args.src, args.tgt))
        return [from_files(args.source, args.reference, Direction(src, tgt))]
    if args.manifest:
        return from_manifest(args.manifest, config.split, translator.languages, args.root)
    return None
