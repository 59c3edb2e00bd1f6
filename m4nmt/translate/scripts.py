"""Whether a language is written with spaces between words. Not its job: cutting texts (segment)."""

_WITHOUT_SPACES = frozenset(
    ("Hans", "Hant", "Hani", "Jpan", "Hira", "Kana", "Thai", "Laoo", "Khmr", "Mymr", "Tibt")
)


def writes_spaces(language: str) -> bool:
    """Of a code such as "deu_Latn"."""
    return language.rpartition("_")[2] not in _WITHOUT_SPACES
