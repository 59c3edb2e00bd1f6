"""One meaning, said in one language, from the patterns and names of Unicode CLDR (by way of Babel).

A meaning is a nested tuple whose first element names its kind:
("colon", ("territory", "DE"), ("measure", "duration-hour", Decimal(3))) -> "Germany: 3 hours".
Where CLDR lacks a piece in a language, or holds only the fall-back that every language inherits
("+3 d", "M03"), nothing is said. Not its job: which meanings there are (cldr.py).
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import langcodes
from babel import Locale, UnknownLocaleError, localedata
from babel.dates import parse_pattern
from babel.lists import format_list
from babel.numbers import format_decimal, format_percent

from m4nmt.data import language
from m4nmt.data.normalise import normalise

Meaning = tuple[Any, ...]

_QUOTED = re.compile(r"'[^']*'")
_FIELD = re.compile(r"(?P<letter>[A-Za-z])(?P=letter)*")
# Letters of date patterns (UTS 35) -> the fact they tell; eras add nothing to years after 1.
_FACT = {"y": "y", "Y": "y", "M": "M", "L": "M", "d": "d", "E": "E", "e": "E", "c": "E"} | {
    "H": "H",
    "k": "H",
    "h": "h",
    "K": "h",
    "a": "a",
    "b": "a",
    "B": "a",
    "m": "m",
    "Q": "Q",
    "q": "Q",
    "G": "",
}
# Short names in a pattern, and the wide ones. Many languages have no short ones of their own, and
# some of the others end in what looks like the end of a sentence ("Apr.").
_WIDE = (("(?<!M)MMM(?!M)", "MMMM"), ("(?<!L)LLL(?!L)", "LLLL"), ("(?<!E)E{1,3}(?!E)", "EEEE"))


class _Silent(Exception):  # noqa: N818 (no error: a piece that the language lacks)
    """CLDR has no such piece in this language."""


@lru_cache(maxsize=1)
def _root() -> Mapping[str, Any]:
    """What every language inherits."""
    data: Mapping[str, Any] = localedata.LocaleDataDict(localedata.load("root"))
    return data


def find_locale(code: str) -> Locale:
    """CLDR's locale of a language.

    Raises:
        ValueError: no such language, or CLDR has no locale of it in this script.
    """
    exact = language.normalise(code)
    for tag in (language.to_bcp47(exact), langcodes.standardize_tag(exact, macro=True)):
        try:
            locale = Locale.parse(tag.replace("-", "_"))
        except (UnknownLocaleError, ValueError):
            continue
        # A search by likely subtags may end at a sister: "arz" is no "ar".
        if language.normalise(str(locale)) == exact:
            return locale
    raise ValueError(
        f"Unicode CLDR (Babel) has no locale of {code!r}, so the embedded corpus cannot have it; "
        "leave it out of the languages, or bring a corpus of your own"
    )


def facts(pattern: str) -> Counter[str]:
    """What a date pattern tells: "EEEE, d MMMM y" -> one each of E, d, M, y.

    A year of two digits ("yy") is not the year. A clock of 12 hours tells the hour ("H") only
    together with its half of the day.
    """
    runs = (match[0] for match in _FIELD.finditer(_QUOTED.sub("", pattern)))
    told = Counter(run if run == "yy" else _FACT.get(run[0], run) for run in runs)
    del told[""]
    if told["a"]:
        told["H"] += told.pop("h", 0)
        del told["a"]
    return +told


class Speaker:
    """Says meanings in one language."""

    def __init__(self, code: str) -> None:
        """Find the locale.

        Raises:
            ValueError: see find_locale.
        """
        self.code = language.normalise(code)
        self.locale = find_locale(code)
        self._data = localedata.LocaleDataDict(localedata.load(str(self.locale)))
        self.english = self.code == "eng_Latn"
        self._said: dict[Meaning, str | None] = {}
        self._kinds: dict[str, Callable[..., str]] = {
            "colon": lambda one, other: f"{self._say(one)}: {self._say(other)}",
            "brackets": lambda one, other: f"{self._say(one)} ({self._say(other)})",
            "comma": lambda one, other: f"{self._say(one)}, {self._say(other)}",
            "list": self._list,
            "territory": lambda key: self._name("territories", key),
            "language": lambda key: self._name("languages", key),
            "measure": self._measure,
            "rate": self._rate,
            "money": self._money,
            "percent": lambda number: str(format_percent(number, locale=self.locale)),
            "compact": self._compact,
            "relative": self._relative,
            "date": self._date,
            "moment": self._moment,
            "interval": self._interval,
            "month": lambda number: self._wide("months", number),
            "weekday": lambda number: self._wide("days", number),
            "pattern": self._pattern,
            "named": self._named,
        }

    def say(self, meaning: Meaning) -> str:
        """The line, with plain single spaces; "" where the language lacks a piece of it."""
        try:
            line = normalise(self._say(meaning))
        except _Silent:
            return ""
        # Digits alone are in no language ("3/4/2020" is in March or in April).
        return line if any(char.isalpha() for char in line) else ""

    def _say(self, meaning: Meaning) -> str:
        if meaning not in self._said:
            kind, *rest = meaning
            try:
                self._said[meaning] = self._kinds[kind](*rest)
            except _Silent:
                self._said[meaning] = None
        said = self._said[meaning]
        if said is None:
            raise _Silent
        return said

    def _own(self, *path: Any) -> Any:
        """A piece of the locale's data that is not inherited by every language."""
        mine = _at(self._data, path)
        if mine is None or (not self.english and mine == _at(_root(), path)):
            raise _Silent
        return mine

    def _name(self, table: str, key: str) -> str:
        name = str(self._own(table, key))
        if name == key:
            raise _Silent
        return name

    def _wide(self, table: str, number: int) -> str:
        for context in ("stand-alone", "format"):
            try:
                return str(self._own(table, context, "wide", number))
            except _Silent:
                continue
        raise _Silent

    def _list(self, style: str, *items: Meaning) -> str:
        self._own("list_patterns", style, "2")
        return str(format_list([self._say(item) for item in items], style, self.locale))

    def _number(self, number: Decimal) -> str:
        return str(format_decimal(number, locale=self.locale))

    def _counted(self, table: tuple[str, ...], number: Decimal) -> str:
        """The pattern of a number's plural form."""
        form = self.locale.plural_form(number)
        try:
            return str(self._own(*table, form))
        except _Silent:
            return str(self._own(*table, "other"))

    def _width(self, unit: str, *rest: str, number: Decimal) -> str:
        """Pattern of a unit, long if CLDR has one (it leaves out those that are like the short)."""
        for width in ("long", "short"):
            try:
                if rest:
                    return str(self._own("unit_patterns", unit, width, *rest))
                return self._counted(("unit_patterns", unit, width), number)
            except _Silent:
                continue
        raise _Silent

    def _measure(self, unit: str, number: Decimal) -> str:
        return self._width(unit, number=number).replace("{0}", self._number(number))

    def _rate(self, unit: str, per: str, number: Decimal) -> str:
        pattern = self._width(per, "per", number=number)
        return pattern.replace("{0}", self._measure(unit, number))

    def _money(self, currency: str, number: Decimal) -> str:
        try:
            name = self._counted(("currency_names_plural", currency), number)
        except _Silent:
            name = self._name("currency_names", currency)
        form = self.locale.plural_form(number)
        patterns = self._data["currency_unit_patterns"]
        pattern = str(patterns.get(form) or patterns["other"])
        return pattern.replace("{0}", self._number(number)).replace("{1}", name)

    def _compact(self, number: int) -> str:
        """A round number in words: "12 thousand", "1.2万"."""
        long = _at(self._data, ("compact_decimal_formats", "long"))
        forms = self._own("compact_decimal_formats", "long" if long else "short")
        magnitude = 10 ** (len(str(number)) - 1)
        pattern = _at(forms, ("other", str(magnitude)))
        digits = _positive(pattern).count("0")
        if not digits or set(_positive(pattern)) == {"0"}:  # the plain number
            raise _Silent
        share = Decimal(number) * 10 ** (digits - 1) / magnitude
        pattern = _at(forms, (self.locale.plural_form(share), str(magnitude))) or pattern
        return _positive(pattern).replace("0" * digits, self._number(share)).replace("'", "")

    def _relative(self, unit: str, tense: str, number: Decimal) -> str:
        pattern = self._counted(("date_fields", unit, tense), number)
        return pattern.replace("{0}", self._number(number))

    def _pattern(self, skeleton: str) -> str:
        """The first pattern that tells exactly what the skeleton does."""
        formats, skeletons = self._data["date_formats"], self._data["datetime_skeletons"]
        times = self._data["time_formats"]
        usual = {"yMMMMEEEEd": formats["full"], "yMMMMd": formats["long"], "Hm": times["short"]}
        fallback = {"yMMMMd": "yMMMd"}
        wanted = facts(skeleton)
        for found in (usual.get(skeleton), *map(skeletons.get, (skeleton, fallback.get(skeleton)))):
            pattern = str(found or "")
            if facts(pattern) == wanted:
                return self._say(("named", pattern))
        raise _Silent

    def _named(self, pattern: str) -> str:
        """The pattern with wide names, if they are the language's own."""
        told = facts(pattern)
        for letter, table in (("M", "months"), ("E", "days"), ("Q", "quarters")):
            for number in _root()[table]["format"]["wide"] if letter in told else ():
                self._own(table, "format", "wide", number)
        for short, wide in _WIDE:
            pattern = re.sub(short, wide, pattern)
        return pattern

    def _date(self, skeleton: str, moment: datetime) -> str:
        said = str(parse_pattern(self._say(("pattern", skeleton))).apply(moment, self.locale))
        if skeleton != "Hm" and not any(char.isalpha() for char in said):
            raise _Silent
        return said

    def _moment(self, skeleton: str, moment: datetime) -> str:
        """Date and time of day."""
        glue = str(self._data["datetime_formats"]["full"])
        date, time = self._date(skeleton, moment), self._date("Hm", moment)
        return glue.replace("{1}", date).replace("{0}", time).replace("'", "")

    def _interval(self, skeleton: str, start: datetime, end: datetime) -> str:
        """From a day or a month to a later one; each part is told once where that is enough."""
        fields = (("y", "year"), ("M", "month"), ("d", "day"))
        change = next(k for k, name in fields if getattr(start, name) != getattr(end, name))
        order = "yMd"
        wanted = facts(skeleton)
        wanted.update(k for k in order[order.index(change) :] if k in wanted)
        for key in (skeleton, skeleton.replace("MMMM", "MMM")):
            parts = _at(self._data, ("interval_formats", key, change)) or ()
            if len(parts) == 2 and facts("".join(parts)) == wanted:
                ends = zip(
                    (self._say(("named", part)) for part in parts), (start, end), strict=True
                )
                return "".join(parse_pattern(part).apply(t, self.locale) for part, t in ends)
        pattern = str(self._data["interval_formats"][None])
        one, other = (self._date(skeleton, moment) for moment in (start, end))
        return pattern.replace("{0}", one).replace("{1}", other)


def _positive(pattern: Any) -> str:
    """The text of a number's pattern, without the part for negative ones."""
    return str(getattr(pattern, "pattern", "")).partition(";")[0]


def _at(data: Any, path: tuple[Any, ...]) -> Any:
    """A piece of nested data, or None."""
    for key in path:
        data = data.get(key) if hasattr(data, "get") else None
    return data
