"""Small made corpora for the tests of this folder: line-aligned text in invented spelling."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from m4nmt.data.settings import (
    BlockConfig,
    DataConfig,
    DirectionsConfig,
    FilterConfig,
    TokenizerConfig,
)

CODES = ("deu_Latn", "eng_Latn", "fra_Latn")
VOWELS = {"eng_Latn": "ae", "deu_Latn": "io", "fra_Latn": "uy", "rus_Cyrl": "аеи"}
CONSONANTS = {"rus_Cyrl": "бвгдклмнст"}


def sentence(language: str, meaning: int) -> str:
    """The same meaning gives, in every language, as many words."""
    draw = random.Random(meaning)
    consonants = CONSONANTS.get(language, "bdgklmnprst")
    vowels = VOWELS[language]
    words = []
    for _ in range(draw.randint(4, 9)):
        letters = random.Random(f"{draw.random()} {language}")
        words.append(
            "".join(
                letters.choice(consonants) + letters.choice(vowels)
                for _ in range(letters.randint(2, 3))
            )
        )
    return " ".join(words) + "."


def lines(language: str, meanings: Sequence[int]) -> list[str]:
    return [sentence(language, meaning) for meaning in meanings]


def write_lines(path: Path, text: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\n" for line in text).encode())


def manifest(folder: Path, corpora: Mapping[str, Mapping[str, Sequence[str]]]) -> Path:
    """Write "name.split" -> language -> lines, and the manifest; returns its path."""
    parts = ['name = "made"', 'license = "CC0-1.0"']
    for key, columns in corpora.items():
        name, split = key.split(".")
        for language, text in columns.items():
            write_lines(folder / name / f"{split}.{language}.txt", text)
        parts += [
            "[[corpus]]",
            f'name = "{name}"',
            f'split = "{split}"',
            'format = "multiway"',
            f'path = "{name}/{split}.{{lang}}.txt"',
            f"languages = {list(columns)}",
        ]
    path = folder / "manifest.toml"
    path.write_text("\n".join(parts) + "\n")
    return path


def config(
    path: Path,
    directions: DirectionsConfig | None = None,
    filters: FilterConfig | None = None,
    vocab: int = 400,
) -> DataConfig:
    """A data section that prepares in a second."""
    return DataConfig(
        manifest=str(path),
        root=str(path.parent),
        directions=directions or DirectionsConfig(),
        filters=filters or FilterConfig(),
        tokenizer=TokenizerConfig(vocab=vocab, sample=3000, threads=1),
        blocks=BlockConfig(max_length=64),
    )


def small(folder: Path, rows: int = 120) -> Path:
    """Three languages, a training and a dev corpus."""
    return manifest(
        folder,
        {
            "c.train": {code: lines(code, range(rows)) for code in CODES},
            "c.dev": {code: lines(code, range(9000, 9010)) for code in CODES},
        },
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under a folder but the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
