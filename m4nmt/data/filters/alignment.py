"""How likely two lines are a translation of each other, learned from the corpus itself.

The lexical model scores pairs of the sample, and as many pairs thrown together from nearby lines.
A logistic regression tells the two apart. The corpus holds bad pairs too, a share b: first b is
read off where good pairs have no part (among the worst fifth of the thrown-together), and
P(translation) = 1 - b / r with the odds r of the regression (learning from positive and unlabelled
examples, Elkan and Noto 2008). Then EM: the regression is learned again with found pairs weighing
as much as they are likely translations, until r is the ratio of the densities of translations and
of lines thrown together.

Where the sample is too small, or pairs found cannot be told from those thrown together, there is
no evidence, and no model.

Letters: P pairs, X observations of a pair.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.filters.features import Ragged
from m4nmt.data.filters.lexical import Floats, Ints, Model

LEAST_PAIRS = 300
_LEAST_POWER = 0.15
_MOST_ODDS = 12.0  # in nats, either way
_ROUNDS = 6
_MANY_BAD = 0.08
_MOST_CELLS = 3_000_000
_MOST_WORDS = 80
_AT_ONCE = 1024
_NEARBY = (1, 9)  # thrown together: lines so many places apart, beyond the usual shifts


class Sides(NamedTuple):
    """Words and lengths in characters of the two sides of some pairs."""

    one: Ragged
    other: Ragged
    one_chars: Floats
    other_chars: Floats

    def take(self, first_P: Ints, second_P: Ints) -> "Sides":
        """Pairs of these first sides with these second sides."""
        return Sides(
            pick(self.one, first_P),
            pick(self.other, second_P),
            self.one_chars[first_P],
            self.other_chars[second_P],
        )


def pick(given: Ragged, lines_P: Ints) -> Ragged:
    """Words of some lines."""
    lengths_P = given.lengths_L[lines_P]
    starts_P = (np.cumsum(given.lengths_L) - given.lengths_L)[lines_P]
    before_P = np.cumsum(lengths_P) - lengths_P
    place = np.arange(int(lengths_P.sum())) + np.repeat(starts_P - before_P, lengths_P)
    return Ragged(given.words_W[place], lengths_P)


def short(given: Ragged, most: int = _MOST_WORDS) -> Ragged:
    """The first words of each line."""
    ends_L = np.cumsum(given.lengths_L)
    place_W = np.arange(len(given.words_W)) - np.repeat(ends_L - given.lengths_L, given.lengths_L)
    return Ragged(given.words_W[place_W < most], np.minimum(given.lengths_L, most))


def affordable(one: Ragged, other: Ragged, sample: int) -> int:
    """How many of the first pairs the training can take in."""
    cells_P = np.minimum(one.lengths_L, _MOST_WORDS) * np.minimum(other.lengths_L, _MOST_WORDS)
    return min(sample, int(np.searchsorted(np.cumsum(cells_P), _MOST_CELLS, side="right")))


@dataclass(frozen=True)
class Aligner:
    """A lexical model with what its scores mean.

    Attributes:
        model: the lexical model.
        typical: characters of the first side per character of the second.
        mean_X, scale_X, weight_X, bias: of the logistic regression.
        bad: share of bad pairs in the sample, as estimated.
        power: share of the pairs found that stand out from 95 % of those thrown together.
    """

    model: Model
    typical: float
    mean_X: Floats
    scale_X: Floats
    weight_X: Floats
    bias: float
    bad: float
    power: float

    def odds(self, sides: Sides, fold_P: Ints) -> NDArray[np.float32]:
        """log r of each pair: how much likelier it is among translations than thrown together.

        Args:
            sides: of the pairs.
            fold_P: fold of the sample each belongs to; 0 for others.
        """
        seen_PX = observe(self.model, self.typical, sides, fold_P)
        odds_P = ((seen_PX - self.mean_X) / self.scale_X) @ self.weight_X + self.bias
        return np.clip(odds_P, -_MOST_ODDS, _MOST_ODDS).astype(np.float32)


def chance(odds_P: NDArray[np.floating[Any]], bad: float = 0.5) -> NDArray[np.float32]:
    """P(translation) from log r, where a share `bad` of all pairs is not.

    One half is right inside a stretch of which nothing is known beforehand.
    """
    ratio_P = np.exp(odds_P.astype(np.float64)) * ((1 - bad) / bad)
    return (ratio_P / (1 + ratio_P)).astype(np.float32)


def fit(sides: Sides) -> Aligner | None:
    """Learn from a sample; None where there is no evidence.

    Args:
        sides: of the sample's pairs, in the order of the corpus. The model's fold of the i-th is
            i modulo its number of folds.
    """
    count = len(sides.one_chars)
    if count < LEAST_PAIRS:
        return None
    sides = sides._replace(one=short(sides.one), other=short(sides.other))
    found = _learn(sides, np.ones(count))
    if found and found[0].bad > _MANY_BAD:
        # What was learned from bad pairs blurs the model: once more, from likely translations.
        found = _learn(sides, found[1])
    return found[0] if found else None


def _learn(sides: Sides, weight_P: Floats) -> tuple[Aligner, Floats] | None:
    """An aligner from pairs of these weights, and P(translation) of each pair."""
    count = len(weight_P)
    model = Model(sides.one, sides.other, weight_P)
    typical = float(sides.one_chars.sum() / max(1.0, sides.other_chars.sum()))
    here_P = np.arange(count)
    fold_P = here_P % model.folds
    # Of the same fold, so that neither side was learned from.
    far_P = here_P + np.random.default_rng(1).integers(*_NEARBY, count) * model.folds
    far_P = np.where(far_P < count, far_P, 2 * here_P - far_P)
    good_PX = observe(model, typical, sides, fold_P)
    bad_PX = observe(model, typical, sides.take(here_P, far_P), fold_P)
    both_PX = np.concatenate([good_PX, bad_PX])
    mean_X, scale_X = both_PX.mean(axis=0), both_PX.std(axis=0) + 1e-9
    fitted = _separate((both_PX - mean_X) / scale_X, count)
    if fitted is None:
        return None
    return Aligner(model, typical, mean_X, scale_X, *fitted[:-1]), fitted[-1]


def _separate(seen_PX: Floats, count: int) -> tuple[Floats, float, float, float, Floats] | None:
    """Weights, bias, share of bad pairs, power, and P(translation) of the pairs found, by EM.

    None where power is too low.

    Args:
        seen_PX: the pairs found, then as many thrown together.
        count: of each.
    """
    truth_P = np.repeat([1.0, 0.0], count)
    share_P, bad, power = np.ones(count), 0.0, 0.0
    for round_ in range(_ROUNDS):
        # Both classes weigh the same: the odds are then the ratio of densities.
        weight_P = np.concatenate([share_P, np.full(count, share_P.mean())])
        weight_X, bias = _logistic(seen_PX, truth_P, weight_P)
        odds_P = np.clip(seen_PX @ weight_X + bias, -_MOST_ODDS, _MOST_ODDS)
        found_P, thrown_P = odds_P[:count], odds_P[count:]
        if round_ == 0:
            power = float(np.mean(found_P > np.quantile(thrown_P, 0.95)))
            if power < _LEAST_POWER:
                return None
            bad = float(np.mean(found_P < np.quantile(thrown_P, 0.2)) / 0.2)
            share_P = np.clip(1 - bad / np.exp(found_P), 0, 1)
        else:
            share_P = chance(found_P, bad).astype(np.float64)
        bad = float(np.clip(1 - share_P.mean(), 1e-3, 0.95))
    return weight_X, bias, bad, power, share_P


def observe(model: Model, typical: float, sides: Sides, fold_P: Ints) -> Floats:
    """What the regression sees of each pair, [P, X]."""
    count = len(sides.one_chars)
    seen_PX = np.zeros((count, 8))
    for fold in range(model.folds):
        of_fold = np.flatnonzero(fold_P == fold)
        for start in range(0, len(of_fold), _AT_ONCE):
            some = of_fold[start : start + _AT_ONCE]
            part = sides.take(some, some)
            seen_PX[some] = _observe(model, typical, part, fold)
    return seen_PX


def _observe(model: Model, typical: float, sides: Sides, fold: int) -> Floats:
    one, other = short(sides.one), short(sides.other)
    there, back, shared = model.score(one, other, fold)
    words = np.minimum(one.lengths_L, other.lengths_L).astype(np.float64)
    size = np.sqrt(np.minimum(words, 40))
    lengths = np.log((sides.one_chars + 10) / (sides.other_chars * typical + 10))
    off = np.minimum(np.abs(lengths), 2)
    columns = (there, back, np.minimum(there, back), (there + back) * size, shared)
    return np.stack([*columns, off, off * size, np.log1p(words)], axis=1)


def _logistic(seen_PX: Floats, truth_P: Floats, weight_P: Floats) -> tuple[Floats, float]:
    """Logistic regression by Newton's method, with a small ridge."""
    design = np.concatenate([seen_PX, np.ones((len(seen_PX), 1))], axis=1)
    ridge = np.full(design.shape[1], 1e-3 * len(design) / 10)
    ridge[-1] = 0
    weight = np.zeros(design.shape[1])
    for _ in range(12):
        chance_P = 1 / (1 + np.exp(-np.clip(design @ weight, -30, 30)))
        slope = design.T @ (weight_P * (truth_P - chance_P)) - ridge * weight
        curve = (design * (weight_P * chance_P * (1 - chance_P))[:, None]).T @ design
        weight = weight + np.linalg.solve(curve + np.diag(ridge + 1e-9), slope)
    return weight[:-1], float(weight[-1])
