"""Readings of a model in training, as functions of norms by parameter name.

Not its job: when to read, where readings go (the run).

Shape letters: M decoder layers, N sources of the memory.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor

from m4nmt.model.routing import Summary
from m4nmt.parallel.engine import Engine

Norms = Mapping[str, float]
MEMORY = "source.memory.weight"


def gradient_ratio(norms: Norms) -> float | None:
    """r_t: gradient norm of the first encoder layer over that of the last.

    Bapna et al. 2018 (arXiv:1808.07561, section 3) take the norms of the gradients by the layers'
    outputs; these are by their parameters, which an engine has at hand after the step. Near 1 is
    healthy, near 0 vanishing. None for fewer than two layers or a zero gradient.
    """
    layers = sorted({n.split(".")[0] for n in norms if re.match(r"enc\d+\.", n)})
    if len(layers) < 2:
        return None
    first, last = (
        together(norm for name, norm in norms.items() if name.startswith(f"{layer}."))
        for layer in (layers[0], layers[-1])
    )
    return first / last if last else None


def update_ratios(weights: Norms, moved: Norms) -> dict[str, float]:
    """Norm of the update over norm of the weights, by segment. 1e-3 is usual (Karpathy)."""
    after = by_segment(moved)
    return {
        segment: after[segment] / before if before else 0.0
        for segment, before in by_segment(weights).items()
    }


def memory_weights(parameters: Mapping[str, Tensor]) -> list[list[float]] | None:
    """Transparent attention: what share [M][N] each decoder layer takes of the embedding and of
    each encoder layer. None for other memories, and where the first segment is not."""
    weight_MN = parameters.get(MEMORY)
    if weight_MN is None:
        return None
    weight_MN = weight_MN.detach()
    whole_MN = weight_MN.full_tensor() if isinstance(weight_MN, DTensor) else weight_MN
    shares: list[list[float]] = whole_MN.float().softmax(-1).tolist()
    return shares


def routed(seen: Summary) -> dict[str, Any]:
    """What a router did, as plain data: the experts' shares of the kept choices, the share of the
    choices that found no place, and each language tag's choices by expert."""
    return {
        "load": seen.load_E.tolist(),
        "dropped": seen.dropped,
        "languages": {str(tag): counts.tolist() for tag, counts in seen.language_E.items()},
    }


def by_segment(norms: Norms) -> dict[str, float]:
    """Norm of each segment's parameters together."""
    segments = sorted({name.split(".")[0] for name in norms})
    return {
        segment: together(x for name, x in norms.items() if name.startswith(f"{segment}."))
        for segment in segments
    }


def together(norms: Iterable[float]) -> float:
    """L2 norm of the wholes of which these are the norms."""
    return math.sqrt(math.fsum(norm * norm for norm in norms))


class Reading:
    """Taken around one update: before it, with the gradients there, and after it.

    Args:
        grads: norm of every parameter's gradient.
    """

    def __init__(self, engine: Engine, grads: Norms) -> None:
        self._engine = engine
        self._before = {n: p.detach().clone() for n, p in engine.named_parameters()}
        self._ratio = gradient_ratio(grads)

    def finish(self) -> dict[str, Any]:
        """The readings; those that the model has none of are left out."""
        after = {name: p.detach() for name, p in self._engine.named_parameters()}
        moved = {name: after[name] - before for name, before in self._before.items()}
        readings = {
            "gradient_ratio": self._ratio,
            "update_ratio": update_ratios(
                self._engine.norms(self._before), self._engine.norms(moved)
            ),
            "memory_weights": memory_weights(after),
        }
        return {name: value for name, value in readings.items() if value is not None}
