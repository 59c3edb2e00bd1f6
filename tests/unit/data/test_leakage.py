"""What counts as the same text."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.data import leakage
from m4nmt.data.leakage import Keys


def keys(*texts: str) -> Keys:
    return np.array([leakage.key(text) for text in texts], np.uint64)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A test.", "a  TEST.  "),
        ("caf\u00e9", "cafe\u0301"),
        ("ﬁne", "fine"),
        ("a\u00a0b", "a b"),
        ("STRASSE", "straße"),
        ("a\u200bb", "ab"),
        ("line\u2028two", "line two"),
    ],
)
def test_same_text(one: str, other: str) -> None:
    assert leakage.key(one) == leakage.key(other)


def test_other_text() -> None:
    different = ["a test", "a test.", "atest", "a tast", ""]
    assert len({leakage.key(text) for text in different}) == len(different)
    assert all(leakage.key(text) != 0 for text in different)


def test_pairs_are_ordered() -> None:
    one, other = keys("a", "b"), keys("b", "a")
    mixed = leakage.mix(one, other)
    assert mixed[0] != mixed[1]
    assert np.array_equal(mixed, leakage.mix(one.copy(), other.copy()))


def test_a_row_leaks_through_any_of_its_languages() -> None:
    known = {"eng": leakage.distinct([keys("one"), keys("two", "one")])}
    known["swh"] = leakage.distinct([keys("tatu")])
    columns = {"eng": keys("one", "x", "tatu", "y"), "swh": keys("p", "q", "r", "Tatu")}
    assert leakage.overlap(columns, known).tolist() == [True, False, False, True]
    assert not leakage.overlap(columns, {}).any()
    assert not leakage.overlap({"fra": keys("one")}, known).any()


@given(st.lists(st.lists(st.integers(0, 9), max_size=9), max_size=6), st.integers(1, 20))
@settings(max_examples=120, deadline=None)
def test_repeats_against_counting(chunks: list[list[int]], part: int) -> None:
    # Spread the values over the whole range, so that several parts are looked at.
    spread = [np.array(c, np.uint64) * np.uint64(0x1999999999999999) for c in chunks]
    flat = [value for chunk in spread for value in chunk.tolist()]

    def again() -> Iterator[Keys]:
        return iter(spread)

    repeated, later = leakage.repeats(again, len(flat), part)
    counts, seen = Counter(flat), set()
    for place, value in enumerate(flat):
        assert repeated[place] == (value != 0 and counts[value] > 1)
        assert later[place] == (value != 0 and value in seen)
        seen.add(value)


def test_repeats_hold_few_keys_at_once() -> None:
    asked = 0
    values = np.arange(1, 1001, dtype=np.uint64) << np.uint64(54)

    def again() -> Iterator[Keys]:
        nonlocal asked
        asked += 1
        return iter([values])

    leakage.repeats(again, 1000, part=100)
    assert asked == 16
