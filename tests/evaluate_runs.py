"""A run folder with prepared digits and a model of random weights, and a translator that knows."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.checkpoint.model import load_card, save_model
from m4nmt.core.config import config_hash, to_dict
from m4nmt.core.stages import EvaluateConfig, SearchConfig
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import (
    BlockConfig,
    DataConfig,
    DirectionsConfig,
    FilterConfig,
    TokenizerConfig,
)
from m4nmt.data.types import Direction
from m4nmt.model import init, translation
from m4nmt.model.settings import classic
from m4nmt.train.settings import RunConfig
from m4nmt.translate.guard import Guard
from m4nmt.translate.translator import GUARD
from m4nmt.translate.types import Translation

WORDS = {
    "eng_Latn": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "deu_Latn": ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
    "fra_Latn": ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"],
}
_LINES = {"train": 150, "dev": 12, "test": 12}


def spell(digits: Sequence[int], language: str) -> str:
    """A number said digit by digit."""
    return " ".join(WORDS[language][digit] for digit in digits)


def make_corpus(folder: Path) -> Path:
    """Two corpora: "big" between English and German, "both" between all three. The manifest."""
    draw = random.Random(5)
    parts = ['name = "digits"', 'license = "CC0-1.0"']
    for split, count in _LINES.items():
        for name, languages in (("big", ("eng_Latn", "deu_Latn")), ("both", tuple(WORDS))):
            rows = [[draw.randrange(10) for _ in range(draw.randint(5, 9))] for _ in range(count)]
            rows = rows if name == "big" else rows[: count // 2]
            for language in languages:
                path = folder / f"{name}.{split}.{language}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(f"{spell(row, language)}\n" for row in rows))
            parts += ["[[corpus]]", f'name = "{name}"', f'split = "{split}"']
            parts += ['format = "multiway"', f'path = "{name}.{split}.{{lang}}.txt"']
            parts += [f"languages = {list(languages)}"]
    manifest = folder / "manifest.toml"
    manifest.write_text("\n".join(parts) + "\n")
    return manifest


def make_run(folder: Path) -> Path:
    """A run folder whose model was never trained; French to German is held out."""
    manifest = make_corpus(folder / "corpus")
    config = RunConfig(
        name="digits",
        data=DataConfig(
            manifest=str(manifest),
            directions=DirectionsConfig(held_out=("fra_Latn-deu_Latn",)),
            tokenizer=TokenizerConfig(vocab=300, threads=1),
            filters=FilterConfig(overlap=False, duplicates=False),
            blocks=BlockConfig(max_length=64),
        ),
        model=classic(layers=1, dim=16, hidden=16, heads=2),
        search=SearchConfig(beam=1, max_extra=4, max_ratio=1.0),
        evaluate=EvaluateConfig(bootstrap=50, samples=2),
    )
    store = prepare(config.data, folder / "data", workers=1)
    config = replace(config, model=replace(config.model, vocab=store.tokenizer.size))
    model = translation.build(config.model)
    init.materialise(model, "cpu", 1)
    card = CheckpointCard(
        name="digits",
        step=7,
        config=to_dict(config),
        config_sha256=config_hash(config),
        tokenizer_sha256=store.tokenizer.sha256,
        directions=tuple(map(str, store.directions)),
        languages=store.tokenizer.languages,
        code="m4nmt",
        data={"licences": store.licences},
    )
    weights = {name: p.detach() for name, p in model.canonical_parameters().items()}
    save_model(folder / "model", weights, card, store.out / "tokenizer")
    return folder


class Knowing:
    """Translates digits perfectly, but for what `spoil` does to it; remembers its calls."""

    def __init__(self, run: Path) -> None:
        self.card = load_card(run)
        self.languages = self.card.languages
        self.directions = tuple(map(Direction.parse, self.card.directions))
        self.search = SearchConfig(beam=2)
        self.calls: list[int] = []
        self.domains: list[str] = []  # that were asked for
        self.spoil: dict[str, str] = {}

    def translate(
        self,
        texts: Sequence[str],
        src: Sequence[str],
        tgt: Sequence[str],
        config: SearchConfig | None = None,
        split: bool = True,
        guard: Guard | None = GUARD,
        domain: str = "",
    ) -> list[list[Translation]]:
        assert not split, "test lines are translated as they are"
        assert guard is None, "what the search finds is scored"
        self.calls.append(len(texts))
        self.domains.append(domain)
        out = []
        for text, s, t in zip(texts, src, tgt, strict=True):
            said = " ".join(WORDS[t][WORDS[s].index(word)] for word in text.split())
            said = self.spoil.get(f"{s}-{t}", said)
            out.append([Translation(text=said, score=0.0, finished=said != "cut\nshort")])
        return out
