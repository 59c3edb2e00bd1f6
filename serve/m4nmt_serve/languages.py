"""The languages of one model as clients know them: codes in and out, names, direction of writing.

Codes and names come from m4nmt.data.language; here are the habits of translation clients.
Not its job: knowing what the model can translate (service.py asks the translator).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from m4nmt.data import language

# Codes that translation clients still send and that are no language tags.
_HABITS = {"zt": "zh-Hant", "pb": "pt"}
# Old codes that some clients look for in the list itself, and the code listed for them.
LISTED_HABITS = {"iw": "he", "no": "nb", "zh-Hans": "zh"}
_FEW = 20  # languages that a message lists
_LONGEST = 40  # characters of a code; what is longer is none, and must not fill a cache


class UnknownLanguageError(ValueError):
    """A code that is not a language of this model; the message names the nearest ones."""


@dataclass(frozen=True)
class Language:
    """One language of the model.

    Attributes:
        flores: the model's own code. `code`: the shortest BCP-47 tag that means it.
        name: in English. `native`: in the language itself, where that is known.
        rtl: written from right to left.
    """

    flores: str
    code: str
    name: str
    native: str
    rtl: bool


class Languages:
    """The languages of one model, found by any spelling of their codes."""

    def __init__(self, codes: Iterable[str]) -> None:
        self.all: tuple[Language, ...] = tuple(_describe(code) for code in sorted(set(codes)))
        self._by_code = {language.flores: language for language in self.all}

    def find(self, code: str) -> Language:
        """The language that a client means: FLORES, ISO 639 or BCP-47, whichever is there.

        Raises:
            UnknownLanguageError: not a language of this model.
        """
        spelled, known = code.strip()[:_LONGEST], self._by_code
        try:
            return known[language.normalise(_HABITS.get(spelled.lower(), spelled), known)]
        except ValueError as error:
            raise UnknownLanguageError(
                f"{spelled!r} is not supported; {told(spelled, self.all)}"
            ) from error


def told(spelled: str, among: Sequence[Language]) -> str:
    """Languages for a message: all of a few, else those whose code or name is nearest."""
    if len(among) <= _FEW:
        return f"supported: {', '.join(x.code for x in among)}"
    codes = {x.flores: x.code for x in among}
    meant = " or ".join(codes[each] for each in language.nearest(spelled, codes, 3))
    return f"{f'did you mean {meant}? ' if meant else ''}/languages lists the {len(among)} that are"


def name_in(one: Language, code: str) -> str:
    """The name of a language in another, by that one's code; in English where nobody knows it."""
    try:
        return language.display_name(one.flores, code.strip()[:_LONGEST])
    except ValueError:  # no language at all, as "*", which some programs send as Accept-Language
        return one.name


def _describe(flores: str) -> Language:
    name, native = language.display_name(flores), language.native_name(flores)
    if native != flores:  # which is what stands for a name that nobody knows
        native = native[:1].upper() + native[1:]
    return Language(flores, language.to_bcp47(flores), name, native, language.is_rtl(flores))
