"""Language codes as people write them, to those a model knows.

Not its job: knowing languages (data.language), or guessing the language of a text (data.identify).
"""

from collections.abc import Collection, Sequence

from m4nmt.data import language

AUTO = "auto"
_SHOWN = 20  # languages that a message lists


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
        why = _unknown(code, known)
        raise LanguageError(f"{why}; this model knows {_listed(known)}") from error


def _unknown(code: str, known: Collection[str]) -> str:
    """Why a code is none of `known`, and which one may be meant."""
    try:
        exact = language.normalise(code)
    except ValueError:
        near = language.nearest(code, known)
        hint = f": write {near[0]!r} or {language.to_bcp47(near[0])!r}" if near else ""
        return f"there is no language code {code!r}{hint}"
    return f"{language.display_name(exact)} ({exact}) is not among the model's languages"


def _listed(known: Collection[str]) -> str:
    shown = ", ".join(sorted(known)[:_SHOWN])
    more = len(known) - _SHOWN
    return f"{shown} and {more} more (m4nmt languages lists them)" if more > 0 else shown


def per_text(codes: str | Sequence[str], count: int, role: str) -> list[str]:
    """One code for each text.

    Raises:
        LanguageError: neither one code nor one for each text.
    """
    each = [codes] * count if isinstance(codes, str) else list(codes)
    if len(each) != count:
        raise LanguageError(f"{len(each)} {role} languages for {count} texts; give one, or {count}")
    return each
