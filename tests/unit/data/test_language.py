"""Codes and names of languages."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.data import language, manifest
from m4nmt.data.locales.families import FAMILIES

# How Unicode calls the letters of a script that ISO 15924 calls by another name.
_LETTERS = {
    "Beng": {"BENGALI"},
    "Cher": {"CHEROKEE"},
    "Hans": {"CJK"},
    "Hant": {"CJK"},
    "Jpan": {"CJK"},
    "Nkoo": {"NKO"},
    "Olck": {"OL"},
    "Orya": {"ORIYA"},
}
KNOWN = {
    "acm": "acm_Arab",  # CLDR does not know its script
    "bhd": "bhd_Deva",
    "en": "eng_Latn",
    "EN": "eng_Latn",
    "en-US": "eng_Latn",
    "en_US": "eng_Latn",
    "eng": "eng_Latn",
    "eng_Latn": "eng_Latn",
    "ENG-latn": "eng_Latn",
    "sw": "swh_Latn",
    "swa": "swh_Latn",
    "zh": "zho_Hans",
    "cmn": "zho_Hans",
    "zh-TW": "zho_Hant",
    "zh-Hant": "zho_Hant",
    "ar": "arb_Arab",
    "ara_Arab": "arb_Arab",
    "ne": "npi_Deva",
    "no": "nob_Latn",
    "nb": "nob_Latn",
    "nn": "nno_Latn",
    "iw": "heb_Hebr",
    "he": "heb_Hebr",
    "fa": "pes_Arab",
    "prs": "prs_Arab",
    "ku": "kmr_Latn",
    "ckb": "ckb_Arab",
    "tl": "tgl_Latn",
    "fil": "tgl_Latn",
    "ko": "kor_Hang",
    "ja": "jpn_Jpan",
    "sr": "srp_Cyrl",
    "sr-Latn": "srp_Latn",
    "ps": "pbt_Arab",
    "ms": "zsm_Latn",
    "lv": "lvs_Latn",
    "tw": "twi_Latn",
    "pt-BR": "por_Latn",
    "grc": "grc_Grek",
}


def shipped_codes() -> list[str]:
    found = [manifest.parse(manifest.find(name)) for name in manifest.names()]
    return sorted({code for read in found for c in read.corpora for code in c.languages})


@pytest.mark.parametrize(("code", "expected"), KNOWN.items())
def test_known_codes(code: str, expected: str) -> None:
    assert language.normalise(code) == expected


def test_every_shipped_code_survives_and_has_a_short_tag_that_reads_back() -> None:
    codes = shipped_codes()
    assert len(codes) > 150
    for code in codes:
        tag = language.to_bcp47(code)
        assert language.normalise(code) == code
        assert language.normalise(code.split("_")[0], codes).split("_")[0] == code.split("_")[0]
        assert language.normalise(tag) == code
        assert language.normalise(tag, codes) == code
        assert language.display_name(code)
        assert language.native_name(code)
    assert len({language.to_bcp47(code) for code in codes}) == len(codes)


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        ("swh_Latn", "sw"),
        ("arb_Arab", "ar"),
        ("npi_Deva", "ne"),
        ("zho_Hans", "zh"),
        ("zho_Hant", "zh-Hant"),
        ("prs_Arab", "prs"),
        ("pes_Arab", "fa"),
        ("ckb_Arab", "ckb"),
        ("kas_Deva", "ks-Deva"),
        ("abc_Latn", "abc"),
        ("quy_Latn", "qu"),
    ],
)
def test_short_tags(code: str, tag: str) -> None:
    assert language.to_bcp47(code) == tag


def test_a_code_prefers_the_languages_there_are() -> None:
    assert language.normalise("ar", ["arz_Arab", "arb_Arab"]) == "arb_Arab"
    assert language.normalise("gn", ["gug_Latn", "eng_Latn"]) == "gug_Latn"
    assert language.normalise("sr", ["srp_Latn"]) == "srp_Latn"
    assert language.normalise("kas", ["kas_Deva"]) == "kas_Deva"
    assert language.normalise("fa", ["prs_Arab"]) == "prs_Arab"


@pytest.mark.parametrize(
    ("code", "among"),
    [
        ("ary_Arab", ["arb_Arab"]),  # a named dialect is not another one
        ("prs_Arab", ["pes_Arab"]),
        ("sr-Cyrl", ["srp_Latn"]),  # a named script is not another one
        ("zh-Hant", ["zho_Hans"]),
        ("fr", ["eng_Latn"]),
        ("zzz", ["eng_Latn"]),
    ],
)
def test_what_is_not_there_is_refused(code: str, among: list[str]) -> None:
    with pytest.raises(ValueError, match="unknown language"):
        language.normalise(code, among)


def test_a_wrong_code_gets_the_nearest_right_one() -> None:
    with pytest.raises(ValueError, match="did you mean 'eng_Latn'"):
        language.normalise("egn_Latn")
    with pytest.raises(ValueError, match="did you mean 'zsm_Latn'"):
        language.normalise("zsn_Latn", ["zsm_Latn", "eng_Latn"])


def test_names() -> None:
    assert language.display_name("swh_Latn") == "Swahili"
    assert language.display_name("deu_Latn", "fr") == "allemand"
    assert language.display_name("zho_Hant") == "Traditional Chinese"
    assert language.display_name("kas_Deva") == "Kashmiri (Devanagari)"
    assert language.display_name("kas_Arab") == "Kashmiri"
    assert language.native_name("deu_Latn") == "Deutsch"
    assert language.native_name("pbt_Arab") == "پښتو"
    assert language.display_name("abc_Latn") == "Ambala Ayta"  # CLDR has no name for it
    assert language.display_name("zzj_Latn") == "zzj_Latn"  # nor have we
    assert language.display_name("taq_Tfng") == "Tamasheq (Tifinagh)"
    assert language.display_name("fuv_Latn") != language.display_name("fuc_Latn")
    assert language.display_name("abc_Latn", "cop") == "Ambala Ayta"  # a locale without names
    assert language.native_name("twi_Latn") == "Twi"  # CLDR has the group's alone
    assert language.native_name("awa_Deva") == "अवधी"


def test_names_tell_languages_apart_and_stand_in_their_own_script() -> None:
    told = [language.describe(code) for code in shipped_codes()]
    names = [one.name for one in told]
    assert sorted({name for name in names if names.count(name) > 1}) == []
    for one in told:
        if "(" not in one.native:  # "Arabic (Latin)" says in Arabic that it is another script's
            scripts = {unicodedata.name(c).split()[0] for c in one.native if c.isalpha()}
            scripts.discard("MODIFIER")
            assert scripts in (_LETTERS.get(one.code[4:], {one.script.upper()}), {"LATIN"}), one
    assert language.describe("zho_Hant").script == "Traditional Han"


def test_the_table_of_languages() -> None:
    assert language.describe("ur") == language.Described(
        code="urd_Arab",
        bcp47="ur",
        name="Urdu",
        native="اردو",
        script="Arabic",
        direction="rtl",
        family="Indo-European/Indo-Aryan",
    )
    assert language.family("tur_Latn") == "Turkic"
    assert language.family("zzj_Latn") == ""
    untold = [code for code in shipped_codes() if not language.family(code)]
    assert untold == ["nce_Latn"]
    assert all(not language.describe(c).name.endswith(c[3:]) for c in shipped_codes())


def test_no_language_has_two_families() -> None:
    codes = [code for row in FAMILIES.values() for code in row.split()]
    assert len(codes) == len(set(codes))
    assert all(language.normalise(code).startswith(code) for code in codes)


def test_direction_of_script() -> None:
    right_to_left = {"arb_Arab", "heb_Hebr", "nqo_Nkoo", "urd_Arab", "kas_Arab"}
    assert all(language.is_rtl(code) for code in right_to_left)
    assert not any(language.is_rtl(code) for code in ("eng_Latn", "kas_Deva", "jpn_Jpan"))


@given(st.text(max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_language_or_a_value_error(text: str) -> None:
    try:
        code = language.normalise(text)
    except ValueError:
        return
    assert language.normalise(code) == code


def test_real_lists_of_codes(shared_data: Path) -> None:
    for name in ("bible100", "tico19", "seed"):
        rows = (shared_data / name / "manifest.tsv").read_text().split("\n")[1:]
        codes = [row.split("\t")[0] for row in rows if row]
        assert codes
        assert [language.normalise(code) for code in codes] == codes


def test_the_codes_other_projects_used(shared_data: Path) -> None:
    rows = (shared_data / "tico19" / "manifest.tsv").read_text().split("\n")[1:]
    pairs = [row.split("\t")[:2] for row in rows if row]
    codes = [code for code, _ in pairs]
    odd = {code: theirs for code, theirs in pairs if language.normalise(theirs, codes) != code}
    assert odd == {}


def test_the_nearest_language_by_code_and_by_name() -> None:
    among = ["eng_Latn", "deu_Latn", "swh_Latn", "zho_Hant"]
    for text, meant in (
        ("deu_Latm", "deu_Latn"),
        (" German", "deu_Latn"),
        ("DEUTSCH", "deu_Latn"),
        ("Swahilli", "swh_Latn"),
        ("zh-Hantt", "zho_Hant"),
    ):
        assert language.nearest(text, among, 3)[0] == meant
    assert language.nearest("!!", among) == []
    assert len(language.nearest("eng_Latm deu_Latm", among, 1)) <= 1
