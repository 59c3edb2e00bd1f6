"""Sentences out of texts, and texts out of sentences."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from m4nmt.translate import segment
from m4nmt.translate.segment import Part, has_words, shorten, split

LANGUAGES = ("", "eng_Latn", "deu_Latn", "zho_Hans", "jpn_Jpan", "ell_Grek", "hin_Deva", "tha_Thai")
# text that is full of what the splitter looks at
busy = st.text(
    st.sampled_from(
        "aZ9é。！？.!?…,;:、，।؟።「」”“\"')( \t\n\r\u2028\u0085\u00a0\u3000漢あ😀\u200d\u0301\x00"
    )
)
texts = st.one_of(st.text(), busy)


def join(parts: list[Part], translated: list[str], source: str, target: str) -> str:
    return segment.join(parts, translated, source, target).text


def sentences(text: str, language: str) -> list[str]:
    return [part.text for part in split(text, language) if part.sentence]


@settings(max_examples=300, deadline=None)
@given(text=texts, language=st.sampled_from(LANGUAGES), fine=st.booleans())
@example(text="a.\r\n\r\n b", language="", fine=True)
@example(text="\ud800. X", language="", fine=True)
def test_nothing_is_lost(text: str, language: str, fine: bool) -> None:
    parts = split(text, language, fine)
    assert "".join(part.text for part in parts) == text
    assert all(part.text for part in parts)
    for part in parts:
        if part.sentence:
            assert part.text == part.text.strip()
            assert "\n" not in part.text
        else:
            assert part.text.isspace()


@settings(max_examples=200, deadline=None)
@given(text=texts.filter(bool), room=st.integers(1, 9))
def test_long_sentences_are_cut_without_loss(text: str, room: int) -> None:
    parts = shorten(text, lambda piece: len(piece) <= room)
    assert "".join(part.text for part in parts) == text
    assert all(len(part.text) <= room for part in parts if part.sentence)
    assert all(part.text.isspace() for part in parts if not part.sentence)


@settings(max_examples=200, deadline=None)
@given(text=texts, language=st.sampled_from(LANGUAGES))
def test_joining_gives_the_text_back(text: str, language: str) -> None:
    parts = split(text, language)
    kept = [part.text for part in parts if part.sentence]
    joined = join(parts, kept, language, language)
    assert "".join(joined.split()) == "".join(text.split())
    neighbours = any(a.sentence and b.sentence for a, b in pairwise(parts))
    if not neighbours or language in ("zho_Hans", "jpn_Jpan"):
        assert joined == text


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("eng_Latn", ["Dr. Ada said 3.14 is near pi.", '"Really?" he said.', "No.", "It isn't."]),
        ("eng_Latn", ["See No. 7, i.e. Fig. 2.", "Mr. J. R. Smith left.", "He sat.", "He ate."]),
        ("eng_Latn", ["Wait... what?!", "Yes…", "(It ended.)", "“Go.”", "¿Sí?"]),
        ("eng_Latn", ["1. First of all.", "2. Second of all."]),
        ("eng_Latn", ["In the year 1999.", "42 people came."]),
        ("deu_Latn", ["Am 3. Mai kam Hr. Müller z. B. an.", "Das war 1999.", "„Ja!“ sagte er."]),
        ("deu_Latn", ["Vom 10.-30. April und am 3./4. Mai.", "Um 10-30.", "Dann nicht."]),
        ("deu_Latn", ["Er kam.", "»Ja.«", "»Nein.«", "So war es."]),
        ("fra_Latn", ["M. Dupont est là !", "Vraiment ?", "« Oui. »", "Non."]),
        ("spa_Latn", ["¿Qué tal?", "¡Bien!", "El Sr. Pérez vive en EE. UU. y trabaja."]),
        ("rus_Cyrl", ["Он родился в г. Москве.", "А. С. Пушкин писал стихи.", "Да!"]),
        ("ell_Grek", ["Τι κάνεις;", "Καλά."]),
        ("eng_Latn", ["One; Two."]),
        ("arb_Arab", ["هل أنت هنا؟", "نعم.", "أنا هنا."]),
        ("urd_Arab", ["وہ گیا۔", "کیا ہوا؟", "ہاں۔"]),
        ("hin_Deva", ["यह है।", "वह गया।", "हाँ॥"]),
        ("ben_Beng", ["সে গেল।", "কেন?", "জানি না।"]),
        ("amh_Ethi", ["ሰላም።", "ደህና ነህ፧", "አዎ።"]),
        ("khm_Khmr", ["សួស្តី។", "អ្នកសុខសប្បាយទេ?", "បាទ។"]),
        ("mya_Mymr", ["မင်္ဂလာပါ။", "နေကောင်းလား။"]),
        ("hye_Armn", ["Բարև։", "Ինչպես ես։"]),
        ("bod_Tibt", ["བཀྲ་ཤིས།", "བདེ་ལེགས།"]),
        ("sat_Olck", ["ᱡᱚᱦᱟᱨ᱾", "ᱫᱟᱜ᱾"]),
        ("kor_Hang", ["안녕하세요.", "잘 지내요?", "네!"]),
        ("tha_Thai", ["สวัสดี ครับ ผมชื่อ"]),
        ("", ["Dr. No stays.", "Unknown language."]),
    ],
)  # fmt: skip
def test_spaced_scripts(language: str, expected: list[str]) -> None:
    assert sentences(" ".join(expected), language) == expected


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("zho_Hans", ["他说：“你好。”", "我说再见！", "真的吗？！", "是３．１４。"]),
        ("jpn_Jpan", ["これは「本当。」です。", "次の文。", "え？"]),
        ("hin_Deva", ["यह है।", "वह गया।"]),
        ("amh_Ethi", ["ሰላም።", "አዎ።"]),
    ],
)
def test_sentences_without_spaces_between(language: str, expected: list[str]) -> None:
    assert sentences("".join(expected), language) == expected


def test_only_lines_are_separated_when_sentences_are_not_wanted() -> None:
    text = "One. Two.\r\n\r\n三。四。\n"
    parts = split(text, "eng_Latn", sentences=False)
    assert parts == [
        Part("One. Two.", True),
        Part("\r\n\r\n", False),
        Part("三。四。", True),
        Part("\n", False),
    ]


def test_cuts_lie_at_clauses_then_spaces_then_characters() -> None:
    def cut(text: str, room: int) -> list[str]:
        return [p.text for p in shorten(text, lambda t: len(t) <= room) if p.sentence]

    assert cut("aa bb cc dd, ee ff gg", 14) == ["aa bb cc dd,", "ee ff gg"]
    assert cut("aa bb cc dd ee ff gg", 14) == ["aa bb cc", "dd ee ff gg"]
    assert cut("一二三四，五六七八", 6) == ["一二三四，", "五六七八"]
    assert cut("1,234,567,890", 8) == ["1,234,", "567,890"]
    assert cut("abcdefgh", 5) == ["abcd", "efgh"]
    # a woman, a joiner and a computer are one picture; a letter and its accent one letter
    assert cut("ab👩\u200d💻cd", 5) == ["ab", "👩\u200d💻cd"]
    assert cut("abce\u0301fgh", 5) == ["abc", "e\u0301fgh"]


def test_a_long_text_is_cut_into_few_and_even_parts() -> None:
    text = " ".join(f"w{i}" for i in range(20000))
    parts = [p.text for p in shorten(text, lambda t: len(t) <= 1000) if p.sentence]
    assert " ".join(parts) == text
    assert min(map(len, parts)) > 450
    assert len(shorten("a" * 100_000, lambda t: len(t) <= 250)) <= 512


def test_the_space_rule() -> None:
    english = split("One. Two.\nThree.  Four.", "eng_Latn")
    chinese = ["一。", "二。", "三。", "四。"]
    assert join(english, chinese, "eng_Latn", "zho_Hans") == "一。二。\n三。四。"
    assert join(english, ["Ein.", "Zwei.", "Drei.", "Vier."], "eng_Latn", "deu_Latn") == (
        "Ein. Zwei.\nDrei.  Vier."
    )
    back = split("一。二。\n三。四。", "zho_Hans")
    assert join(back, ["One.", "Two.", "Three.", "Four."], "zho_Hans", "eng_Latn") == (
        "One. Two.\nThree. Four."
    )
    assert join(back, chinese, "zho_Hans", "jpn_Jpan") == "一。二。\n三。四。"
    # at the edges, spaces stay
    assert join(split(" One. ", "eng_Latn"), ["一。"], "eng_Latn", "zho_Hans") == " 一。 "
    # a word that was too long comes together again; Chinese cut anywhere gets spaces
    word = [Part("abc", True), Part("def", True)]
    assert join(word, ["abc", "def"], "eng_Latn", "deu_Latn") == "abcdef"
    assert join(word, ["abc", "def"], "zho_Hans", "deu_Latn") == "abc def"


@pytest.mark.parametrize("text", ["", " ", "\n\n", "—!?", "😀🏽", "\ufeff", "\u0301", "$€"])
def test_texts_without_words(text: str) -> None:
    assert not has_words(text)


@pytest.mark.parametrize("text", ["a", "1", "漢", "क", "ข", "…é"])
def test_texts_with_words(text: str) -> None:
    assert has_words(text)


def test_the_splitter_does_not_slow_down_on_nasty_texts() -> None:
    for nasty in (
        "." * 200_000,
        ". " * 100_000,
        " " * 200_000,
        ')"' * 100_000 + " x",
        "( " * 99_999,
    ):
        assert "".join(p.text for p in split(nasty, "eng_Latn")) == nasty
