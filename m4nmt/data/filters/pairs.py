"""The pair filters: each says, of all rows of a pair of languages, which to drop.

They look at rows in blocks; what they keep of a row is a byte or two. A filter that learns (typical
lengths, words that translate each other) learns from all present rows, whatever other filters say
of them, so their order does not matter. Not its job: duplicates (tally.py, near.py).

Letters: R rows, P pairs, W words.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m4nmt.data.filters import alignment, settings
from m4nmt.data.filters.alignment import Sides
from m4nmt.data.filters.features import Ragged, Wanted
from m4nmt.data.filters.regions import Region, regions
from m4nmt.data.filters.view import Ints, Mask, View

_SLACK = 10.0
_SPREAD_SAMPLE = 1 << 16
_LEAST_SPREAD = 0.1
_PLACES = 200  # points of the curve of a report


@dataclass
class Verdict:
    """What a filter says of the views of one pair of languages.

    Attributes:
        drop: of each view, the rows to drop.
        regions: of each view, suspected misaligned regions.
        curves: of each view, mean chance of being a pair along the file; empty for most filters.
        facts: what it learned, for the report.
    """

    drop: list[Mask]
    regions: list[list[Region]] = field(default_factory=list)
    curves: list[list[float]] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)


Judge = Callable[[View, Ints], Mask]


def _each(views: Sequence[View], judge: Judge) -> Verdict:
    """Ask about the present rows of each view, block by block."""
    found = []
    for view in views:
        drop_R = np.zeros(view.rows, bool)
        for rows_R in view.blocks():
            drop_R[rows_R] = judge(view, rows_R)
        found.append(drop_R)
    return Verdict(found)


def _identical(_: settings.Identical, views: Sequence[View]) -> Verdict:
    def judge(view: View, rows_R: Ints) -> Mask:
        one, other = (column.keys[rows_R] for column in view.columns)
        same: Mask = one == other
        return same

    return _each(views, judge)


def _max_ratio(config: settings.MaxRatio, views: Sequence[View]) -> Verdict:
    found: list[Mask] = []
    for view in views:
        root = float(np.sqrt(typical(view)))

        def judge(view: View, rows_R: Ints, root: float = root) -> Mask:
            one, other = view.chars(rows_R)
            one, other = one / root + _SLACK, other * root + _SLACK
            far: Mask = np.maximum(one, other) > config.most * np.minimum(one, other)
            return far

        found += _each([view], judge).drop
    return Verdict(found)


def typical(view: View) -> float:
    """Characters of the first language per character of the second, over all present rows."""
    sums = np.zeros(2)
    for rows_R in view.blocks():
        sums += [side.sum() for side in view.chars(rows_R)]
    return float(sums[0] / sums[1]) if sums.all() else 1.0


def _unusual_ratio(config: settings.UnusualRatio, views: Sequence[View]) -> Verdict:
    found: list[Mask] = []
    for view in views:
        middle, spread = _usual(view)

        def judge(view: View, rows_R: Ints, middle: float = middle, spread: float = spread) -> Mask:
            off = np.abs(_log_ratio(view, rows_R) - middle)
            return off > config.most * spread

        found += _each([view], judge).drop
    return Verdict(found)


def _usual(view: View) -> tuple[float, float]:
    """Median and spread of the log ratio of lengths, from evenly spread rows.

    The spread is the median absolute deviation, scaled to a normal's: bad pairs hardly move it.
    """
    step = max(1, int(np.count_nonzero(view.present_R)) // _SPREAD_SAMPLE)
    parts = [_log_ratio(view, rows_R[::step]) for rows_R in view.blocks()]
    values = np.concatenate(parts) if parts else np.zeros(1)
    middle = float(np.median(values))
    return middle, max(_LEAST_SPREAD, float(np.median(np.abs(values - middle))) / 0.6745)


def _log_ratio(view: View, rows_R: Ints) -> NDArray[np.float64]:
    one, other = view.chars(rows_R)
    return np.log((one + _SLACK) / (other + _SLACK))


def _copied(config: settings.Copied, views: Sequence[View]) -> Verdict:
    def judge(view: View, rows_R: Ints) -> Mask:
        sides = view.sides(rows_R)
        one, other = _distinct(sides.one), _distinct(sides.other)
        shared = np.intersect1d(one, other, assume_unique=True)
        shared_P, one_P, other_P = (
            np.bincount(key >> 16, minlength=len(rows_R)) for key in (shared, one, other)
        )
        least_P = np.minimum(one_P, other_P)
        found: Mask = (least_P >= config.words) & (shared_P > config.most * least_P)
        return found

    return _each(views, judge)


def _distinct(given: Ragged) -> Ints:
    """Distinct words of each line, as line * 65536 + word."""
    owner_W = np.repeat(np.arange(len(given.lengths_L)), given.lengths_L)
    return np.unique((owner_W << 16) + given.words_W)


def _numbers(config: settings.Numbers, views: Sequence[View]) -> Verdict:
    def judge(view: View, rows_R: Ints) -> Mask:
        one, other = (side.digits_L10[rows_R].astype(np.int64) for side in view.features)
        common_P = np.minimum(one, other).sum(axis=1)
        fewer_P = np.minimum(one.sum(axis=1), other.sum(axis=1))
        more_P = np.maximum(one.sum(axis=1), other.sum(axis=1))
        found: Mask = (fewer_P >= config.digits) & (common_P < config.least * more_P)
        return found

    return _each(views, judge)


def _alignment(config: settings.Alignment, views: Sequence[View]) -> Verdict:
    chosen, sides = _sample(views, config.sample)
    model = alignment.fit(sides)
    if model is None:
        none = [np.zeros(view.rows, bool) for view in views]
        return Verdict(none, facts={"pairs": float(len(sides.one_chars))})
    verdict = Verdict([], facts={"bad": model.bad, "power": model.power})
    verdict.facts["pairs"] = float(len(sides.one_chars))
    start = 0
    for view, rows_R in zip(views, chosen, strict=True):
        fold_R = np.zeros(view.rows, np.uint8)
        fold_R[rows_R] = (start + np.arange(len(rows_R))) % model.model.folds
        start += len(rows_R)
        _score(config, model, view, fold_R, verdict)
    return verdict


def _score(
    config: settings.Alignment,
    model: alignment.Aligner,
    view: View,
    fold_R: NDArray[np.uint8],
    verdict: Verdict,
) -> None:
    """Add what the model says of one view."""
    odds_R = np.zeros(view.rows, np.float16)
    for rows_R in view.blocks():
        odds_R[rows_R] = model.odds(view.sides(rows_R), fold_R[rows_R].astype(np.int64))
    rows_R = np.flatnonzero(view.present_R)
    odds_P = odds_R[rows_R]
    even_P = alignment.chance(odds_P)
    drop_R = np.zeros(view.rows, bool)
    drop_R[rows_R] = alignment.chance(odds_P, model.bad) < config.least
    found = regions(rows_R, even_P, config.window, config.region)
    for region in found:
        drop_R[region.first : region.last + 1] = True
    verdict.drop.append(drop_R & view.present_R)
    verdict.regions.append(found)
    parts = np.array_split(even_P, min(_PLACES, max(1, len(even_P) // 16)))
    verdict.curves.append([round(float(part.mean()), 3) for part in parts if len(part)])


def _sample(views: Sequence[View], most: int) -> tuple[list[Ints], Sides]:
    """Evenly spread present rows of all views, as many as the training can take in."""
    counts = [int(np.count_nonzero(view.present_R)) for view in views]
    total = sum(counts)
    wanted = min(most, total)
    while True:
        chosen = [
            _spread(view, round(wanted * count / max(1, total)))
            for view, count in zip(views, counts, strict=True)
        ]
        sides = _join([v.sides(rows) for v, rows in zip(views, chosen, strict=True)])
        can = alignment.affordable(sides.one, sides.other, most)
        if can >= len(sides.one_chars):
            return chosen, sides
        wanted = min(wanted - 1, can)


def _spread(view: View, wanted: int) -> Ints:
    """So many of the present rows, evenly spread."""
    rows_R = np.flatnonzero(view.present_R)
    wanted = min(wanted, len(rows_R))
    return rows_R[np.arange(wanted) * len(rows_R) // max(1, wanted)]


def _join(parts: Sequence[Sides]) -> Sides:
    return Sides(
        _joined([part.one for part in parts]),
        _joined([part.other for part in parts]),
        np.concatenate([part.one_chars for part in parts]),
        np.concatenate([part.other_chars for part in parts]),
    )


def _joined(parts: Sequence[Ragged]) -> Ragged:
    return Ragged(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _embedding_score(config: settings.EmbeddingScore, views: Sequence[View]) -> Verdict:
    verdict = Verdict([])
    # Sums and counts: of pairs' cosines, of those of lines thrown together, of these that pass.
    found, thrown, passed = np.zeros(2), np.zeros(2), np.zeros(2)
    for view in views:
        scores, drop_R = view.scores[config], np.zeros(view.rows, bool)
        for rows_R in view.blocks():
            cosine_R, thrown_R = scores.of(rows_R)
            drop_R[rows_R] = cosine_R < config.least
            thrown_R = thrown_R[~np.isnan(thrown_R)]
            found += cosine_R.sum(dtype=np.float64), len(cosine_R)
            thrown += thrown_R.sum(dtype=np.float64), len(thrown_R)
            passed += int(np.count_nonzero(thrown_R >= config.least)), len(thrown_R)
        verdict.drop.append(drop_R)
    told = {"mean": found, "thrown": thrown, "thrown_kept": passed}
    verdict.facts = {name: float(sums[0] / sums[1]) for name, sums in told.items() if sums[1]}
    return verdict


_JUDGES: Mapping[type, Callable[[Any, Sequence[View]], Verdict]] = {
    settings.Identical: _identical,
    settings.MaxRatio: _max_ratio,
    settings.UnusualRatio: _unusual_ratio,
    settings.Copied: _copied,
    settings.Numbers: _numbers,
    settings.Alignment: _alignment,
    settings.EmbeddingScore: _embedding_score,
}


def judge(config: settings.PairFilter, views: Sequence[View]) -> Verdict | None:
    """What a filter says of the corpora that have a pair of languages; None for duplicates."""
    found = _JUDGES.get(type(config))
    return found(config, views) if found else None


def wanted(chain: settings.FilterChain, train: bool) -> Wanted:
    """The features that a chain asks for of training lines, or of lines of test sets."""
    partial = any(isinstance(c, settings.PartialOverlap) for c in chain.rows)
    if not train:
        return Wanted(words=partial)
    by_words = (settings.Copied, settings.Alignment)
    return Wanted(
        words=partial or any(isinstance(c, by_words) for c in chain.pairs),
        digits=any(isinstance(c, settings.Numbers) for c in chain.pairs),
        minhash=any(isinstance(c, settings.NearDuplicates) for c in chain.pairs),
    )
