"""Language codes and names: FLORES-style codes inside, ISO 639 and BCP-47 accepted everywhere.

A code is three letters of ISO 639-3 and four of ISO 15924: "swh_Latn". Not its job: telling the
language of a text (identify.py).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

import langcodes
from babel import Locale, UnknownLocaleError

from m4nmt.core.config import unknown_name
from m4nmt.data.locales.families import FAMILIES, NAMES
from m4nmt.data.locales.natives import NATIVES

_FLORES = re.compile(r"([A-Za-z]{3})[_-]([A-Za-z]{4})")

# The member of a macrolanguage that translation corpora mean by its name (as in FLORES-200).
# Macrolanguages that those corpora use themselves (zho, est, grn, srd, aka) are left alone.
_MEMBER = {
    "ara": "arb",
    "aym": "ayr",
    "aze": "azj",
    "cmn": "zho",
    "din": "dik",
    "fas": "pes",
    "fil": "tgl",
    "ful": "fuv",
    "kau": "knc",
    "kur": "kmr",
    "lav": "lvs",
    "mlg": "plt",
    "mon": "khk",
    "msa": "zsm",
    "nep": "npi",
    "nor": "nob",
    "ori": "ory",
    "orm": "gaz",
    "pus": "pbt",
    "que": "quy",
    "rom": "rmy",
    "sqi": "als",
    "swa": "swh",
    "uzb": "uzn",
    "yid": "ydd",
}
_GROUP = {member: group for group, member in _MEMBER.items()}
# Where CLDR's likely script is missing, or is not the one that corpora name.
_SCRIPTS = {
    "Arab": "acm acq ajp azb mey pbt",
    "Deva": "ahr bfz bhd bht bhu bpx lbm",
    "Ethi": "alw",
    "Grek": "grc",
    "Hang": "kor",
    "Latn": "crh gmv gof",
    "Orya": "bdv dso gaq juy peg unx",
}
_SCRIPT = {code: script for script, codes in _SCRIPTS.items() for code in codes.split()}
# CLDR's names of these are only parts of a language's.
_SCRIPT_NAMES = {"Hans": "Simplified Han", "Hant": "Traditional Han"}
_RTL = {"Adlm", "Arab", "Hebr", "Mand", "Mend", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa", "Yezi"}
_FAMILY = {code: name for name, codes in FAMILIES.items() for code in codes.split()}
_USUAL = ("arb_Arab", "deu_Latn", "eng_Latn", "fra_Latn", "hin_Deva", "spa_Latn", "swh_Latn")


def normalise(code: str, among: Collection[str] | None = None) -> str:
    """The FLORES-style code for an ISO 639-1, ISO 639-3, BCP-47 or FLORES-style one.

    Args:
        code: "sw", "swh", "zh-TW", "eng_Latn", "iw", ...
        among: the languages there are. One of them is returned: the exact one, else, for a code
            that names a macrolanguage or no script, a member of it ("gn" finds "gug_Latn").

    Raises:
        ValueError: no such language, or none among these; with the nearest name.
    """
    exact = _parse(code)
    if among is None:
        if exact is None:
            raise ValueError(unknown_name(code, _USUAL, "language"))
        return exact
    if code in among:
        return code
    if exact is not None and exact in among:
        return exact
    near = _relatives(code, exact, among) if exact is not None else []
    if not near:
        raise ValueError(unknown_name(exact or code, among, "language"))
    return near[0]


def nearest(text: str, among: Collection[str], most: int = 1) -> list[str]:
    """Languages of `among` (FLORES-style) that a text may mean which is no code of any: those
    whose codes or names, in English or in the language itself, it is most like; the best first."""
    spellings = {
        spelling.casefold(): code
        for code in sorted(among)
        for spelling in (code, to_bcp47(code), display_name(code), native_name(code))
    }
    found = get_close_matches(text.strip().casefold(), spellings, n=most)
    return list(dict.fromkeys(spellings[spelling] for spelling in found))


@lru_cache(maxsize=4096)
def _parse(code: str) -> str | None:
    """FLORES-style code, or None where there is no such language."""
    text = code.strip()
    try:
        given = langcodes.get(text.replace("_", "-"), normalize=False)
        if not langcodes.tag_is_valid(given.to_tag()) or not given.language:
            return None
        standard = langcodes.get(langcodes.standardize_tag(given.to_tag()))
        flores = _FLORES.fullmatch(text)
        alpha3 = flores[1].lower() if flores else _alpha3(given.language, standard)
    except (LookupError, ValueError):  # langcodes' LanguageTagError is a ValueError
        return None
    language = _MEMBER.get(alpha3, alpha3)
    script = given.script or _SCRIPT.get(language) or standard.maximize().script or "Latn"
    return f"{language}_{script.title()}"


def _alpha3(given: str, standard: langcodes.Language) -> str:
    """Three letters; those given stay, unless they are obsolete ("iw")."""
    if len(given) == 3:
        return str(given.lower())
    return str(standard.to_alpha3())


def _relatives(code: str, exact: str, among: Collection[str]) -> list[str]:
    """Those among `among` that the code covers without naming them, best first."""
    language, _, script = exact.partition("_")
    given = langcodes.get(code.strip().replace("_", "-"), normalize=False)
    macro = len(given.language) == 2 or given.language in _MEMBER
    found = []
    for other in among:
        its_language, _, its_script = other.partition("_")
        same = its_language == language or (macro and _macro(its_language) == _macro(language))
        if same and (its_script == script or not given.script):
            found.append((its_language != language, its_script != script, other))
    return [other for *_, other in sorted(found)]


@lru_cache(maxsize=4096)
def _macro(language: str) -> str:
    tag = langcodes.get(langcodes.standardize_tag(language, macro=True))
    return str(tag.language)


@lru_cache(maxsize=4096)
def to_bcp47(code: str) -> str:
    """The shortest tag that `normalise` reads back as this code: "sw", "zh-Hant", "prs".

    Raises:
        ValueError: no such language.
    """
    exact = normalise(code)
    language, _, script = exact.partition("_")
    single, macro = (tag.replace("_", "-") for tag in _tags(exact))
    tags = [macro.partition("-")[0], single.partition("-")[0], language, macro, single]
    return next((tag for tag in tags if _parse(tag) == exact), f"{language}-{script}")


def is_rtl(code: str) -> bool:
    """Whether the script runs from right to left."""
    return normalise(code).partition("_")[2] in _RTL


@lru_cache(maxsize=4096)
def display_name(code: str, in_language: str = "en") -> str:
    """Name of a language in another (CLDR), else in English, else its code.

    A script that is not the usual one of the language is named too.
    """
    exact = normalise(code)
    locale = _locale(in_language) or Locale("en")
    language, _, script = exact.partition("_")
    for tag in _tags(exact):
        if tag in locale.languages and "_" in tag:
            return str(locale.languages[tag])
    name, usual = _name(language, locale)
    if not name and locale.language != "en":
        return display_name(exact)
    if not name:
        return exact
    return name if exact in usual else f"{name} ({_script_name(script, locale)})"


def _name(language: str, locale: Locale) -> tuple[str, tuple[str | None, ...]]:
    """Name of a language in another's locale, empty where it has none, and the codes that the name
    alone means."""
    if locale.language == "en" and language in NAMES:
        return NAMES[language], (_parse(language),)
    for tag in _tags(language):
        if tag in locale.languages:
            return str(locale.languages[tag]), (_parse(language), _parse(tag))
    return "", ()


def _script_name(script: str, locale: Locale) -> str:
    return str(locale.scripts.get(script) or Locale("en").scripts.get(script, script))


def _tags(code: str) -> list[str]:
    """Spellings of a code under which CLDR may know it."""
    language, sign, script = code.partition("_")
    grouped = _GROUP.get(language, language) + sign + script
    tags = (langcodes.standardize_tag(code), langcodes.standardize_tag(grouped, macro=True))
    return [tag.replace("-", "_") for tag in tags]


def native_name(code: str) -> str:
    """Name of a language in itself, where it is known; else as `display_name`."""
    exact = normalise(code)
    return NATIVES.get(exact) or display_name(exact, exact)


def family(code: str) -> str:
    """Family, or family/branch, of a language where it is certain; else empty."""
    return _FAMILY.get(normalise(code).partition("_")[0], "")


@dataclass(frozen=True)
class Described:
    """A line of the table of languages.

    Attributes:
        code: FLORES-style.
        bcp47: shortest tag that is read as this code.
        name, native: in English, and in the language where that is known.
        script: name in English.
        direction: "ltr" or "rtl".
        family: see `family`.
    """

    code: str
    bcp47: str
    name: str
    native: str
    script: str
    direction: str
    family: str


def describe(code: str) -> Described:
    """All that is known of a language.

    Raises:
        ValueError: no such language.
    """
    exact = normalise(code)
    script = exact.partition("_")[2]
    return Described(
        exact,
        to_bcp47(exact),
        display_name(exact),
        native_name(exact),
        _SCRIPT_NAMES.get(script) or _script_name(script, Locale("en")),
        "rtl" if is_rtl(exact) else "ltr",
        family(exact),
    )


@lru_cache(maxsize=4096)
def _locale(code: str) -> Locale | None:
    """CLDR's locale of a language, if it has one."""
    exact = normalise(code)
    for tag in (to_bcp47(exact), langcodes.standardize_tag(exact, macro=True)):
        try:
            return Locale.parse(tag.replace("-", "_"))
        except (UnknownLocaleError, ValueError):
            continue
    return None
