"""The embedded corpus: dates, units, money and names in up to a hundred languages, from CLDR.

Line i of every language of a split says the same: rows are meanings, drawn from templates and
values, and said by each language (cldr_lines.py). Held-out rows are new combinations of values
seen in training. It shows that a pipeline works, not translation quality.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from importlib.resources import files
from itertools import product
from pathlib import Path

from m4nmt.core.files import write_atomic
from m4nmt.core.seeds import seed_for
from m4nmt.data import language
from m4nmt.data.leakage import key
from m4nmt.data.locales.cldr_lines import Meaning, Speaker

LICENSE = "Unicode-3.0"
_FORM = 1  # of the corpus: raise it when the same arguments give other lines


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TERRITORIES = _words(
    "AE AR AT AU BE BR CA CD CH CL CN CO CZ DE DK DZ EG ES ET FI FR GB GR HU ID IE IN IQ IT JP "
    "KE KR MA MX NG NL NO NZ PE PL PT RO RU SA SE TH TR TZ UA UG US ZA"
)
LANGUAGES = _words(
    "am ar bn cs da de el en es fa fi fr he hi hu id it ja ko nl pl pt ro ru sv sw th tr uk vi zh"
)
CURRENCIES = _words("BRL CHF CNY EUR GBP INR JPY KES MXN NGN PLN RUB SEK TRY USD ZAR")
UNITS = _words(
    "duration-second duration-minute duration-hour duration-day duration-week duration-month "
    "duration-year length-millimeter length-centimeter length-meter length-kilometer length-inch "
    "length-foot length-mile mass-gram mass-kilogram mass-pound volume-liter volume-cup "
    "area-square-meter area-square-kilometer temperature-celsius speed-kilometer-per-hour "
    "digital-byte electric-volt power-watt"
)
PER = _words("duration-second duration-minute duration-hour duration-day")
RELATIVE = _words("second minute hour day week month quarter year")
NUMBERS = tuple(
    Decimal(text)
    for text in (
        *map(str, range(1, 31)),
        *map(str, range(40, 100, 10)),
        *map(str, range(100, 1000, 100)),
        *map(str, range(1000, 10000, 1000)),
        *_words("0.5 1.5 2.5 3.5 4.5 7.5 12.5 10000 25000 1500 2500 1234.5"),
    )
)
# Numbers that together take every plural form of most languages.
_PLURALS = (Decimal(1), Decimal(2), Decimal(5), Decimal("1.5"))
_FIRST_DAY = datetime(1990, 1, 1)
_DAYS = 365 * 40
_FEWEST = 0.1  # of the rows must be there in every language
_Random = random.Random


def _place(rng: _Random) -> Meaning:
    return ("territory", rng.choice(TERRITORIES))


def _tongue(rng: _Random) -> Meaning:
    return ("language", rng.choice(LANGUAGES))


def _amount(rng: _Random) -> Meaning:
    """A quantity of something."""
    draw = rng.choice((_measure, _measure, _money, _percent, _compact))
    return draw(rng)


def _measure(rng: _Random) -> Meaning:
    return ("measure", rng.choice(UNITS), rng.choice(NUMBERS))


def _money(rng: _Random) -> Meaning:
    return ("money", rng.choice(CURRENCIES), rng.choice(NUMBERS))


def _percent(rng: _Random) -> Meaning:
    return ("percent", Decimal(rng.randrange(1, 100)) / 100)


def _compact(rng: _Random) -> Meaning:
    return ("compact", rng.randrange(1, 100) * rng.choice((10**3, 10**6, 10**9)))


def _rate(rng: _Random) -> Meaning:
    unit = rng.choice([unit for unit in UNITS if not unit.startswith(("duration", "speed"))])
    return ("rate", unit, rng.choice(PER), rng.choice(NUMBERS))


def _relative(rng: _Random) -> Meaning:
    tense = rng.choice(("future", "past"))
    return ("relative", rng.choice(RELATIVE), tense, Decimal(rng.randrange(1, 61)))


def _moment(rng: _Random) -> datetime:
    """A day, and a time in steps of five minutes."""
    return _FIRST_DAY + timedelta(days=rng.randrange(_DAYS), minutes=5 * rng.randrange(288))


def _date(rng: _Random) -> Meaning:
    return ("date", rng.choice(("yMMMMEEEEd", "yMMMMEEEEd", "yMMMMd")), _day(_moment(rng)))


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0)


def _time(rng: _Random) -> Meaning:
    return ("moment", rng.choice(("yMMMMEEEEd", "yMMMMd")), _moment(rng))


def _period(rng: _Random) -> Meaning:
    """A month or a quarter of a year."""
    year, skeleton = 1990 + rng.randrange(40), rng.choice(("yMMMM", "yQQQQ"))
    month = rng.randrange(1, 13) if skeleton == "yMMMM" else 1 + 3 * rng.randrange(4)
    return ("date", skeleton, datetime(year, month, 1))


def _interval(rng: _Random) -> Meaning:
    start = _day(_moment(rng))
    end = start + timedelta(days=rng.choice((2, 3, 5, 7, 10, 20, 40, 60, 90)))
    return ("interval", "yMMMMd", start, end)


def _months(rng: _Random) -> Meaning:
    year, first = 1990 + rng.randrange(40), rng.randrange(1, 12)
    last = rng.randrange(first + 1, 13)
    return ("interval", "yMMMM", datetime(year, first, 1), datetime(year, last, 1))


def _list(rng: _Random) -> Meaning:
    many = rng.choice((2, 3, 3, 4))
    kind, values = rng.choice(
        (
            ("territory", TERRITORIES),
            ("territory", TERRITORIES),
            ("language", LANGUAGES),
            ("language", LANGUAGES),
            ("weekday", range(7)),
            ("month", range(1, 13)),
        )
    )
    return ("list", rng.choice(("standard", "or")), *((kind, v) for v in rng.sample(values, many)))


def _measures(rng: _Random) -> Meaning:
    return ("list", "standard", _measure(rng), _measure(rng))


def _variety(rng: _Random) -> Meaning:
    return ("brackets", _tongue(rng), _place(rng))


def _where(rng: _Random) -> Meaning:
    return ("colon", rng.choice((_place, _variety))(rng), _amount(rng))


def _when(rng: _Random) -> Meaning:
    return ("brackets", _amount(rng), rng.choice((_date, _period))(rng))


def _clock(rng: _Random) -> Meaning:
    weekday = ("weekday", rng.randrange(7))
    return ("comma", weekday, ("date", "Hm", _moment(rng)))


def _there(rng: _Random) -> Meaning:
    return ("brackets", rng.choice((_clock, _time))(rng), _place(rng))


# How many of a hundred rows each template gives.
TEMPLATES: Mapping[Callable[[_Random], Meaning], int] = {
    _date: 10,
    _time: 8,
    _clock: 5,
    _period: 3,
    _interval: 5,
    _months: 3,
    _relative: 6,
    _measure: 10,
    _measures: 5,
    _rate: 5,
    _money: 6,
    _compact: 2,
    _list: 9,
    _variety: 6,
    _where: 8,
    _when: 6,
    _there: 3,
}


def _names() -> Iterator[Meaning]:
    """Every name, and every unit in its forms: held-out rows only combine what training has.

    (A name that is like the English one is left out alone, and seen in combinations.)
    """
    yield from (("territory", code) for code in TERRITORIES)
    yield from (("language", code) for code in LANGUAGES)
    yield from (("month", number) for number in range(1, 13))
    yield from (("weekday", number) for number in range(7))
    for number in _PLURALS:
        yield from (("money", code, number) for code in CURRENCIES)
        yield from (("measure", unit, number) for unit in UNITS)
        for unit, tense in product(RELATIVE, ("future", "past")):
            yield ("relative", unit, tense, number.to_integral_value())
        yield from (("rate", "mass-gram", per, number) for per in PER)
    for month in range(1, 13):
        start, later = datetime(2000, month, month), datetime(2000, month, month + 2)
        yield from (("date", skeleton, start) for skeleton in ("yMMMMEEEEd", "yMMMM", "yQQQQ"))
        yield ("interval", "yMMMMd", start, later)
    yield from (("compact", n * 10**power) for n, power in product((1, 2, 5), (3, 6, 9)))


def _drawn(seed: int) -> Iterator[Meaning]:
    """Endless meanings."""
    rng = random.Random(seed_for("cldr", seed))
    templates, weights = list(TEMPLATES), list(TEMPLATES.values())
    while True:
        yield rng.choices(templates, weights)[0](rng)


class _Rows:
    """Says meanings in every language; no line of any language ever says two of them."""

    def __init__(self, languages: Sequence[str]) -> None:
        self.speakers = [Speaker(code) for code in languages]
        self._english = Speaker("eng_Latn")
        self._taken: dict[int, Meaning] = {}

    def say(self, meaning: Meaning) -> list[str] | None:
        """A line per language, "" where there is none; None if fewer than two are left."""
        english = key(self._english.say(meaning))
        lines = [speaker.say(meaning) for speaker in self.speakers]
        keys = [key(line) for line in lines]
        for place, speaker in enumerate(self.speakers):
            copied = keys[place] == english and not speaker.english
            if copied or self._taken.get(keys[place], meaning) != meaning:
                lines[place] = ""
        if sum(map(bool, lines)) < min(2, len(lines)):
            return None
        if any(self._taken.get(k) == meaning for k, line in zip(keys, lines, strict=True) if line):
            return None
        self._taken.update((k, meaning) for k, line in zip(keys, lines, strict=True) if line)
        return lines


def _splits(rows: _Rows, sizes: Mapping[str, int], seed: int) -> dict[str, list[list[str]]]:
    """Rows of each split. Names come first and go to training; then the held-out ones are drawn.

    Raises:
        ValueError: so many different rows cannot be made.
    """
    found: dict[str, list[list[str]]] = {name: [] for name in sizes}
    found["train"].extend(row for row in map(rows.say, _names()) if row)
    del found["train"][sizes["train"] :]
    tries, meanings = 0, _drawn(seed)
    for name in ("test", "dev", "train"):
        while len(found[name]) < sizes[name]:
            row = rows.say(next(meanings))
            tries += 1
            if row:
                found[name].append(row)
            if tries > 20 * sum(sizes.values()) + 1000:
                raise ValueError(
                    f"the embedded corpus cannot give {sizes[name]} different {name} rows in these "
                    "languages; ask for fewer"
                )
    random.Random(seed_for("cldr", "order", seed)).shuffle(found["train"])
    return found


def write(
    folder: Path,
    languages: Sequence[str],
    seed: int = 1,
    train: int = 12000,
    dev: int = 300,
    test: int = 500,
) -> Path:
    """Write the corpus: <folder>/{train,dev,test}/<language>.txt and a manifest of them.

    The lines depend on the arguments and on the version of Babel alone. An empty line is one that
    the language lacks, shares with English, or shares with a line of another meaning, so no line
    of a split occurs in another one, in whichever language. Nothing is done where the folder
    already holds the same corpus.

    Args:
        folder: where to.
        languages: two or more codes.
        seed: of the draw.
        train, dev, test: rows of each split.

    Returns:
        The manifest's path.

    Raises:
        ValueError: a language that CLDR lacks or has next to nothing of, one language twice, or too
            many rows asked for.
    """
    codes = [language.normalise(code) for code in languages]
    if len(set(codes)) != len(codes) or len(codes) < 2:
        raise ValueError(f"give two or more different languages, not {', '.join(codes) or 'none'}")
    sizes = {"train": train, "dev": dev, "test": test}
    arguments = {"form": _FORM, "babel": version("babel"), "languages": codes, "seed": seed} | sizes
    manifest, made = folder / "manifest.toml", folder / "made.json"
    if manifest.is_file() and made.is_file() and json.loads(made.read_text()) == arguments:
        return manifest
    splits = _splits(_Rows(codes), sizes, seed)
    _check_columns(codes, splits)
    manifest.unlink(missing_ok=True)
    for split, rows in splits.items():
        for place, code in enumerate(codes):
            text = "".join(f"{row[place]}\n" for row in rows)
            write_atomic(folder / split / f"{code}.txt", text)
    licence = files("babel").joinpath("locale-data", "LICENSE.unicode")
    write_atomic(folder / "LICENSE", licence.read_bytes())
    write_atomic(made, json.dumps(arguments, indent=1) + "\n")
    write_atomic(manifest, _manifest(codes, sizes))
    return manifest


def _check_columns(codes: Sequence[str], splits: Mapping[str, list[list[str]]]) -> None:
    rows = [row for part in splits.values() for row in part]
    for place, code in enumerate(codes):
        lines = sum(bool(row[place]) for row in rows)
        if lines < _FEWEST * len(rows):
            raise ValueError(
                f"Unicode CLDR (Babel) can say only {lines} of {len(rows)} lines of the embedded "
                f"corpus in {code}; leave it out of the languages"
            )


def _manifest(codes: Sequence[str], sizes: Mapping[str, int]) -> str:
    listed = ", ".join(f'"{code}"' for code in codes)
    head = (
        "# Made by m4nmt from Unicode CLDR, by way of Babel: dates, units, money and names.\n"
        'name = "cldr"\nurl = "https://cldr.unicode.org"\n'
        f'license = "{LICENSE}"\nnote = "Keep LICENSE (Unicode License V3) with the data."\n'
    )
    return head + "".join(
        f'\n[[corpus]]\nname = "cldr"\nsplit = "{split}"\nformat = "multiway"\n'
        f'path = "{split}/{{lang}}.txt"\nlanguages = [{listed}]\nlines = {lines}\n'
        for split, lines in sizes.items()
        if lines
    )
