"""The tables of characters, against the rule applied to every code point."""

import unicodedata

import numpy as np

from m4nmt.data.filters import characters


def test_kinds_of_all_code_points_are_those_of_the_rule() -> None:
    signs = [chr(code) for code in range(0x110000)]
    wanted = [characters._kind(sign, unicodedata.category(sign)) for sign in signs]
    np.testing.assert_array_equal(characters.tables().kind, wanted)
