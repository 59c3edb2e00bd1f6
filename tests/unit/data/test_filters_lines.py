"""The line filters, one by one, on lines of several scripts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.core.config import ConfigError
from m4nmt.data.filters import lines
from m4nmt.data.filters import settings as filters
from m4nmt.data.filters.characters import Lines, codes, script_counts, sums
from m4nmt.data.identify import Identifier
from m4nmt.data.preparing import clean

NOWHERE = Path("nowhere")
GOOD = {
    "eng_Latn": "Wash your hands with soap for at least 20 seconds, several times a day.",
    "fra_Latn": "« À l’été 2020, où étiez-vous ? » demanda-t-elle à son frère aîné : É\u00a0!",
    "rus_Cyrl": "Мойте руки с мылом не менее 20 секунд несколько раз в день.",
    "hin_Deva": "दिन में कई बार कम से कम 20 सेकंड तक साबुन से हाथ धोएं।",
    "zho_Hans": "每天用肥皂洗手几次，每次至少二十秒，然后用干净的毛巾擦干。",
    "jpn_Jpan": "石けんで少なくとも20秒間、一日に何度も手を洗ってください。",
    "arb_Arab": "اغسل يديك بالصابون لمدة 20 ثانية على الأقل عدة مرات في اليوم.",
    "tha_Thai": "ล้างมือด้วยสบู่อย่างน้อย 20 วินาทีวันละหลายครั้ง",
    "kor_Hang": "하루에 여러 번 비누로 20초 이상 손을 씻으세요.",
    "amh_Ethi": "በቀን ብዙ ጊዜ ቢያንስ ለ20 ሰከንድ እጅዎን በሳሙና ይታጠቡ።",
}
BAD = [
    (filters.Controls(), "eng_Latn", "a good line\x02 with a control"),
    (filters.Controls(), "hin_Deva", "दिन में \ufffd बार"),
    (filters.Controls(), "zho_Hans", "每天\ue000用肥皂"),
    (filters.Mojibake(), "fra_Latn", "Ã©tÃ© comme hiver"),
    (filters.Mojibake(), "fra_Latn", "l\u00e2\u20ac\u2122organisation"),
    (filters.Mojibake(), "rus_Cyrl", "Мойте".encode().decode("latin-1") + " yes"),
    (filters.Mojibake(), "hin_Deva", "दिन".encode().decode("latin-1")),
    (filters.Markup(), "eng_Latn", '<p class="x">Wash your hands</p>'),
    (filters.Markup(), "zho_Hans", "每天用&nbsp;肥皂洗手"),
    (filters.Links(), "eng_Latn", "See https://example.org/a/long/path/to/some/page?id=12345"),
    (filters.Links(), "rus_Cyrl", "Пишите: somebody.important@example.org"),
    (filters.Digits(), "eng_Latn", "12 345 678 ab"),
    (filters.Digits(), "hin_Deva", "१२३४५६७ दि"),
    (filters.Symbols(), "eng_Latn", "-"),
    (filters.Symbols(), "fra_Latn", "%|b40&99@c8_=^*9_^2"),
    (filters.Repetition(), "eng_Latn", "very good " * 12),
    (filters.Repetition(), "zho_Hans", "非常好的，" * 12),
    (filters.WrongScript(), "eng_Latn", "Мойте руки с мылом"),
    (filters.WrongScript(), "zho_Hans", "Wash your hands"),
    (filters.WrongScript(), "jpn_Jpan", "손을 씻으세요"),
    (filters.WrongScript(), "kor_Hang", "手を洗ってください"),
]


def drops(config: filters.LineFilter, text: str, language: str) -> bool:
    made = lines.make(config, NOWHERE)
    assert made is not None
    # Beside other lines, so that a mistake in taking lines apart shows.
    found = made.drop(Lines(["", GOOD["eng_Latn"], text, "", GOOD["rus_Cyrl"]], language))
    assert found.shape == (5,)
    return bool(found[2])


@pytest.mark.parametrize(("config", "language", "text"), BAD, ids=lambda x: str(x)[:24])
def test_what_is_dropped(config: filters.LineFilter, language: str, text: str) -> None:
    assert drops(config, text, language)
    assert not drops(config, GOOD[language], language)


@pytest.mark.parametrize("language", GOOD)
def test_good_lines_stay(language: str) -> None:
    wanted = [one for one in filters.FilterChain().lines if type(one) is not filters.WrongLanguage]
    flags = clean.LineJudge(wanted, NOWHERE).judge([GOOD[language], GOOD[language] * 3], language)
    # Of a line three times over a third of the n-grams are distinct.
    assert clean.LINE_FILTERS[flags[0]] == ""
    assert clean.LINE_FILTERS[flags[1]] == "repetition"


def test_bounds() -> None:
    assert not drops(filters.Controls(most=1), "one\x02", "eng_Latn")
    assert drops(filters.Controls(most=1), "two\x02\x03", "eng_Latn")
    assert not drops(filters.Controls(), "tab\tand\u2028line", "eng_Latn")
    assert not drops(filters.Digits(most=0.5), "12ab", "eng_Latn")
    assert drops(filters.Digits(most=0.5), "123 ab", "eng_Latn")
    assert not drops(filters.Markup(most=1), "<b>one", "eng_Latn")
    assert not drops(filters.Markup(), "a < b and b > c; R&D", "eng_Latn")
    assert not drops(filters.WrongScript(letters=4), "abc", "rus_Cyrl")
    assert drops(filters.WrongScript(letters=4), "abcd", "rus_Cyrl")
    assert not drops(filters.WrongScript(), "abcd", "xxx_Zzzz")
    assert not drops(filters.Links(most=1.0), "www.example.org", "eng_Latn")
    # Good text whose letters, as bytes, are UTF-8 too.
    assert not drops(filters.Mojibake(), "Ela \u00e9 \u00abIRM\u00c3\u00bb de quem?", "por_Latn")
    assert not drops(filters.Mojibake(), "ce sera l’ÉTÉ…", "fra_Latn")
    assert not drops(filters.Mojibake(least=2), "un Ã© seul", "fra_Latn")


def test_the_first_filter_that_objects_is_counted() -> None:
    wanted = (filters.Controls(), filters.Markup())
    for order in (wanted, wanted[::-1]):
        (flag,) = clean.LineJudge(order, NOWHERE).judge(["<b>both\x01</b>"], "eng_Latn")
        assert clean.LINE_FILTERS[flag] == clean.name(order[0])


def test_wrong_language(tmp_path: Path) -> None:
    texts = {
        "eng_Latn": [GOOD["eng_Latn"], "The house is on the hill", "They were there with her"] * 40,
        "fra_Latn": ["La maison est sur la colline", "Elles étaient là avec lui", "ou bien"] * 40,
    }
    path = tmp_path / "identify.safetensors"
    Identifier.train(texts).save(path)
    made = lines.make(filters.WrongLanguage(sure=0.9), path)
    assert made is not None
    text = ["The house is with them there", "La maison est avec elles là", "ou"]
    assert made.drop(Lines(text, "eng_Latn")).tolist() == [False, True, False]
    assert made.drop(Lines(text, "fra_Latn")).tolist() == [True, False, False]
    # A language that the identifier does not know is passed over.
    assert not made.drop(Lines(text, "deu_Latn")).any()


def test_packaged_language() -> None:
    try:
        import py3langid  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigError, match=r"PackagedLanguage needs py3langid; pip install"):
            lines.make(filters.PackagedLanguage(), NOWHERE)
        return
    made = lines.make(filters.PackagedLanguage(), NOWHERE)
    assert made is not None
    spanish = "Las universidades cerraron durante una semana, pero después reanudaron las clases."
    text = [spanish, "Les universités ont fermé pendant une semaine, puis ont repris les cours."]
    assert made.drop(Lines(text, "fra_Latn")).tolist() == [True, False]
    assert made.drop(Lines(text, "spa_Latn")).tolist() == [False, True]
    assert not made.drop(Lines(text, "kmb_Latn")).any()


def test_scripts_are_counted() -> None:
    assert script_counts(Lines(["Wash рук", "手!"], "eng_Latn")) == {
        "LATIN": 4,
        "CYRILLIC": 3,
        "CJK": 1,
    }
    assert script_counts(Lines([], "eng_Latn")) == {}


@given(st.lists(st.text(max_size=9), max_size=6))
@settings(max_examples=40, deadline=None)
def test_sums_of_stretches(texts: list[str]) -> None:
    lengths = np.array([len(text) for text in texts], np.int64)
    found = sums((codes(texts) == ord("a")).astype(np.int64), lengths)
    assert found.tolist() == [text.count("a") for text in texts]


@given(st.lists(st.text(max_size=60), max_size=5), st.sampled_from(sorted(GOOD)))
@settings(max_examples=40, deadline=None)
def test_a_verdict_is_of_the_line_alone(texts: list[str], language: str) -> None:
    wanted = [one for one in filters.FilterChain().lines if type(one) is not filters.WrongLanguage]
    judge = clean.LineJudge(wanted, NOWHERE)
    together = judge.judge(texts, language).tolist()
    assert together == [int(judge.judge([text], language)[0]) for text in texts]
    backwards = clean.LineJudge(wanted[::-1], NOWHERE).judge(texts, language)
    assert [flag == 0 for flag in together] == [flag == 0 for flag in backwards]
