"""The source files of a preparation, looked at once: what is in them, and samples of their lines.

Not its job: what is made of them (prepare.py).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m4nmt.core.progress import console
from m4nmt.data.preparing import inputs as given
from m4nmt.data.preparing.inputs import Facts, Input
from m4nmt.data.preparing.sample import Sample, picks, quotas
from m4nmt.data.preparing.spool import fill
from m4nmt.data.preparing.workers import spread
from m4nmt.data.read.types import Lines
from m4nmt.data.settings import TokenizerConfig
from m4nmt.data.types import Split

_NOTE_EVERY = 30.0  # seconds


@dataclass(frozen=True)
class Checked:
    """The inputs with what is known of them."""

    found: list[tuple[Input, Facts]]

    def hashes(self, split: Split | None = None) -> list[list[Any]]:
        """What decides the text: corpus, languages, fields and hash of every file."""
        return [
            [item.corpus.key, item.languages, item.source.fields, given.reading(item), facts.sha256]
            for item, facts in self.found
            if split in (None, item.corpus.split)
        ]

    def _columns(self, language: str, split: Split) -> list[tuple[Input, Facts, int]]:
        """Inputs of a split that have a language, and the number of its column."""
        return [
            (item, facts, item.languages.index(language))
            for item, facts in self.found
            if language in item.languages and item.corpus.split == split
        ]

    def lines(self, language: str, split: Split = "train") -> int:
        """Lines of a language that are not blank."""
        return sum(facts.present[column] for _, facts, column in self._columns(language, split))

    def unpack(self, workers: int) -> None:
        """Have at hand training text over which a pass a language is about to be made."""
        fill((item.source for item, _ in self.found if item.corpus.split == "train"), workers)

    def sample(self, language: str, wanted: int, seed: int, split: Split = "train") -> Sample:
        """Some lines of a language, evenly spread."""
        columns = [(item.source, column) for item, _, column in self._columns(language, split)]
        return Sample(columns, picks(self.lines(language, split), wanted, seed, "sample", language))

    def drawn(self, languages: Sequence[str], config: TokenizerConfig) -> dict[str, Sample]:
        """The lines a tokenizer is trained on: at its temperature, without repeats."""
        wanted = quotas(
            {code: self.lines(code) for code in languages}, config.sample, config.temperature
        )
        return {code: self.sample(code, wanted[code], config.seed) for code in languages}


def check(inputs: Sequence[Input], facts: Path, workers: int) -> Checked:
    """Hash, read and count every input that changed since it was last looked at.

    Args:
        inputs: the source files.
        facts: where what is known of them is noted.
        workers: processes.

    Raises:
        FormatError: a file cannot be read, or aligned files have unequal numbers of lines.
    """
    known = given.load_facts(facts)
    named = {given.name(item): item for item in inputs}
    stale = [i for n, i in named.items() if not given.unchanged(i, known.get(n))]
    fill([item.source for item in stale], workers)
    noted = time.monotonic()
    for item, found in spread(given.look, stale, workers, "checking files"):
        known[given.name(item)] = found
        if time.monotonic() - noted > _NOTE_EVERY:  # a kill costs what was looked at since
            given.save_facts(facts, {name: known[name] for name in named if name in known})
            noted = time.monotonic()
        if found.faults or not isinstance(item.source.kind, Lines):
            console.print(given.describe(item, found), soft_wrap=True, markup=False)
    given.save_facts(facts, {name: known[name] for name in named})
    checked = [(item, known[name]) for name, item in named.items()]
    given.check_rows(checked)
    return Checked(checked)
