"""The longest lines, and lines that are none; other filters: test_filters_*.py, test_chain.py."""

import pytest

from m4nmt.data.preparing import clean
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
