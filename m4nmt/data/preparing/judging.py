"""Pairs of languages, judged: which rows of each pair are kept, and what dropped the others.

One pair after another, or several in worker processes: a pair depends on its columns and the chain
alone, so the number of workers changes nothing. Memory: of the pair at hand some twenty bytes a
row, and a byte a row and language for repeated lines. Not its job: what a filter looks at
(filters/).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from m4nmt.core.progress import progress
from m4nmt.data import leakage
from m4nmt.data.columns import rows
from m4nmt.data.directions import Pair
from m4nmt.data.filters import pairs
from m4nmt.data.filters.near import near_duplicates
from m4nmt.data.filters.regions import Region
from m4nmt.data.filters.scores import Scores
from m4nmt.data.filters.settings import (
    Alignment,
    Duplicates,
    FilterChain,
    NearDuplicates,
    PairFilter,
)
from m4nmt.data.filters.through import Through, Wrong, pivot
from m4nmt.data.filters.view import View
from m4nmt.data.leakage import Keys, Mask
from m4nmt.data.preparing import clean
from m4nmt.data.preparing.tally import CorpusColumns, repeated_lines
from m4nmt.data.preparing.workers import processes

_SAMPLES = 3
_LAST = (Duplicates, NearDuplicates)


@dataclass(frozen=True)
class PairCount:
    """What became of the rows of one pair of one corpus.

    Attributes:
        corpus, pair: which.
        present, kept: rows with both sides, and how many are left of them.
        dropped: rows by filter; present is kept and all of these together.
        samples: by filter, a few dropped rows.
        regions: suspected misaligned regions.
        curve: mean chance of being a pair along the file; empty where no filter says.
        facts: what the filters learned of the pair, by filter.
    """

    corpus: str
    pair: Pair
    present: int
    kept: int
    dropped: dict[str, int]
    samples: dict[str, list[int]]
    regions: list[Region] = field(default_factory=list)
    curve: list[float] = field(default_factory=list)
    facts: dict[str, dict[str, float]] = field(default_factory=dict)


class Judged(NamedTuple):
    """One pair of one corpus: its place among the corpora, counts, shifts of the dropped rows."""

    corpus: int
    told: PairCount
    shift: NDArray[np.int64]


class Told(NamedTuple):
    """All corpora of one pair; what pairs without the pivot learn from it (through.py)."""

    judged: list[Judged]
    wrong: list[Wrong]


class PairJudge:
    """Judges the pairs of one split.

    Args:
        corpora: in the order of their examples.
        chain: the pair filters; none keep every pair of good lines.
    """

    def __init__(self, corpora: Sequence[CorpusColumns], chain: FilterChain) -> None:
        self._corpora = corpora
        last = [one for one in chain.pairs if isinstance(one, _LAST)]
        self._first = [one for one in chain.pairs if not isinstance(one, _LAST)]
        self._near = [one for one in last if isinstance(one, NearDuplicates)]
        self._repeated: Mapping[tuple[str, str], Mask] = {}
        if len(last) > len(self._near):
            self._repeated = repeated_lines(corpora)
        self.pairs = sorted({pair for corpus in corpora for pair in corpus.pairs})
        most = [one.models for one in chain.pairs if isinstance(one, Alignment)]
        self.through = Through(pivot(self.pairs, _lines(corpora), min(most)) if most else "")

    def phases(self) -> Iterator[list[Pair]]:
        """Pairs that can be judged side by side: those with the pivot come first."""
        first = [pair for pair in self.pairs if self.through.pivot in pair]
        yield first
        self.through.settle()
        yield [pair for pair in self.pairs if self.through.pivot not in pair]

    def _ask(
        self, config: PairFilter, pair: Pair, having: Sequence[int], views: Sequence[View]
    ) -> pairs.Verdict | None:
        """One filter; a lexical model only where nothing follows from those of other pairs."""
        if isinstance(config, Alignment) and self.through.pivot:
            corpora = [self._corpora[i] for i in having]
            lines = {
                c.key: c.keep[self.through.pivot] for c in corpora if self.through.pivot in c.keep
            }
            keyed = {c.key: view for c, view in zip(corpora, views, strict=True)}
            if (follows := self.through.verdict(pair, keyed, lines)) is not None:
                return follows
        return pairs.judge(config, views)

    def judge(self, pair: Pair) -> Told:
        """All corpora that have a pair of languages."""
        having = [i for i, corpus in enumerate(self._corpora) if pair in corpus.pairs]
        views = [_view(self._corpora[i], pair) for i in having]
        reasons = [np.zeros(view.rows, np.uint8) for view in views]
        facts: dict[str, dict[str, float]] = {}
        told: list[pairs.Verdict] = []
        wrong: list[Wrong] = []
        keys = [self._corpora[i].key for i in having]
        for config in self._first:
            verdict = self._ask(config, pair, having, views)
            if verdict is not None:
                if isinstance(config, Alignment):
                    wrong = self.through.found(pair, keys, views, verdict)
                _note(reasons, verdict.drop, clean.PAIR_FILTERS.index(clean.name(config)))
                told += [verdict] if verdict.curves else []
                facts |= {clean.name(config): verdict.facts} if verdict.facts else {}
        if self._repeated:
            again = self._duplicates(having, pair, views, reasons)
            _note(reasons, again, clean.PAIR_FILTERS.index("duplicates"))
        for near in self._near:
            alive = _alive(views, reasons)
            found = near_duplicates(views, alive, near.least)
            _note(reasons, found, clean.PAIR_FILTERS.index("near_duplicates"))
        judged = []
        for place, number in enumerate(having):
            regions = [region for one in told for region in one.regions[place]]
            curve = told[-1].curves[place] if told else []
            key = self._corpora[number].key
            count = _count(key, pair, views[place], reasons[place])
            extra = {"regions": regions, "curve": curve, "facts": facts}
            whole = PairCount(**(vars(count) | extra))
            judged.append(Judged(number, whole, _shift(views[place], reasons[place])))
        return Told(judged, wrong)

    def _duplicates(
        self,
        having: Sequence[int],
        pair: Pair,
        views: Sequence[View],
        reasons: Sequence[NDArray[np.uint8]],
    ) -> list[Mask]:
        """Rows whose two lines occurred together before, in this corpus or an earlier one."""
        candidates = []
        for number, alive in zip(having, _alive(views, reasons), strict=True):
            key = self._corpora[number].key
            both = self._repeated[key, pair[0]] & self._repeated[key, pair[1]]
            candidates.append(np.flatnonzero(alive & both))

        def chunks() -> Iterator[Keys]:
            for view, rows_R in zip(views, candidates, strict=True):
                one, other = view.columns
                yield leakage.mix(one.keys[rows_R], other.keys[rows_R])

        total = sum(map(len, candidates))
        later = leakage.repeats(chunks, total)[1] if total > 1 else np.zeros(total, bool)
        found, start = [], 0
        for view, rows_R in zip(views, candidates, strict=True):
            mask_R = np.zeros(view.rows, bool)
            mask_R[rows_R[later[start : start + len(rows_R)]]] = True
            start += len(rows_R)
            found.append(mask_R)
        return found


def _lines(corpora: Sequence[CorpusColumns]) -> Counter[str]:
    """Good lines of each language."""
    found: Counter[str] = Counter()
    for corpus in corpora:
        found.update({code: int(np.count_nonzero(mask)) for code, mask in corpus.keep.items()})
    return found


def _view(corpus: CorpusColumns, pair: Pair) -> View:
    one, other = (corpus.columns[code] for code in pair)
    features = tuple(corpus.features[code] for code in pair if code in corpus.features)
    scores = {config: Scores(path) for config, path in corpus.scores.get(pair, {}).items()}
    return View((one, other), features, corpus.keep[pair[0]] & corpus.keep[pair[1]], scores)


def _note(reasons: Sequence[NDArray[np.uint8]], drop: Sequence[Mask], reason: int) -> None:
    """Count rows under the first filter that objects."""
    for reason_R, drop_R in zip(reasons, drop, strict=True):
        reason_R[drop_R & (reason_R == 0)] = reason


def _alive(views: Sequence[View], reasons: Sequence[NDArray[np.uint8]]) -> list[Mask]:
    return [v.present_R & (reason_R == 0) for v, reason_R in zip(views, reasons, strict=True)]


def _count(corpus: str, pair: Pair, view: View, reason_R: NDArray[np.uint8]) -> PairCount:
    dropped, samples = {}, {}
    present = int(np.count_nonzero(view.present_R))
    for reason in np.unique(reason_R[reason_R > 0]).tolist():
        found = np.flatnonzero(reason_R == reason)
        name = clean.PAIR_FILTERS[reason]
        dropped[name] = len(found)
        samples[name] = found[:: max(1, -(-len(found) // _SAMPLES))].tolist()
    return PairCount(corpus, pair, present, present - sum(dropped.values()), dropped, samples)


def _shift(view: View, reason_R: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Of the dropped rows, by their ranks among the present ones."""
    drop_R = np.flatnonzero(reason_R)
    ranks = np.cumsum(view.present_R, dtype=np.int64)[drop_R] - 1
    return rows.shifts(ranks)


_AT_WORK: list[PairJudge] = []  # in a worker process, the one it was forked with


def _adopt(judge: PairJudge) -> None:
    _AT_WORK.append(judge)


def _judge(pair: Pair) -> Told:
    return _AT_WORK[-1].judge(pair)


def judge_pairs(
    corpora: Sequence[CorpusColumns], chain: FilterChain, workers: int
) -> Iterator[Judged]:
    """All pairs of all corpora of a split, in order of pairs; those with a pivot first.

    Raises:
        RuntimeError: a worker process was killed.
    """
    judge = PairJudge(corpora, chain)
    with progress("judging pairs", len(judge.pairs)) as ticker:
        for phase in judge.phases():
            for told in _spread(judge, phase, workers):
                judge.through.learn(told.wrong)
                yield from told.judged
                ticker.advance()


def _spread(judge: PairJudge, phase: Sequence[Pair], workers: int) -> Iterator[Told]:
    if workers < 2 or len(phase) < 2:
        yield from map(judge.judge, phase)
        return
    with processes(workers, _adopt, judge) as pool:  # they see the columns without copying them
        try:
            yield from pool.map(_judge, phase)
        except BrokenProcessPool as error:
            raise RuntimeError(
                "judging pairs: a worker process was killed, most often for want of memory; run it "
                "again with fewer workers"
            ) from error
