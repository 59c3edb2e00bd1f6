"""The embedded corpus: aligned, told apart, the same on every machine, and in real words."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from babel import Locale, localedata

from m4nmt.data import cldr, language, manifest
from m4nmt.data.leakage import key
from m4nmt.data.locales.cldr_lines import Speaker, facts, find_locale

LANGUAGES = ("eng_Latn", "deu_Latn", "fra_Latn", "swh_Latn", "tur_Latn", "rus_Cyrl", "zho_Hans")
SIZES = {"train": 900, "dev": 60, "test": 80}
MARCH = datetime(2020, 3, 3, 15, 45)

Corpus = dict[str, dict[str, list[str]]]


def read(folder: Path) -> Corpus:
    """Split -> language -> lines."""
    return {
        split: {
            path.stem: path.read_text(encoding="utf-8").split("\n")[:-1]
            for path in sorted((folder / split).iterdir())
        }
        for split in SIZES
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cldr.write(tmp_path_factory.mktemp("cldr"), LANGUAGES, **SIZES).parent


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return read(folder)


def test_every_language_has_every_row(corpus: Corpus) -> None:
    for split, rows in SIZES.items():
        assert set(corpus[split]) == set(LANGUAGES)
        assert {len(lines) for lines in corpus[split].values()} == {rows}


def test_the_manifest_is_read_by_the_reader_of_manifests(folder: Path) -> None:
    found = manifest.load(str(folder / "manifest.toml"))
    assert [c.key for c in found.corpora] == ["cldr.train", "cldr.dev", "cldr.test"]
    assert found.license == "Unicode-3.0"
    assert found.corpora[0].languages == tuple(sorted(LANGUAGES))
    assert "UNICODE LICENSE V3" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_no_line_has_two_meanings_in_whichever_language_or_split(corpus: Corpus) -> None:
    rows: dict[int, tuple[str, int]] = {}
    for split, columns in corpus.items():
        for lines in columns.values():
            for row, line in enumerate(lines):
                if line:
                    assert rows.setdefault(key(line), (split, row)) == (split, row), line


def test_lines_are_words_with_plain_spaces_and_no_leftovers(corpus: Corpus) -> None:
    leftover = re.compile(r"[{}¤]|\bM\d\d\b|duration|length-|mass-|[+-]\d+ (d|h|w|y)\b|''")
    for columns in corpus.values():
        for code, lines in columns.items():
            for line in filter(None, lines):
                assert line.split() == line.split(" "), line
                assert any(char.isalpha() for char in line), line
                assert not leftover.search(line), (code, line)


def test_no_other_language_repeats_english(corpus: Corpus) -> None:
    for columns in corpus.values():
        for code in set(LANGUAGES) - {"eng_Latn"}:
            pairs = zip(columns[code], columns["eng_Latn"], strict=True)
            assert not [one for one, english in pairs if one and key(one) == key(english)]


def test_few_lines_are_missing(corpus: Corpus) -> None:
    for columns in corpus.values():
        for code, lines in columns.items():
            assert lines.count("") < 0.1 * len(lines), code


def words(lines: list[str]) -> set[str]:
    return {word for line in lines for word in re.findall(r"[^\W\d]+", line)}


def test_held_out_words_are_all_trained_on(corpus: Corpus) -> None:
    """But for names that are like the English ones, which may not stand alone."""
    train = corpus["train"]
    for code in ("eng_Latn", "deu_Latn", "fra_Latn", "swh_Latn", "tur_Latn", "rus_Cyrl"):
        known = words(train[code]) | words(train["eng_Latn"])
        for split in ("dev", "test"):
            assert words(corpus[split][code]) <= known, code


def test_the_corpus_depends_on_its_arguments_alone(folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from m4nmt.data import cldr\n"
        f"cldr.write(Path(sys.argv[1]), {LANGUAGES!r}, **{SIZES!r})"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, env=environment)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path


def test_another_seed_gives_another_corpus(tmp_path: Path) -> None:
    sizes = {"train": 400, "dev": 20, "test": 20}
    one = read(cldr.write(tmp_path / "1", LANGUAGES[:2], seed=1, **sizes).parent)
    other = read(cldr.write(tmp_path / "2", LANGUAGES[:2], seed=2, **sizes).parent)
    assert one["test"] != other["test"]


def test_writing_again_does_nothing_and_other_arguments_do(tmp_path: Path) -> None:
    sizes = {"train": 300, "dev": 10, "test": 10}

    def stamps() -> dict[str, int]:
        return {p.name: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}

    path = cldr.write(tmp_path, LANGUAGES[:2], **sizes)
    before = stamps()
    assert cldr.write(tmp_path, LANGUAGES[:2], **sizes) == path
    assert stamps() == before
    cldr.write(tmp_path, LANGUAGES[:2], **sizes | {"dev": 12})
    assert len(read(tmp_path)["dev"]["deu_Latn"]) == 12
    assert json.loads((tmp_path / "made.json").read_text())["dev"] == 12


def test_a_corpus_without_its_manifest_is_made_again(tmp_path: Path) -> None:
    sizes = {"train": 300, "dev": 10, "test": 10}
    path = cldr.write(tmp_path, LANGUAGES[:2], **sizes)
    path.unlink()
    (tmp_path / "train" / "deu_Latn.txt").write_text("cut of")
    cldr.write(tmp_path, LANGUAGES[:2], **sizes)
    assert len(read(tmp_path)["train"]["deu_Latn"]) == 300


def test_a_language_without_a_locale_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fij_Latn"):
        cldr.write(tmp_path, ["eng_Latn", "fij_Latn"])
    with pytest.raises(ValueError, match="klingonisch"):
        cldr.write(tmp_path, ["eng_Latn", "klingonisch"])
    with pytest.raises(ValueError, match="different languages"):
        cldr.write(tmp_path, ["sw", "swh_Latn"])
    assert not list(tmp_path.iterdir())


def test_a_language_with_next_to_nothing_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"only 0 of 120 lines .+ arn_Latn"):
        cldr.write(tmp_path, ["eng_Latn", "deu_Latn", "arn_Latn"], train=100, dev=10, test=10)
    assert not list(tmp_path.iterdir())


def test_more_rows_than_there_are_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cldr, "TEMPLATES", {lambda rng: ("compact", rng.randrange(1, 9) * 1000): 1})
    with pytest.raises(ValueError, match="10 different test rows"):
        cldr.write(tmp_path, LANGUAGES[:2], train=10, dev=10, test=10)


def test_a_sister_language_is_not_taken_for_it() -> None:
    assert find_locale("ar") == Locale("ar")
    assert find_locale("zho_Hant") == Locale.parse("zh_Hant")
    with pytest.raises(ValueError, match="arz_Arab"):
        find_locale("arz_Arab")
    with pytest.raises(ValueError, match="deu_Cyrl"):
        find_locale("deu_Cyrl")


SAID = {
    ("measure", "duration-hour", Decimal(3)): {
        "eng_Latn": "3 hours",
        "rus_Cyrl": "3 часа",
        "swh_Latn": "saa 3",
        "zho_Hans": "3小时",
    },
    ("measure", "length-kilometer", Decimal("1234.5")): {
        "eng_Latn": "1,234.5 kilometers",
        "rus_Cyrl": "1 234,5 километра",
        "deu_Latn": "1.234,5 Kilometer",
    },
    ("relative", "day", "future", Decimal(3)): {
        "eng_Latn": "in 3 days",
        "swh_Latn": "baada ya siku 3",
        "zho_Hans": "3天后",
        "arb_Arab": "خلال 3 أيام",
    },
    ("relative", "year", "past", Decimal(1)): {"eng_Latn": "1 year ago", "rus_Cyrl": "1 год назад"},
    ("date", "yMMMMEEEEd", MARCH): {
        "eng_Latn": "Tuesday, March 3, 2020",
        "rus_Cyrl": "вторник, 3 марта 2020 г.",
        "zho_Hans": "2020年3月3日星期二",
    },
    ("moment", "yMMMMd", MARCH): {
        "eng_Latn": "March 3, 2020, 3:45 PM",
        "deu_Latn": "3. März 2020, 15:45",
    },
    # CLDR's own pattern for Swahili leaves out the first month.
    ("interval", "yMMMMd", MARCH, datetime(2020, 5, 7)): {
        "eng_Latn": "March 3 – May 7, 2020",
        "swh_Latn": "3 Machi 2020 – 7 Mei 2020",
    },
    # Arabic has no short names of months: every language inherits "M03".
    ("interval", "yMMMMd", MARCH, datetime(2020, 3, 7)): {
        "arb_Arab": "3–7 مارس 2020",
        "spa_Latn": "3–7 de marzo de 2020",
    },
    ("interval", "yMMMM", MARCH, datetime(2020, 5, 7)): {"deu_Latn": "März–Mai 2020"},
    ("money", "USD", Decimal("2.5")): {"eng_Latn": "2.5 US dollars", "deu_Latn": "2,5 US-Dollar"},
    ("compact", 12_000): {"eng_Latn": "12 thousand", "swh_Latn": "elfu 12", "zho_Hans": "1.2万"},
    ("compact", 250_000_000): {"eng_Latn": "250 million", "zho_Hans": "2.5亿"},
    # Without a word, nobody knows in which language a number is written.
    ("percent", Decimal("0.45")): {"eng_Latn": "", "deu_Latn": "", "tur_Latn": ""},
    ("colon", ("territory", "TR"), ("percent", Decimal("0.45"))): {"tur_Latn": "Türkiye: %45"},
    ("rate", "mass-gram", "duration-hour", Decimal(2)): {"eng_Latn": "2 grams per hour"},
    ("list", "or", ("territory", "DE"), ("territory", "KE")): {
        "eng_Latn": "Germany or Kenya",
        "swh_Latn": "Ujerumani au Kenya",
    },
}


@pytest.mark.parametrize("meaning", SAID, ids=str)
def test_a_meaning_is_said_as_in_cldr(meaning: tuple[object, ...]) -> None:
    assert {code: Speaker(code).say(meaning) for code in SAID[meaning]} == SAID[meaning]


def test_what_every_language_inherits_is_not_said() -> None:
    root = localedata.LocaleDataDict(localedata.load("root"))
    speaker = Speaker("deu_Latn")
    speaker._data = root
    for meaning in SAID:
        assert speaker.say(meaning) == "", meaning


def test_one_inherited_name_of_twelve_is_found() -> None:
    """Kako has names of all months but the eleventh."""
    assert Speaker("kkj_Latn").say(("date", "yMMMM", datetime(2000, 11, 1))) == ""
    assert Speaker("eng_Dsrt").say(("relative", "day", "future", Decimal(3))) == ""


def test_facts_of_patterns() -> None:
    assert facts("EEEE, d 'de' MMMM 'de' y") == facts("yMMMMEEEEd")
    assert facts("h:mm a") == facts("Bh:mm") == facts("HH:mm")
    assert facts("h:mm") != facts("HH:mm")
    assert facts("d – d MMM y") != facts("d MMM – d MMM y")
    assert facts("y G") == facts("y") != facts("yy")


def test_locales_of_cldr_are_found_or_refused() -> None:
    """Not one of them makes it fail in another way, or is taken for a different language."""
    found = set()
    for name in localedata.locale_identifiers()[::9]:
        try:
            found.add(Speaker(language.normalise(name.replace("_", "-"))).code)
        except ValueError:  # other errors are faults
            continue
    assert len(found) > 50
