"""The whole road on tasks whose answers are known: one model learns to copy and to sort digits,
told which by the target language's tag, and is held to BLEU on lines it has not seen."""

import random
from pathlib import Path

import pytest
import sacrebleu

from m4nmt.core.stages import SearchConfig
from m4nmt.data.settings import (
    BlockConfig,
    DataConfig,
    DirectionsConfig,
    FilterConfig,
    TokenizerConfig,
)
from m4nmt.model.settings import classic
from m4nmt.optim.settings import AdamW, Cosine
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.train.run import train
from m4nmt.train.settings import RunConfig, TrainConfig
from m4nmt.translate.translator import Translator

SOURCE, COPY, SORT = "eng_Latn", "deu_Latn", "fra_Latn"
LINES = {"train": 6000, "dev": 40, "test": 100}


def corpus(folder: Path) -> dict[str, list[str]]:
    """Write digits in three "languages"; give the test lines."""
    draw = random.Random(5)
    parts = ['name = "digits"', 'license = "CC0-1.0"']
    held: dict[str, list[str]] = {}
    for split, count in LINES.items():
        rows = [
            [draw.choice("0123456789") for _ in range(draw.randint(4, 8))] for _ in range(count)
        ]
        sides = {SOURCE: rows, COPY: rows, SORT: [sorted(row) for row in rows]}
        held = {language: [" ".join(row) for row in side] for language, side in sides.items()}
        for language, lines in held.items():
            (folder / f"{split}.{language}.txt").write_text("".join(f"{x}\n" for x in lines))
        parts += [
            "[[corpus]]",
            'name = "digits"',
            f'split = "{split}"',
            'format = "multiway"',
            f'path = "{split}.{{lang}}.txt"',
            f"languages = {[SOURCE, COPY, SORT]}",
        ]
    (folder / "manifest.toml").write_text("\n".join(parts) + "\n")
    return held


def recipe(folder: Path) -> RunConfig:
    """Two small layers a side, less than a minute on one core."""
    return RunConfig(
        name="digits",
        data=DataConfig(
            manifest=str(folder / "manifest.toml"),
            root=str(folder),
            directions=DirectionsConfig(only=(f"{SOURCE}-*",)),
            filters=FilterConfig(identical=False, overlap=False, duplicates=False),
            tokenizer=TokenizerConfig(vocab=300, sample=2000, threads=1),
            blocks=BlockConfig(tokens=1024, max_length=24),
        ),
        model=classic(layers=2, dim=64, hidden=128, heads=4, dropout=0.0),
        optim=AdamW(lr=2e-3),
        schedule=Cosine(warmup=100),
        train=TrainConfig(
            steps=1000,
            label_smoothing=0.0,
            validate_every=0,
            save_every=0,
            average=0,
            choose="last",
            sinks=("jsonl",),
        ),
        parallel=ParallelConfig(threads=1, device="cpu"),
    )


@pytest.mark.slow
def test_a_model_learns_to_copy_and_to_sort(tmp_path: Path) -> None:
    held = corpus(tmp_path)
    outcome = train(recipe(tmp_path), tmp_path / "run")
    translator = Translator.load(tmp_path / "run", device="cpu")
    assert outcome.model == tmp_path / "run" / "model"
    bleu = {}
    for task in (COPY, SORT):
        for beam in (1, 4):
            found = translator.translate(held[SOURCE], SOURCE, task, SearchConfig(beam=beam))
            lines = [best.text for best, *_ in found]
            bleu[task, beam] = sacrebleu.corpus_bleu(lines, [held[task]]).score
    print(bleu)
    assert min(bleu.values()) > 90
    # the control: the tag alone says which; the other task's answers are wrong
    wrong = [best.text for best, *_ in translator.translate(held[SOURCE], SOURCE, COPY)]
    assert sacrebleu.corpus_bleu(wrong, [held[SORT]]).score < 30
    scores = [
        translator.score(held[SOURCE], held[task], SOURCE, language)
        for task, language in ((SORT, SORT), (COPY, SORT))
    ]
    better = sum(a > b for a, b in zip(*scores, strict=True))
    assert better > 0.9 * len(scores[0])
