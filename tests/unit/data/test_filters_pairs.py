"""The pair filters, one by one; features, lexical model, regions, near duplicates, overlap."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from filters_made import sentence, view, word
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.data import leakage
from m4nmt.data.filters import alignment, features, lexical, near, pairs, partial
from m4nmt.data.filters import settings as filters
from m4nmt.data.filters import view as views
from m4nmt.data.filters.characters import Lines
from m4nmt.data.filters.regions import Region, regions


def dropped(
    folder: Path, config: filters.PairFilter, one: Sequence[str], other: Sequence[str]
) -> list[int]:
    verdict = pairs.judge(config, [view(folder, one, other)])
    assert verdict is not None
    return np.flatnonzero(verdict.drop[0]).tolist()


def test_identical_pairs(tmp_path: Path) -> None:
    one, other = ["Hello  World", "a", "b", ""], ["hello world", "a", "c", ""]
    assert dropped(tmp_path, filters.Identical(), one, other) == [0, 1]


def test_ratio_is_relative_to_the_typical_one(tmp_path: Path) -> None:
    # Alike on the whole, so that typical is 1: (50 + 10) / (10 + 10) is 3 exactly, and stays.
    one = ["x" * 50, "x" * 51, "x" * 10, "x" * 10]
    other = ["y" * 10, "y" * 10, "y" * 50, "y" * 51]
    assert dropped(tmp_path, filters.MaxRatio(most=3.0), one, other) == [1, 3]
    # Languages that differ threefold in length, and a pair that does not.
    one, other = ["x" * 150] * 50 + ["x" * 50], ["y" * 50] * 51
    assert dropped(tmp_path, filters.MaxRatio(most=1.5), one, other) == [50]
    assert dropped(tmp_path, filters.MaxRatio(most=1.5), other, one) == [50]


def test_unusual_ratio_knows_what_is_usual(tmp_path: Path) -> None:
    draw = random.Random(1)
    other = ["y" * draw.randint(40, 60) for _ in range(200)]
    other[7] = "y" * 18
    one = ["x" * 100] * 200
    assert dropped(tmp_path, filters.UnusualRatio(), one, other) == [7]
    assert dropped(tmp_path, filters.MaxRatio(), one, other) == []


def test_copied_words(tmp_path: Path) -> None:
    one = ["alle meine kleinen Entchen", "alle meine kleinen Entchen", "New York, USA", "a b c d"]
    other = ["Alle meine kleinen Entchen!!", "alle my little ducklings", "New York, USA", "a b c x"]
    assert dropped(tmp_path, filters.Copied(), one, other) == [0]
    assert dropped(tmp_path, filters.Copied(most=0.7), one, other) == [0, 3]
    assert dropped(tmp_path, filters.Copied(words=3), one, other) == [0, 2]


def test_numbers_in_any_script(tmp_path: Path) -> None:
    one = ["In 2019, 45%", "In 2019, 45%", "In 2019", "one 1", "2019", "by 1,234.5 m"]
    other = ["२०१९ में ४५", "8831 में 67", "في ٢٠١٩", "eine 7", "kein Jahr", "um 1.234,5 m"]
    assert dropped(tmp_path, filters.Numbers(), one, other) == [1]
    assert dropped(tmp_path, filters.Numbers(digits=1), one, other) == [1, 3]


def test_words_of_several_scripts() -> None:
    texts = ["Wash your hands", "wash YOUR, handsome 2019!", "", "每天洗手", "ล้าง", "2019 २०१९"]
    found = features.words(Lines(texts, "eng_Latn"))
    assert found.lengths_L.tolist() == [3, 4, 0, 4, 3 + 1, 2]
    by_line = np.split(found.words_W, np.cumsum(found.lengths_L)[:-1])
    # Case and all but the first letters do not count; digits are the same in any script.
    assert by_line[0].tolist() == by_line[1][:3].tolist()
    assert by_line[5][0] == by_line[5][1] == by_line[1][3]
    assert len(set(by_line[3].tolist())) == 4


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_features_are_of_the_line_alone(texts: list[str]) -> None:
    together = Lines(texts, "eng_Latn")
    apart = [Lines([text], "eng_Latn") for text in texts]
    words = [features.words(one) for one in apart]
    found = features.words(together)
    assert found.words_W.tolist() == [w for one in words for w in one.words_W.tolist()]
    assert found.lengths_L.tolist() == [len(one.words_W) for one in words]
    for make in (features.digits, features.minhash):
        assert np.array_equal(make(together), np.concatenate([make(one) for one in apart]))


def test_minhash_estimates_resemblance() -> None:
    draw = random.Random(3)
    text = "".join(draw.choice("abcdefgh ") for _ in range(4000))
    errors = []
    for cut in (500, 1500, 2500):
        one, other = text[: 4000 - cut], text[cut:]
        sets = [{t[i : i + 5] for i in range(len(t) - 4)} for t in (one, other)]
        truth = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
        signs = features.minhash(Lines([one, other], "eng_Latn"))
        errors.append(abs(float(np.mean(signs[0] == signs[1])) - truth))
    assert max(errors) < 3 * (0.25 / features.HASHES) ** 0.5
    other_language = features.minhash(Lines([text], "deu_Latn"))
    assert not np.any(other_language == features.minhash(Lines([text], "eng_Latn")))


def test_near_duplicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = [sentence(n, "one") for n in range(120)]
    other = [sentence(n, "two") for n in range(120)]
    one[50], other[50] = one[10].replace(".", " !"), other[10]
    other[70] = other[20]  # the same translation of another sentence is none
    one[90], other[90] = one[50], other[50].upper()
    first = view(tmp_path, one[:60], other[:60])
    second = view(tmp_path, one[60:], other[60:])
    both = [first, second]
    alive = [np.ones(60, bool), np.ones(60, bool)]
    found = near.near_duplicates(both, alive, 0.8)
    assert [np.flatnonzero(mask).tolist() for mask in found] == [[50], [30]]
    # What is dead already hides nothing, and is not found.
    alive[0][10] = False
    found = near.near_duplicates(both, alive, 0.8)
    assert [np.flatnonzero(mask).tolist() for mask in found] == [[], [30]]
    monkeypatch.setattr(near, "BLOCK", 7)
    again = near.near_duplicates(both, alive, 0.8)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_what_resembles_half_is_no_near_duplicate(tmp_path: Path) -> None:
    """Half of the words are others: often a candidate, never beyond the bound."""
    one = [sentence(n, "one") for n in range(60)]
    other = [sentence(n, "two") for n in range(60)]
    for n in range(30):
        for lines in (one, other):
            words = lines[n].split()
            lines[n + 30] = " ".join([*words, *lines[n + 30].split()[: len(words) // 2]])
    both = view(tmp_path, one, other)
    counts = [
        int(near.near_duplicates([both], [both.present_R], least)[0].sum()) for least in (0.2, 0.9)
    ]
    assert counts[0] >= 15
    assert counts[1] == 0


def test_groups_are_those_of_a_dict() -> None:
    draw = np.random.default_rng(1)
    keys = draw.integers(0, 40, 200).astype(np.uint64) << np.uint64(58)
    seen: dict[int, int] = {}
    expected = set()
    for place, value in enumerate(keys.tolist()):
        if value:
            first = seen.setdefault(value, place)
            if first != place:
                expected.add((first, place))
    for part in (16, 1000):
        found = set()
        for first, later in leakage.groups(lambda: iter([keys[:90], keys[90:]]), 200, part):
            found |= set(zip(first.tolist(), later.tolist(), strict=True))
        assert found == expected


def test_model_one_against_counting() -> None:
    """Two pairs: "a b" - "x y" and "a" - "x"; EM moves t(x|a) up, as in Brown et al."""
    one = features.Ragged(np.array([1, 2, 1], np.uint16), np.array([2, 1]))
    other = features.Ragged(np.array([7, 8, 7], np.uint16), np.array([2, 1]))
    found = lexical.cells(one, other)
    assert len(found.one_C) == 2 * 3 + 1 * 2
    key, kind = lexical.kinds(found)
    chance = {(e, f): 1.0 for e in (lexical.NULL, 1, 2) for f in (7, 8)}
    pair_words = [((lexical.NULL, 1, 2), (7, 8)), ((lexical.NULL, 1), (7,))]
    plain = np.ones(len(key))
    for _ in range(4):
        count = dict.fromkeys(chance, 0.0)
        for sources, targets in pair_words:
            for f in targets:
                total = sum(chance[e, f] for e in sources)
                for e in sources:
                    count[e, f] += chance[e, f] / total
        totals = {e: count[e, 7] + count[e, 8] for e in (lexical.NULL, 1, 2)}
        chance = {(e, f): count[e, f] / totals[e] for e, f in chance}
        expected = lexical.expected(kind, found.other_token_C, np.ones(len(kind)), plain)
        one_of = key // (1 << 17)
        total_e = np.bincount(one_of, expected)
        plain = expected / total_e[one_of]
    ours = {(int(k) >> 17, int(k) % (1 << 17)): float(c) for k, c in zip(key, plain, strict=True)}
    assert ours == pytest.approx(chance)
    assert ours[1, 7] > 0.6 > 0.5 > ours[2, 7]


def test_alignment_finds_bad_pairs_and_regions(tmp_path: Path) -> None:
    count = 1200
    one = [sentence(n, "one") for n in range(count)]
    other = [sentence(n, "three") for n in range(count)]
    scattered = list(range(30, 600, 45))
    for row in scattered:
        other[row] = sentence(row + 5000, "three")
    for row in range(700, 800):
        other[row] = sentence(row - 1, "three")
    verdict = pairs.judge(filters.Alignment(), [view(tmp_path, one, other)])
    assert verdict is not None
    (region,) = verdict.regions[0]
    assert abs(region.first - 700) <= 2
    assert abs(region.last - 799) <= 2
    found = set(np.flatnonzero(verdict.drop[0]).tolist())
    assert set(scattered) | set(range(702, 798)) <= found
    assert len(found - set(scattered) - set(range(700, 800))) <= 0.01 * count
    # A region goes whole, whatever is said of its rows.
    whole = pairs.judge(filters.Alignment(least=0.0), [view(tmp_path, one, other)])
    assert whole is not None
    assert np.flatnonzero(whole.drop[0]).tolist() == list(range(region.first, region.last + 1))
    # The same lines in order: nothing is suspected, hardly anything dropped.
    right = [sentence(n, "three") for n in range(count)]
    clean = pairs.judge(filters.Alignment(), [view(tmp_path, one, right)])
    assert clean is not None
    assert clean.regions == [[]]
    assert clean.drop[0].mean() < 0.01


def test_alignment_without_evidence_drops_nothing(tmp_path: Path) -> None:
    few = [[sentence(n, code) for n in range(alignment.LEAST_PAIRS - 1)] for code in ("one", "two")]
    few[1][7] = sentence(9_000, "two")
    verdict = pairs.judge(filters.Alignment(), [view(tmp_path, *few)])
    assert verdict is not None
    assert verdict.facts == {"pairs": alignment.LEAST_PAIRS - 1}
    assert not verdict.drop[0].any()
    # Sides that have nothing to do with each other: no model, rather than all rows dropped.
    one = [sentence(n, "one") for n in range(600)]
    other = [sentence(n * 7919 % 600 + 9000, "two") for n in range(600)]
    assert dropped(tmp_path, filters.Alignment(), one, other) == []


def test_alignment_over_several_corpora_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(sentence(n, "one"), sentence(n if n % 9 else n + 4000, "two")) for n in range(900)]
    parts = [view(tmp_path, *zip(*rows[:500], strict=True))]
    parts.append(view(tmp_path, *zip(*rows[500:], strict=True)))
    at_once = pairs.judge(filters.Alignment(), parts)
    monkeypatch.setattr(views, "BLOCK", 64)
    in_blocks = pairs.judge(filters.Alignment(), parts)
    assert at_once is not None
    assert in_blocks is not None
    for one, other in zip(at_once.drop, in_blocks.drop, strict=True):
        assert np.array_equal(one, other)
        assert 30 < one.sum() < 70
    small = pairs.judge(filters.Alignment(sample=450), parts)
    assert small is not None
    assert small.facts["pairs"] <= 450


def test_regions_by_hand() -> None:
    chance = np.full(400, 0.97, np.float32)
    chance[100:160] = 0.1
    chance[5::11] = 0.02  # scattered bad rows are no region
    rows = np.arange(400) * 2
    (found,) = regions(rows, chance, 32, 0.5)
    assert (found.first, found.last) == (200, 318)
    assert found.chance == pytest.approx(float(chance[100:160].mean()), abs=0.02)
    assert regions(rows, chance, 32, 0.0) == []
    assert regions(rows[:20], chance[:20], 32, 0.5) == []
    low = regions(np.arange(40), np.zeros(40, np.float32), 32, 0.5)
    assert low == [Region(0, 39, 0.0)]


def test_a_part_of_a_test_line_is_overlap() -> None:
    test = " ".join(word(n, "one") for n in range(20))
    train = [
        f"{word(99, 'one')} {test} {word(98, 'one')}",
        " ".join(word(n, "one") for n in [*range(7), *range(40, 60)]),
        " ".join(word(n, "one") for n in [*range(12), *range(40, 42)]),
        " ".join(word(n, "one") for n in range(6)),
        " ".join(word(n, "one") for n in [*range(10), *range(40, 60)]),
        "",
    ]
    known, _ = partial.grams(features.words(Lines([test, "short one"], "one")), 8)
    assert len(known) == 13
    found = partial.overlapping(features.words(Lines(train, "one")), np.sort(known), 8, 0.5)
    assert found.tolist() == [True, False, True, False, False, False]
