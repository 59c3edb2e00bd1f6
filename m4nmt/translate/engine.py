"""Ids in, hypotheses out: what a Translator needs of whatever runs the model.

`Native` runs our own model with our own searches. Not its job: texts, languages, sentences.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from m4nmt.core.stages import SearchConfig
from m4nmt.model.settings import Learned
from m4nmt.model.translation import TranslationModel
from m4nmt.translate import scoring
from m4nmt.translate.alignment import Aligner, Pairs
from m4nmt.translate.constraints import Constraint
from m4nmt.translate.decoder import Cancelled, Decoder, Hypothesis, Symbols
from m4nmt.translate.dispatch import search_all
from m4nmt.translate.stepper import Halves, Stepper

Rows = Sequence[Sequence[int]]


class NoNativeError(ValueError):
    """Something that only the native engine can do, where it is not at hand."""


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
        """(source token, target token) of each target, without end; tags are not counted."""

    def cover(self, rows: Rows, targets: Rows, budget: int) -> list[tuple[float, ...]]:
        """How much each source token, tags and end not counted, is looked at while each target
        (without end) is made, in all."""


class Native:
    """The model in this process, on its own device.

    Attributes:
        symbols: of its vocabulary.
        device: of the model.
    """

    def __init__(self, model: TranslationModel, symbols: Symbols) -> None:
        self._model = model.eval()
        self._halves = Halves.of(model)
        self._aligner = Aligner(self._model, symbols)
        self.symbols = symbols
        self.device = next(model.parameters()).device

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
            SearchError: phrases are required of draws, or of groups of beams.
            CancelledError: `cancelled` said so.
            FloatingPointError: the model gave numbers that are not finite.
        """
        where = self.device
        return search_all(
            self.open_decoder, rows, limits, config, self.symbols, where, cancelled, constraints
        )

    def open_decoder(self, src_BS: Tensor) -> Decoder:
        """One row for each of these source rows."""
        return Stepper(self._halves, src_BS)

    def score(self, rows: Rows, targets: Rows, budget: int) -> list[tuple[float, ...]]:
        """As the protocol says."""
        return scoring.score(self._model, rows, targets, self.symbols.bos, budget, self.device)

    def align(self, rows: Rows, targets: Rows, budget: int) -> list[Pairs]:
        """As the protocol says."""
        return self._aligner.align(rows, targets, budget)

    def cover(self, rows: Rows, targets: Rows, budget: int) -> list[tuple[float, ...]]:
        """As the protocol says."""
        return self._aligner.cover(rows, targets, budget)
