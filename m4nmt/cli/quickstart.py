"""`m4nmt quickstart`: the whole road in minutes, from nothing to a model that can be served.

Every stage skips what it finds done, so an interrupted quickstart goes on where it was.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from m4nmt.core.config import override
from m4nmt.core.names import recipe
from m4nmt.core.progress import console
from m4nmt.train.settings import RunConfig

_SHOWN = (("eng_Latn", "deu_Latn"), ("deu_Latn", "fra_Latn"), ("eng_Latn", "swh_Latn"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--run, --set."""
    parser.add_argument("--run", type=Path, default=Path("runs/quickstart"), metavar="DIR")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=V")


def run(args: argparse.Namespace) -> int:
    """Every stage in turn."""
    started = time.monotonic()
    folder: Path = args.run
    config: RunConfig = override(recipe("quickstart")(), args.set)
    config = replace(config, data=replace(config.data, manifest=str(_corpus(config, folder))))
    if not _train(config, folder):
        return 0
    directions, bleu = _evaluate(folder)
    _show(folder)
    minutes = (time.monotonic() - started) / 60
    print(
        f"\nDone in {minutes:.1f} minutes. This shows that the pipeline works, not translation"
        " quality: the corpus\nis dates, units and names from Unicode CLDR, and the model is tiny."
    )
    print(f"mean BLEU over {directions} supervised directions, held-out lines: {bleu:.1f}")
    print(
        f"Next: m4nmt serve {folder} (then open http://127.0.0.1:5000), look at"
        f" {folder}/report/index.html, read docs/tutorial.md"
    )
    return 0


def _headline(step: int, text: str) -> None:
    console.print(f"[bold]{step}/4[/bold] {text}")


def _corpus(config: RunConfig, folder: Path) -> Path:
    from m4nmt.data import cldr

    languages = config.data.directions.languages
    _headline(1, f"corpus: {len(languages)} languages from Unicode CLDR, by way of Babel")
    return cldr.write(folder / "corpus", languages)


def _train(config: RunConfig, folder: Path) -> bool:
    """Whether training came to its end (False: a signal stopped it)."""
    from m4nmt.train.run import train

    _headline(
        2,
        f"tokenizer and model: {config.train.steps} steps; Ctrl-C saves, the same command goes on",
    )
    outcome = train(config, folder)
    if outcome.status == "stopped":
        print(f"stopped at step {outcome.step}; run the same command again to go on")
        return False
    return True


def _evaluate(folder: Path) -> tuple[int, float]:
    """Number of supervised directions and their mean BLEU."""
    from m4nmt.checkpoint.model import load_card, model_folder
    from m4nmt.evaluate.report import load, markdown
    from m4nmt.evaluate.run import evaluate
    from m4nmt.evaluate.types import mean

    _headline(3, "evaluation on held-out lines")
    card, done = load_card(model_folder(folder)), folder / "report" / "report.json"
    report = load(done) if done.exists() else None
    if report is None or report.card.weights_sha256 != card.weights_sha256:
        report = evaluate(folder)
    print(markdown(report))
    return len(report.supervised), mean(report.supervised, "bleu") or 0.0


def _show(folder: Path) -> None:
    """Translate a few held-out lines."""
    from m4nmt.data.store import Store
    from m4nmt.data.types import Direction
    from m4nmt.translate.translator import Translator

    _headline(4, "a few translations of held-out lines")
    store = Store.open(folder / "data")
    translator = Translator.load(folder)
    for number, (src, tgt) in enumerate(_SHOWN):
        rows = list(zip(*store.text(Direction(src, tgt), "test"), strict=True))
        for text, reference in rows[number :: len(rows) // 2][:2]:
            best = translator.translate([text], src, tgt)[0][0].text
            verdict = "as the reference" if best == reference else f"reference: {reference}"
            print(f"  {src}  {text}\n  {tgt}  {best}  ({verdict})\n")
