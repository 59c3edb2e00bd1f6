"""The filters, one by one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from m4nmt.data import clean, leakage
from m4nmt.data.settings import BlockConfig, FilterConfig


def test_limits_leave_room_for_specials() -> None:
    filters, blocks = FilterConfig(max_chars=100, max_tokens=250), BlockConfig(max_length=256)
    assert clean.limits(filters, blocks, train=True) == (100, 250)
    assert clean.limits(filters, BlockConfig(max_length=64), train=True) == (100, 61)
    assert clean.limits(FilterConfig(max_tokens=0), blocks, train=True) == (2000, 253)
    # A test set is never filtered; only what no batch can hold has no example.
    assert clean.limits(filters, blocks, train=False) == (0, 253)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, clean.UNREADABLE),
        ("", clean.EMPTY),
        (" \u00a0\u3000\t", clean.EMPTY),
        ("x" * 10, clean.GOOD),
        ("x" * 11, clean.MAX_CHARS),
    ],
)
def test_lines(text: str | None, expected: int) -> None:
    assert clean.judge_text(text, clean.Limits(10, 5)) == expected


def test_pieces() -> None:
    bounds = clean.Limits(10, 5)
    assert [clean.judge_pieces(n, bounds) for n in (0, 1, 5, 6)] == [
        clean.EMPTY,
        clean.GOOD,
        clean.GOOD,
        clean.MAX_TOKENS,
    ]
    assert clean.judge_pieces(10**6, clean.Limits(0, 0)) == clean.GOOD


def judge(
    one: list[str], other: list[str], filters: FilterConfig, typical: float = 1.0
) -> list[str]:
    def side(texts: list[str]) -> tuple[leakage.Keys, NDArray[np.int32]]:
        keys = np.array([leakage.key(t) for t in texts], np.uint64)
        return keys, np.array([len(t) for t in texts], np.int32)

    (keys1, chars1), (keys2, chars2) = side(one), side(other)
    found = clean.judge_pairs((keys1, keys2), (chars1, chars2), typical, filters)
    return [clean.PAIR_FILTERS[reason] for reason in found]


def test_identical_pairs() -> None:
    one, other = ["Hello  World", "a", "b"], ["hello world", "a", "c"]
    assert judge(one, other, FilterConfig()) == ["identical", "identical", ""]
    assert judge(one, other, FilterConfig(identical=False)) == ["", "", ""]


def test_ratio_is_relative_to_the_typical_one() -> None:
    filters = FilterConfig(max_ratio=3.0)
    # (50 + 10) / (10 + 10) is 3 exactly, the last one that stays.
    assert judge(["x" * 50, "x" * 51], ["y" * 10] * 2, filters) == ["", "max_ratio"]
    assert judge(["x" * 51], ["y" * 10], FilterConfig(max_ratio=0)) == [""]
    # Languages that differ threefold in length, and a pair that does not.
    assert judge(["x" * 150, "x" * 50], ["y" * 50, "y" * 150], filters, 3.0) == ["", "max_ratio"]
    assert judge(["y" * 50, "y" * 150], ["x" * 150, "x" * 50], filters, 1 / 3) == [
        "",
        "max_ratio",
    ]
