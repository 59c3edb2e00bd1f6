"""Made bilingual text whose words translate each other, and views of it for pair filters."""

import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from m4nmt.data import leakage
from m4nmt.data.filters.features import Features, FeatureWriter, Wanted
from m4nmt.data.filters.view import View

ALL = Wanted(words=True, digits=True, minhash=True)
_LETTERS = {"one": ("bdgklm", "aeo"), "two": ("prstvz", "iuy"), "three": ("бдгклм", "аеи")}


def word(concept: int, language: str) -> str:
    """What a language calls a concept."""
    consonants, vowels = _LETTERS[language]
    draw = random.Random(f"{concept} {language}")
    return "".join(draw.choice(consonants) + draw.choice(vowels) for _ in range(3))


def concepts(number: int, vocabulary: int = 300) -> list[int]:
    """What the number-th sentence is about; some concepts are more common than others."""
    draw = random.Random(number)
    return [int(vocabulary * draw.random() ** 2) for _ in range(draw.randint(5, 14))]


def sentence(number: int, language: str) -> str:
    return " ".join(word(concept, language) for concept in concepts(number)) + "."


def view(folder: Path, one: Sequence[str], other: Sequence[str], wanted: Wanted = ALL) -> View:
    """A view of these lines, with their features; empty lines are not good."""
    features: list[Features] = []
    columns: list[Any] = []
    for number, texts in enumerate((one, other)):
        path = folder / f"{abs(hash((tuple(texts), number)))}.features"
        writer = FeatureWriter(path, wanted)
        for start in range(0, len(texts), 50):
            writer.append(texts[start : start + 50], f"lang{number}")
        writer.finish()
        features.append(Features(path))
        keys = np.array([leakage.key(text) for text in texts], np.uint64)
        chars = np.array([len(text) for text in texts], np.int32)
        columns.append(SimpleNamespace(keys=keys, chars=chars))
    present = np.array([bool(a and b) for a, b in zip(one, other, strict=True)], bool)
    return View((cast(Any, columns[0]), cast(Any, columns[1])), tuple(features), present)
