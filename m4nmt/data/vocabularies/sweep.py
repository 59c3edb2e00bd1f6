"""Which vocabulary size: what each costs each language, and which languages pay for the others.

For each size a tokenizer is trained on the recipe's own sample and tried on other lines of every
language. A language pays in tokens: those it needs for a character, beside the other languages. Two
numbers sum that up: the Gini coefficient of tokens per character (0: all pay the same), and the
largest over the median (Petrov et al. 2023, "Language model tokenizers introduce unfairness between
languages", measure premiums likewise). Scripts differ by nature (a Chinese character says more than
a Latin letter): compare sizes for one language, and languages of one script.
Not its job: the page (page.py), choosing.

Letters: L languages, S sizes.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from m4nmt.core.files import folder_lock
from m4nmt.core.progress import console, track
from m4nmt.data import manifest, tokenizer
from m4nmt.data.directions import select
from m4nmt.data.preparing import inputs
from m4nmt.data.preparing.checked import check
from m4nmt.data.preparing.sample import Sample
from m4nmt.data.settings import DataConfig, TokenizerConfig
from m4nmt.data.tokenizer import UNK, Tokenizer
from m4nmt.data.types import Split

_AT_ONCE = 4096


@dataclass(frozen=True)
class Cost:
    """What one vocabulary costs one language.

    Attributes:
        language: its code.
        lines, characters: looked at.
        tokens_per_character: pieces over characters of normalised text.
        unknown: share of the pieces that are unknown.
        bytes: share of the pieces that are single bytes, in place of unknown ones.
    """

    language: str
    lines: int
    characters: int
    tokens_per_character: float
    unknown: float
    bytes: float


@dataclass(frozen=True)
class Size:
    """One vocabulary of the sweep.

    Attributes:
        asked, pieces: size as asked for, and as it came out.
        costs: by language, sorted by code.
    """

    asked: int
    pieces: int
    costs: tuple[Cost, ...]

    @property
    def gini(self) -> float:
        """Gini coefficient of tokens per character over languages."""
        return gini([cost.tokens_per_character for cost in self.costs])

    @property
    def median(self) -> float:
        """Tokens per character of the language in the middle."""
        return median(cost.tokens_per_character for cost in self.costs)

    @property
    def worst(self) -> tuple[str, float]:
        """The language that needs most tokens for a character, and how many times the median."""
        most = max(self.costs, key=lambda cost: cost.tokens_per_character)
        return most.language, most.tokens_per_character / self.median if self.median else 0.0


def samples(
    config: DataConfig, out: Path, lines: int
) -> tuple[dict[str, Sample], dict[str, Sample]]:
    """The training sample of a recipe, and at most so many lines of each language to try on: of its
    dev and test sets where it has any, else of its training text. What has no line is left out.

    Args:
        config: the data section.
        out: prepared folder; what is known of the source files is noted there.
        lines: to try, a language.

    Raises:
        ConfigError: the manifest or the directions are wrong, or files are missing.
        FormatError: a file cannot be read.
    """
    corpora = manifest.load(config.manifest, config.root)
    languages = select(corpora, config.directions, config.tasks).languages
    items = inputs.inputs(corpora, corpora.corpora, languages)
    with folder_lock(out):
        checked = check(items, out / "store" / "inputs.json", len(os.sched_getaffinity(0)))
    trials = {}
    for code in languages:
        splits: tuple[Split, ...] = ("dev", "test", "train")
        for split in splits:
            if there := checked.lines(code, split):
                seed = config.tokenizer.seed + 1
                trials[code] = checked.sample(code, min(lines, there), seed, split)
                break
    return checked.drawn(languages, config.tokenizer), trials


def sweep(
    samples: Mapping[str, Sample],
    trials: Mapping[str, Sample],
    config: TokenizerConfig,
    sizes: Sequence[int],
) -> list[Size]:
    """Train and try a tokenizer of each size.

    Args:
        samples: language -> lines to train on.
        trials: language -> other lines to try on.
        config: everything but the size.
        sizes: pieces in all.

    Raises:
        TokenizerError: a size too small for the characters.
    """
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="m4nmt-vocab-") as folder:
            console.print(f"vocabulary of {size:,}: training", highlight=False)
            settings = replace(config, vocab=size, path="")
            made = tokenizer.train(samples, settings, sorted(samples), Path(folder) / "tokenizer")
            trying = track(sorted(trials), f"vocabulary of {size:,}: trying")
            costs = tuple(cost(made, code, trials[code]) for code in trying)
            found.append(Size(size, made.size, costs))
    return found


def cost(made: Tokenizer, language: str, lines: Sample | Sequence[str]) -> Cost:
    """Count what a tokenizer makes of some lines."""
    single = {i for i in made.ids([f"<0x{byte:02X}>" for byte in range(256)]) if i != UNK}
    count = characters = tokens = unknown = alone = 0
    texts = list(lines)
    for first in range(0, len(texts), _AT_ONCE):
        chunk = texts[first : first + _AT_ONCE]
        for text, ids in zip(chunk, made.encode(chunk), strict=True):
            count += 1
            characters += len(made.normalise(text))
            tokens += len(ids)
            unknown += ids.count(UNK)
            alone += sum(i in single for i in ids)
    return Cost(
        language,
        count,
        characters,
        tokens / max(1, characters),
        unknown / max(1, tokens),
        alone / max(1, tokens),
    )


def gini(values: Sequence[float]) -> float:
    """0 where all are equal, towards 1 where one has everything (Gini 1912)."""
    ranked, total = sorted(values), sum(values)
    if not total:
        return 0.0
    count = len(ranked)
    weighted = sum(rank * value for rank, value in enumerate(ranked, start=1))
    return 2 * weighted / (count * total) - (count + 1) / count
