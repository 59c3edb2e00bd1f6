"""What was measured since the last line of the records: sums over steps, and the line they make.

The sums are part of the training state, so that a resumed run writes the lines of an unkilled one.
Not its job: where lines go (records), clocks (the caller passes seconds).

Shape letters: B rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from m4nmt.parallel.engine import Rows


class Interval:
    """Sums of some steps.

    Args:
        band_names: in the order of a line.
        band_of: index into `band_names` of each direction of the loader's list.
    """

    def __init__(self, band_names: Sequence[str], band_of: Sequence[int]) -> None:
        self.names = tuple(band_names)
        self._band_of = torch.tensor([*band_of, len(self.names)])  # direction -1: padding rows
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._sums = {"loss": 0.0, "nll": 0.0, "norm": 0.0, "norm_max": 0.0}
        self._counts = {"steps": 0, "refused": 0, "target": 0, "source": 0, "cells": 0}
        self._accepted_tokens = 0
        self._band_nll = [0.0] * len(self.names)
        self._band_tokens = [0] * len(self.names)

    def add(
        self, rows: Rows, lengths: int, loss: float, norm: float, accepted: bool
    ) -> tuple[int, int]:
        """Take in a step; a refused one is counted, and its loss and norm are left out.

        Args:
            rows: of the global batch.
            lengths: padded source and target length together.

        Returns:
            Real (source, target) tokens of the batch.
        """
        target, source = int(rows.target_B.sum()), int(rows.source_B.sum())
        self._counts["steps"] += 1
        self._counts["target"] += target
        self._counts["source"] += source
        self._counts["cells"] += len(rows.nll_B) * lengths
        if not accepted:
            self._counts["refused"] += 1
            return source, target
        band_B = self._band_of[rows.direction_B]
        slots = len(self.names) + 1
        nll = torch.bincount(band_B, rows.nll_B, slots).tolist()
        tokens = torch.bincount(band_B, rows.target_B, slots).long().tolist()
        for i in range(len(self.names)):
            self._band_nll[i] += nll[i]
            self._band_tokens[i] += tokens[i]
        self._accepted_tokens += target
        self._sums["loss"] += loss * target
        self._sums["nll"] += sum(nll)
        self._sums["norm"] += norm
        self._sums["norm_max"] = max(self._sums["norm_max"], norm)
        return source, target

    def line(self) -> dict[str, Any]:
        """Means per target token, norms, counts and the share of padding. None: nothing to mean."""
        counts = self._counts
        accepted = counts["steps"] - counts["refused"]
        return {
            "loss": _mean(self._sums["loss"], self._accepted_tokens),
            "nll": _mean(self._sums["nll"], self._accepted_tokens),
            "band_nll": {
                name: _mean(nll, tokens)
                for name, nll, tokens in zip(
                    self.names, self._band_nll, self._band_tokens, strict=True
                )
            },
            "grad_norm": _mean(self._sums["norm"], accepted),
            "grad_norm_max": self._sums["norm_max"] if accepted else None,
            "refused": counts["refused"],
            "target_tokens": counts["target"],
            "source_tokens": counts["source"],
            "padding": 1 - (counts["target"] + counts["source"]) / max(1, counts["cells"]),
        }

    def state(self) -> dict[str, Any]:
        """Plain data that `load` takes back."""
        return {
            "sums": dict(self._sums),
            "counts": dict(self._counts),
            "accepted_tokens": self._accepted_tokens,
            "band_nll": list(self._band_nll),
            "band_tokens": list(self._band_tokens),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])
        self._accepted_tokens = state["accepted_tokens"]
        self._band_nll = list(state["band_nll"])
        self._band_tokens = list(state["band_tokens"])


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None
