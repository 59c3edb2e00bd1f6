"""Which share of the stream each direction gets: temperature, UniMax, explicit weights.

Not its job: phases over a run and whole examples (blocks.py, plan.py).
Shape letters: D directions.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from m4nmt.core.config import ConfigError
from m4nmt.data.settings import Temperature, UniMax, Weights
from m4nmt.data.types import Direction

Floats = NDArray[np.float64]
Simple = Temperature | UniMax | Weights


def shares(
    mixture: Simple,
    directions: Sequence[Direction],
    sizes_D: NDArray[np.int64],
    budget: float,
    only: Sequence[str] = (),
) -> Floats:
    """Share of each direction, in the order given; they sum to 1.

    Args:
        sizes_D: examples of each direction; a direction without any gets no share.
        budget: examples drawn in all while this mixture is used (UniMax needs it).
        only: patterns; when given, a direction that matches none gets no share.

    Raises:
        ConfigError: impossible options, a pattern that matches nothing, or nothing left to draw.
    """
    names = [str(direction) for direction in directions]
    here_D = np.asarray(sizes_D, np.float64)
    if only:
        here_D = np.where(_first_match(names, only) >= 0, here_D, 0.0)
    if not (here_D > 0).any():
        raise ConfigError("data.mixture: no direction with examples is left")
    if isinstance(mixture, Temperature):
        shares_D = temperature(here_D, mixture.T)
    elif isinstance(mixture, UniMax):
        shares_D = unimax(here_D, mixture.max_epochs, budget)
    else:
        shares_D = np.where(here_D > 0, _explicit(names, mixture), 0.0)
    total = shares_D.sum()
    if not total > 0:
        raise ConfigError("data.mixture: all weights of the directions that exist are zero")
    return np.asarray(shares_D / total, np.float64)


def temperature(sizes_D: Floats, T: float) -> Floats:
    """p proportional to D^(1/T) (Arivazhagan et al. 2019, "Massively multilingual neural machine
    translation in the wild", section 4.2)."""
    if not T > 0:
        raise ConfigError(f"data.mixture.T: {T} must be above 0 (1 keeps the true sizes)")
    relative_D = sizes_D / sizes_D.max()
    shares_D: Floats = np.zeros_like(relative_D)
    np.power(relative_D, 1 / T, out=shares_D, where=relative_D > 0)
    return shares_D


def unimax(sizes_D: Floats, max_epochs: float, budget: float) -> Floats:
    """As uniform as `max_epochs` allows (Chung et al. 2023, "UniMax", algorithm 1)."""
    if not max_epochs > 0:
        raise ConfigError(f"data.mixture.max_epochs: {max_epochs} must be above 0")
    if not budget > 0:
        raise ConfigError(
            "data.mixture: UniMax needs to know how much will be drawn; give the number of steps"
        )
    used_D: Floats = np.zeros_like(sizes_D)
    order = np.argsort(sizes_D, kind="stable")
    order = order[sizes_D[order] > 0]
    for rank, index in enumerate(order):
        even = budget / (len(order) - rank)
        used_D[index] = min(even, sizes_D[index] * max_epochs)
        budget -= used_D[index]
    return used_D


def _explicit(names: Sequence[str], mixture: Weights) -> Floats:
    patterns = list(mixture.weights)
    values = np.array([*mixture.weights.values(), 0.0])
    if not patterns or not np.isfinite(values).all() or (values < 0).any():
        raise ConfigError("data.mixture.weights: give one or more patterns with weights >= 0")
    return np.asarray(values[_first_match(names, patterns)], np.float64)


def _first_match(names: Sequence[str], patterns: Sequence[str]) -> NDArray[np.int64]:
    """Index of the first pattern that matches each name, -1 where none does."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(
                f"data.mixture: {pattern!r} matches no direction; directions are written "
                f"like {names[0]}"
            )
    found = [
        next((i for i, pattern in enumerate(patterns) if fnmatchcase(name, pattern)), -1)
        for name in names
    ]
    return np.array(found, np.int64)
