"""Which share of the stream each direction gets: temperature, UniMax, explicit weights.

Not its job: phases over a run and whole examples (blocks.py, plan.py).
Shape letters: D directions.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from m4nmt.core.config import ConfigError
from m4nmt.data.patterns import first_match
from m4nmt.data.settings import Scaled, Temperature, UniMax, Weights
from m4nmt.data.types import Direction

Floats = NDArray[np.float64]
Plain = Temperature | UniMax | Weights
Simple = Plain | Scaled
_WHERE = "data.mixture"


def shares(
    mixture: Simple,
    directions: Sequence[Direction],
    sizes_D: NDArray[np.int64],
    budget: float,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Floats:
    """Share of each direction, in the order given; they sum to 1.

    Args:
        sizes_D: examples of each direction; a direction without any gets no share.
        budget: examples drawn in all while this mixture is used (UniMax needs it).
        only: patterns; when given, a direction that matches none gets no share.
        without: patterns; a direction that matches one gets no share.

    Raises:
        ConfigError: impossible options, a pattern that matches nothing, or nothing left to draw.
    """
    names = [str(direction) for direction in directions]
    here_D = np.asarray(sizes_D, np.float64)
    if only:
        here_D = np.where(first_match(names, only, _WHERE) >= 0, here_D, 0.0)
    if without:
        here_D = np.where(first_match(names, without, _WHERE) >= 0, 0.0, here_D)
    if not (here_D > 0).any():
        raise ConfigError("data.mixture: no direction with examples is left")
    if isinstance(mixture, Scaled):
        shares_D = _plain(mixture.mixture, names, here_D, budget)
        shares_D = shares_D * _by_pattern(names, mixture.factors, 1.0, "factors")
    else:
        shares_D = _plain(mixture, names, here_D, budget)
    total = shares_D.sum()
    if not total > 0:
        raise ConfigError("data.mixture: all weights of the directions that exist are zero")
    return np.asarray(shares_D / total, np.float64)


def _plain(mixture: Plain, names: Sequence[str], sizes_D: Floats, budget: float) -> Floats:
    if isinstance(mixture, Temperature):
        return temperature(sizes_D, mixture.T)
    if isinstance(mixture, UniMax):
        return unimax(sizes_D, mixture.max_epochs, budget)
    return np.where(sizes_D > 0, _by_pattern(names, mixture.weights, 0.0, "weights"), 0.0)


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


def _by_pattern(
    names: Sequence[str], given: Mapping[str, float], otherwise: float, what: str
) -> Floats:
    """The number of the first pattern that matches each name."""
    values = np.array([*given.values(), otherwise])
    if not given or not np.isfinite(values).all() or (values < 0).any():
        raise ConfigError(f"data.mixture.{what}: give one or more patterns with {what} >= 0")
    return np.asarray(values[first_match(names, list(given), f"{_WHERE}.{what}")], np.float64)
