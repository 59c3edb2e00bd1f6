"""Pairs judged through a third language: few models, and what they say of the others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from filters_made import ALL, sentence

from m4nmt.data.directions import Pair
from m4nmt.data.filters import alignment
from m4nmt.data.filters.features import Features, FeatureWriter
from m4nmt.data.filters.pairs import Verdict
from m4nmt.data.filters.settings import Alignment, FilterChain
from m4nmt.data.filters.through import Through, Wrong, pivot
from m4nmt.data.filters.view import View
from m4nmt.data.preparing import judging
from m4nmt.data.preparing.judging import PairCount, judge_pairs
from m4nmt.data.preparing.tally import CorpusColumns

ROWS = 900
PAIRS = [("one", "three"), ("one", "two"), ("three", "two")]
BAD = {"two": list(range(40, 560, 40)), "three": list(range(55, 560, 80))}
WRONG = {*BAD["two"], *BAD["three"]}


def corpus(
    folder: Path, texts: Mapping[str, Sequence[str]], pairs: Sequence[Pair]
) -> CorpusColumns:
    columns, features, keep = {}, {}, {}
    for code, lines in texts.items():
        writer = FeatureWriter(folder / f"{code}.features", ALL)
        writer.append(lines, code)
        writer.finish()
        features[code] = Features(folder / f"{code}.features")
        columns[code] = SimpleNamespace(chars=np.array([len(x) for x in lines], np.int32))
        keep[code] = np.array([bool(line) for line in lines], bool)
    made = CorpusColumns("made.train", cast(Any, columns), pairs, features=features)
    made.keep = keep
    return made


def multiway(folder: Path, absent: int = 0) -> CorpusColumns:
    """Three languages, some lines of another sentence; "one" lacks the last, the others the first.

    The others lack one more, so that "one" is the pivot.
    """
    texts = {code: [sentence(n, code) for n in range(ROWS)] for code in ("one", "two", "three")}
    for code, rows in BAD.items():
        for row in rows:
            texts[code][row] = sentence(row + 7000, code)
    for row in range(absent):
        texts["one"][ROWS - 1 - row] = texts["two"][row] = texts["three"][row] = ""
    texts["two"][absent] = texts["three"][absent] = ""
    return corpus(folder, texts, PAIRS)


def told(made: CorpusColumns, models: int, workers: int = 1) -> dict[Pair, tuple[PairCount, Any]]:
    chain = FilterChain(lines=(), rows=(), pairs=(Alignment(models=models),))
    found = judge_pairs([made], chain, workers)
    return {count.pair: (count, shift.tolist()) for _, count, shift in found}


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs each model was fitted to."""
    seen: list[int] = []
    fit = alignment.fit

    def noted(sides: alignment.Sides) -> alignment.Aligner | None:
        seen.append(len(sides.one_chars))
        return fit(sides)

    monkeypatch.setattr(alignment, "fit", noted)
    return seen


def dropped(found: tuple[PairCount, Any]) -> set[int]:
    """The rows, from what the store keeps of them, where the first alone is absent."""
    shift = np.array(found[1], np.int64)
    return set((shift + np.arange(len(shift)) + 1).tolist())


def test_a_pair_is_judged_through_the_pivot(tmp_path: Path, fits: list[int]) -> None:
    found = told(multiway(tmp_path), models=0)
    assert len(fits) == 2
    through = dropped(found["three", "two"])
    assert through == dropped(found["one", "two"]) | dropped(found["one", "three"])
    assert len(through.intersection(WRONG)) >= 0.9 * len(WRONG)
    assert len(through) <= len(WRONG) + 0.02 * ROWS
    count = found["three", "two"][0]
    assert count.present == ROWS - 1
    assert count.dropped == {"alignment": len(through)}


def test_few_pairs_have_models_of_their_own(tmp_path: Path, fits: list[int]) -> None:
    own = told(multiway(tmp_path), models=1)
    assert len(fits) == 3
    assert len(dropped(own["three", "two"]).intersection(WRONG)) >= 0.9 * len(WRONG)


def test_rows_without_the_pivot_are_not_passed_unseen(tmp_path: Path, fits: list[int]) -> None:
    told(multiway(tmp_path, absent=ROWS // 5), models=0)
    both = ROWS - 2 * (ROWS // 5) - 1
    assert fits == [both, both, ROWS - ROWS // 5 - 1]


def test_without_evidence_there_is_nothing_to_follow(tmp_path: Path, fits: list[int]) -> None:
    made = multiway(tmp_path)
    made.keep["one"][alignment.LEAST_PAIRS - 50 :] = False
    told(made, models=0)
    assert len(fits) == 3


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    made = multiway(tmp_path)
    one, two = told(made, models=0), told(made, models=0, workers=2)
    assert list(one) == list(two)
    assert [found[1] for found in one.values()] == [found[1] for found in two.values()]


def test_the_pivot_is_in_most_pairs_and_has_most_lines() -> None:
    all_pairs = [(a, b) for a in "abcd" for b in "abcd" if a < b]
    lines = {"a": 5, "b": 5, "c": 9, "d": 1}
    assert pivot(all_pairs, lines, 2) == "c"
    assert pivot(all_pairs, lines, 3) == ""
    assert pivot(all_pairs, dict.fromkeys("abcd", 7), 2) == "a"
    assert pivot([("a", "b"), ("b", "c"), ("c", "d"), ("b", "d")], lines, 0) == "b"
    assert pivot([("a", "b")], lines, 0) == ""
    assert pivot([], {}, 0) == ""


def view(rows: int) -> View:
    return View(cast(Any, ()), (), np.ones(rows, bool))


def test_a_row_that_most_disagree_with_is_the_fault_of_the_pivot() -> None:
    through, seen = Through("p"), view(8)
    for code, rows in {"a": [1, 5], "b": [5], "c": [5], "d": [2]}.items():
        drop_R = np.zeros(8, bool)
        drop_R[rows] = True
        by = Verdict([drop_R], facts={"power": 0.9})
        through.learn(through.found((code, "p"), ["k"], [seen], by))
    through.settle()
    lines = {"k": np.ones(8, bool)}
    verdict = through.verdict(("a", "d"), {"k": seen}, lines)
    assert verdict is not None
    assert np.flatnonzero(verdict.drop[0]).tolist() == [1, 2]
    assert through.verdict(("a", "e"), {"k": seen}, lines) is None
    assert through.verdict(("a", "p"), {"k": seen}, lines) is None
    assert through.verdict(("a", "d"), {"k": seen}, {}) is None


def test_masks_come_through_packing() -> None:
    drop_R = np.array([True, False, False, True, True, False, False, False, True, False, True])
    wrong = Wrong("k", "a", 11, np.packbits(drop_R), np.packbits(~drop_R))
    assert np.array_equal(wrong.mask(), drop_R)
    assert judging.PairJudge([], FilterChain(lines=(), rows=(), pairs=())).through.pivot == ""
