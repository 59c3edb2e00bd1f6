"""Ids in, hypotheses out: what a Translator needs of whatever runs the model.

`Native` runs our own model with our own searches. Not its job: texts, languages, sentences.
"""

from collections.abc import Sequence
from typing import Protocol

import torch

from m4nmt.core.stages import SearchConfig
from m4nmt.model.settings import Learned
from m4nmt.model.translation import TranslationModel
from m4nmt.translate import alignment, scoring
from m4nmt.translate.alignment import Pairs
from m4nmt.translate.batching import pack
from m4nmt.translate.constraints import Constraint, Rules
from m4nmt.translate.decoder import Cancelled, Hypothesis, Symbols
from m4nmt.translate.sampling import sample
from m4nmt.translate.search import beam_search
from m4nmt.translate.stepper import Halves, Stepper

Rows = Sequence[Sequence[int]]


class Engine(Protocol):
    """Something that decodes. May be called from several threads."""

    @property
    def positions(self) -> int | None:
        """The longest row it can take at all; None: any."""

    def decode(
        self,
        rows: Rows,
        limits: Sequence[int],
        config: SearchConfig,
        cancelled: Cancelled | None = None,
        constraints: Sequence[Constraint] | None = None,
    ) -> list[list[Hypothesis]]:
        """n-best lists of each source row (tags and end included), at most `limits` tokens long,
        each within its constraint."""

    def score(self, rows: Rows, targets: Rows, budget: int) -> list[tuple[float, ...]]:
        """log p of every token of each target (end included) after its source row."""

    def align(self, rows: Rows, targets: Rows, budget: int) -> list[Pairs]:
        """(source token, target token) of each target, without end; a row's tag is not counted."""


class Native:
    """The model in this process, on its own device."""

    def __init__(self, model: TranslationModel, symbols: Symbols) -> None:
        self._model = model.eval()
        self._halves = Halves.of(model)
        self._symbols = symbols
        self._device = next(model.parameters()).device

    @property
    def positions(self) -> int | None:
        """The length of a learned table of positions; other positions have no end."""
        where = self._model.config.position
        return where.length if isinstance(where, Learned) else None

    @torch.inference_mode()
    def decode(
        self,
        rows: Rows,
        limits: Sequence[int],
        config: SearchConfig,
        cancelled: Cancelled | None = None,
        constraints: Sequence[Constraint] | None = None,
    ) -> list[list[Hypothesis]]:
        """As the protocol says; sentences of like length are decoded together.

        Raises:
            CancelledError: `cancelled` said so.
            FloatingPointError: the model gave numbers that are not finite.
        """
        found: list[list[Hypothesis]] = [[] for _ in rows]
        for group in pack([len(row) for row in rows], config.beam, config.batch_tokens):
            sources, most = [rows[i] for i in group], [limits[i] for i in group]
            stepper = Stepper(self._halves, scoring.pad(sources, self._device))
            where, rules = self._device, None
            if constraints is not None:
                rules = Rules([constraints[i] for i in group], where)
            if config.sample:
                batch = sample(
                    stepper, most, sources, config, self._symbols, where, cancelled, rules
                )
            else:
                batch = beam_search(stepper, most, config, self._symbols, where, cancelled, rules)
            for i, hypotheses in zip(group, batch, strict=True):
                found[i] = hypotheses
        return found

    def score(self, rows: Rows, targets: Rows, budget: int) -> list[tuple[float, ...]]:
        """As the protocol says."""
        return scoring.score(self._model, rows, targets, self._symbols.bos, budget, self._device)

    def align(self, rows: Rows, targets: Rows, budget: int) -> list[Pairs]:
        """As the protocol says."""
        bos, where = self._symbols.bos, self._device
        return alignment.align(self._model, rows, targets, 1, bos, budget, where)
