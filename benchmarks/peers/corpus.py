"""Write the synthetic parallel corpus on which training speeds are compared.

Words are drawn from a Zipf law over a closed vocabulary; sentence lengths are log-normal
and clipped; the length of a target sentence follows that of its source.  Nothing can be
learnt from it: it only has the lengths and the word frequencies of ordinary text.

Only the standard library is used, so that any environment can write it, and the same seed
gives the same bytes everywhere.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
from collections.abc import Sequence
from pathlib import Path

SOURCE_FILE = "train.src"
TARGET_FILE = "train.tgt"
VOCABULARY_FILE = "vocab.txt"

LINES = 5_000
TYPES = 8_000
MEAN_LENGTH = 20.0
SPREAD = 0.5
"""Standard deviation of the logarithm of a source length."""
RATIO_SPREAD = 0.1
"""Standard deviation of the logarithm of the target/source length ratio."""
SHORTEST, LONGEST = 5, 60
SEED = 20


def vocabulary(types: int = TYPES) -> list[str]:
    """The words, from the most to the least frequent."""
    return [f"w{rank:04d}" for rank in range(types)]


def clip(length: float) -> int:
    """Round a length and keep it within the limits of the corpus."""
    return min(LONGEST, max(SHORTEST, round(length)))


def sentence_pairs(
    lines: int = LINES, types: int = TYPES, seed: int = SEED
) -> list[tuple[list[str], list[str]]]:
    """Draw the corpus: ``lines`` pairs of word lists."""
    generator = random.Random(seed)
    words = vocabulary(types)
    cumulative = list(itertools.accumulate(1.0 / rank for rank in range(1, types + 1)))
    location = math.log(MEAN_LENGTH) - SPREAD**2 / 2
    pairs = []
    for _ in range(lines):
        source_length = clip(generator.lognormvariate(location, SPREAD))
        target_length = clip(source_length * generator.lognormvariate(0.0, RATIO_SPREAD))
        source = generator.choices(words, cum_weights=cumulative, k=source_length)
        target = generator.choices(words, cum_weights=cumulative, k=target_length)
        pairs.append((source, target))
    return pairs


def write(folder: Path, lines: int = LINES, types: int = TYPES, seed: int = SEED) -> None:
    """Write the two sides and the vocabulary as plain text, one item a line."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = sentence_pairs(lines, types, seed)
    write_lines(folder / SOURCE_FILE, [" ".join(source) for source, _ in pairs])
    write_lines(folder / TARGET_FILE, [" ".join(target) for _, target in pairs])
    write_lines(folder / VOCABULARY_FILE, vocabulary(types))


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write lines with Unix line ends, whatever the platform."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def read_lines(path: Path) -> list[str]:
    """Read back what :func:`write_lines` wrote."""
    return path.read_text(encoding="utf-8").splitlines()


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: ``corpus.py --out DIR``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--types", type=int, default=TYPES)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    write(options.out, options.lines, options.types, options.seed)


if __name__ == "__main__":
    main()
