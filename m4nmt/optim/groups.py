"""Which parameters decay.

The rule: weight decay acts on weight matrices only. Parameters with fewer than two dimensions
(norms, biases, scalars), tables (embeddings, learned positions, relative biases) and the logits of
transparent attention get none: a table row that a batch does not use has no gradient, and decay
alone would pull rare words to zero.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn

UNDECAYED = (".table", ".memory.weight", ".bias")  # biases of experts are stacked


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay acts on a parameter."""
    return parameter.ndim >= 2 and not name.endswith(UNDECAYED)


def decay_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float
) -> list[dict[str, Any]]:
    """Parameter groups with and without decay, each with the names of its parameters.

    Parameters that lie on different meshes of devices, or on none, are apart: one fused update
    cannot mix them.

    Raises:
        ValueError: a name or a parameter is given twice, or none is given.
    """
    named = list(named_parameters)
    if not named:
        raise ValueError("an optimiser needs at least one parameter")
    for what, keys in (("name", [n for n, _ in named]), ("parameter", [id(p) for _, p in named])):
        if len(set(keys)) != len(keys):
            raise ValueError(f"a {what} is given twice to the optimiser; give tied tables once")
    matrices = [pair for pair in named if decays(*pair)]
    others = [pair for pair in named if not decays(*pair)]
    groups = [(matrices, weight_decay), (others, 0.0)]
    return [
        {"params": part, "weight_decay": decay} for pairs, decay in groups for part in _alike(pairs)
    ]


def _alike(pairs: list[tuple[str, nn.Parameter]]) -> list[list[tuple[str, nn.Parameter]]]:
    """Apart by the mesh that a parameter is spread over."""
    found: dict[Any, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in pairs:
        found.setdefault(getattr(parameter, "device_mesh", None), []).append((name, parameter))
    return list(found.values())
