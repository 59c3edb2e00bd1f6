"""Readings of a model in training, as pure functions of parameters and gradients by name.

Not its job: when to read, where readings go (the run).

Shape letters: M decoder layers, N sources of the memory.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Named = Mapping[str, Tensor]
MEMORY = "source.memory.weight"


def gradient_ratio(grads: Named) -> float | None:
    """r_t: gradient norm of the first encoder layer over that of the last.

    Bapna et al. 2018 (arXiv:1808.07561, section 3) take the norms of the gradients by the layers'
    outputs; these are by their parameters, which an engine has at hand after the step. Near 1 is
    healthy, near 0 vanishing. None for fewer than two layers or a zero gradient.
    """
    layers = sorted({n.split(".")[0] for n in grads if re.match(r"enc\d+\.", n)})
    if len(layers) < 2:
        return None
    first, last = (
        norm(g for n, g in grads.items() if n.startswith(f"{layer}."))
        for layer in (layers[0], layers[-1])
    )
    return first / last if last else None


def update_ratios(before: Named, after: Named) -> dict[str, float]:
    """Norm of the update over norm of the weights, by segment. 1e-3 is usual (Karpathy)."""
    segments = sorted({name.split(".")[0] for name in before})
    ratios = {}
    for segment in segments:
        names = [n for n in before if n.startswith(f"{segment}.")]
        weights = norm(before[n] for n in names)
        moved = norm(after[n] - before[n] for n in names)
        ratios[segment] = moved / weights if weights else 0.0
    return ratios


def memory_weights(parameters: Named) -> list[list[float]] | None:
    """Transparent attention: what share [M][N] each decoder layer takes of the embedding and of
    each encoder layer. None for other memories."""
    weight_MN = parameters.get(MEMORY)
    if weight_MN is None:
        return None
    shares: list[list[float]] = weight_MN.detach().float().softmax(-1).tolist()
    return shares


def norm(tensors: Iterable[Tensor]) -> float:
    """L2 norm of many tensors together."""
    norms = [t.detach().float().norm() for t in tensors]
    return float(torch.stack(norms).norm()) if norms else 0.0


class Reading:
    """Taken around one update: before it, with the gradients there, and after it."""

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        self._parameters = dict(parameters)
        self._before = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._ratio = gradient_ratio(
            {name: p.grad for name, p in self._parameters.items() if p.grad is not None}
        )

    def finish(self) -> dict[str, Any]:
        """The readings; those that the model has none of are left out."""
        after = {name: p.detach() for name, p in self._parameters.items()}
        readings = {
            "gradient_ratio": self._ratio,
            "update_ratio": update_ratios(self._before, after),
            "memory_weights": memory_weights(after),
        }
        return {name: value for name, value in readings.items() if value is not None}
