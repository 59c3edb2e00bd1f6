"""Language codes as people write them, to those a model knows.

Not its job: knowing languages (data.language), or guessing the language of a text (data.identify).
"""

from collections.abc import Collection, Sequence

from m4nmt.data import language

AUTO = "auto"


class LanguageError(ValueError):
    """A language that this model cannot take as it was asked to; says which it can."""


def resolve(code: str, known: Collection[str]) -> str:
    """The one of `known` (FLORES-style codes) that `code` means, in any usual spelling.

    Raises:
        LanguageError: none; with the nearest name and all there are.
    """
    if code in known:
        return code
    try:
        return language.normalise(code, among=known)
    except ValueError as error:
        raise LanguageError(f"{error}; this model knows {', '.join(sorted(known))}") from error


def per_text(codes: str | Sequence[str], count: int, role: str) -> list[str]:
    """One code for each text.

    Raises:
        LanguageError: neither one code nor one for each text.
    """
    each = [codes] * count if isinstance(codes, str) else list(codes)
    if len(each) != count:
        raise LanguageError(f"{len(each)} {role} languages for {count} texts; give one, or {count}")
    return each
