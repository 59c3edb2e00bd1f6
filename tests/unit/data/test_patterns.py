import pytest

from m4nmt.core.config import ConfigError
from m4nmt.data.patterns import first_match, matcher

NAMES = ["eng_Latn-deu_Latn", "deu_Latn-eng_Latn", "eng_Latn-rus_Cyrl", "deu_Latn-eng_Latn+bt"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("eng_Latn-*", [0, 2]),
        ("*-eng_Latn", [1]),
        ("re:.*-(deu_Latn|rus_Cyrl)", [0, 2]),
        ("re:(?!.*Cyrl).*", [0, 1, 3]),
        (r"re:.*\+bt", [3]),
        ("re:eng", []),
    ],
)
def test_either_kind_matches_whole_names(pattern: str, expected: list[int]) -> None:
    matches = matcher(pattern)
    assert [i for i, name in enumerate(NAMES) if matches(name)] == expected


def test_the_first_pattern_wins() -> None:
    found = first_match(NAMES, ["*-deu_Latn", "re:eng.*", "re:deu.*eng_Latn"], "here")
    assert found.tolist() == [0, 2, 1, -1]


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ConfigError, match=r"'re:\(' is no regular expression: missing \)"):
        matcher("re:(")
    with pytest.raises(ConfigError, match=r"data\.x: 're:fra\.\*' matches no"):
        first_match(NAMES, ["*", "re:fra.*"], "data.x")
