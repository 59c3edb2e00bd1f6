"""What is promised of prefixes, required and forbidden phrases and terms, over a real tokenizer."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from translate_folders import make_model_folder, make_tokenizer

from m4nmt.core.stages import SearchConfig
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction
from m4nmt.translate.dispatch import SearchError
from m4nmt.translate.segment import split
from m4nmt.translate.translator import Translator
from m4nmt.translate.wishes import Glossary, Speller, Wish, WishError, opened, per_text, share

SHORT = SearchConfig(beam=3, max_ratio=0.5, max_extra=6)
TEXTS = ["home", "This is a house.", "Good day, how are you?"]
LATIN = ["Haus", "haus", "Guten Tag", "ein", "a", "Hof 3", "é", "nach Hause.", "-x"]
CHINESE = ["房子", "你好", "我", "座房", "Haus"]
texts = st.sampled_from(TEXTS)
latin, chinese = st.sampled_from(LATIN), st.sampled_from(CHINESE)
few = settings(max_examples=10, deadline=None)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def it(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Translator:
    folder: Path = tmp_path_factory.mktemp("run")
    model = make_model_folder(folder / "model", tokenizer.folder)
    return Translator.load(model, device="cpu", engine="native")


def says(text: str, phrase: str, anywhere: bool) -> bool:
    """Whether a phrase stands in a text, where words count at the beginning of one."""
    found = (m.start() for m in re.finditer(re.escape(phrase), text))
    return any(anywhere or not i or not text[i - 1].isalnum() for i in found)


def one(it: Translator, text: str, tgt: str, wish: Wish, config: SearchConfig = SHORT) -> str:
    [[found, *_]] = it.translate([text], "en", tgt, config, wishes=wish, guard=None)
    assert "required" not in found.marks
    return found.text


@few
@given(
    text=texts,
    prefix=st.one_of(latin, chinese),
    tgt=st.sampled_from(("de", "zh")),
    n=st.integers(1, 3),
)
def test_every_translation_begins_with_the_prefix(
    it: Translator, text: str, prefix: str, tgt: str, n: int
) -> None:
    config = replace(SHORT, n_best=n)
    for given_prefix in (prefix, f"  {prefix} "):
        [found] = it.translate([text], "en", tgt, config, wishes=Wish(given_prefix))
        assert all(t.text.startswith(prefix) for t in found)
        assert len({t.text for t in found}) == len(found)


@few
@given(text=texts, drawn=st.booleans(), groups=st.sampled_from((1, 2)))
def test_draws_and_groups_keep_to_a_prefix(
    it: Translator, text: str, drawn: bool, groups: int
) -> None:
    config = SearchConfig(
        beam=4, n_best=4, max_extra=4, sample=drawn, groups=1 if drawn else groups
    )
    wish = Wish("Guten", forbidden=("a", "B"))
    [found] = it.translate([text], "en", "de", config, wishes=wish, guard=None)
    assert all(t.text.startswith("Guten") for t in found)
    assert not any(says(t.text, phrase, False) for t in found for phrase in ("a", "A", "B"))


@few
@given(text=texts, phrases=st.lists(latin, min_size=1, max_size=3, unique=True))
def test_what_is_required_begins_a_word(it: Translator, text: str, phrases: list[str]) -> None:
    found = one(it, text, "de", Wish(required=tuple(phrases)))
    assert all(says(found, phrase, False) for phrase in phrases)


@few
@given(text=texts, phrases=st.lists(chinese, min_size=1, max_size=3, unique=True))
def test_what_is_required_stands_anywhere_without_spaces(
    it: Translator, text: str, phrases: list[str]
) -> None:
    found = one(it, text, "zh", Wish(required=tuple(phrases)))
    assert all(phrase in found for phrase in phrases)


@few
@given(text=texts, phrase=latin)
@example(text="home", phrase="Haus")
def test_what_there_is_no_room_for_is_marked(it: Translator, text: str, phrase: str) -> None:
    wish = Wish(required=(phrase,), forbidden=(phrase,))
    [[found]] = it.translate([text], "en", "de", SHORT, wishes=wish)
    assert "required" in found.marks
    assert not says(found.text, phrase, False)


@few
@given(text=texts, tgt=st.sampled_from(("de", "zh")), at=st.integers(0, 40), n=st.integers(1, 6))
def test_what_is_forbidden_is_not_said_however_it_is_cut(
    it: Translator, text: str, tgt: str, at: int, n: int
) -> None:
    """Of each outcome a stretch is forbidden, again and again: what the model wants to say."""
    wish = Wish()
    for _ in range(3):
        said = one(it, text, tgt, wish)
        words = [w for w in re.findall(r"[^\W_\ufffd]+", said) if says(said, w, tgt == "zh")]
        if not words:
            return
        word = words[at % len(words)][: n if tgt == "de" else 2]
        wish = Wish(forbidden=(*wish.forbidden, word))
        after = one(it, text, tgt, wish)
        for phrase in wish.forbidden:
            for form in (phrase, phrase[:1].upper() + phrase[1:]):
                assert not says(after, form, tgt == "zh")


def test_forbidden_words_may_stand_inside_others(tokenizer: Tokenizer) -> None:
    speller = Speller(tokenizer)
    [said] = speller.constraint(Wish(forbidden=("aus",)), Direction("deu_Latn", "deu_Latn")).unsaid
    n, a, u, s, space = tokenizer.ids(["n", "a", "u", "s", "\u2581"])
    assert tokenizer.unk not in (n, a, u, s, space)
    assert s not in set(said.after([n, a, u]))
    assert s in set(said.after([n, space, a, u]))
    [said] = speller.constraint(Wish(forbidden=("aus",)), Direction("zho_Hans", "zho_Hans")).unsaid
    assert s in set(said.after([n, a, u]))


def test_a_piece_that_says_all_of_it_is_forbidden_with_a_capital_too(tokenizer: Tokenizer) -> None:
    [house, glued] = tokenizer.ids(["\u2581Haus", "\u2581"])
    assert tokenizer.unk not in (house, glued)
    for phrase, language in (("Haus", "deu_Latn"), ("haus", "deu_Latn"), ("Haus", "zho_Hans")):
        direction = Direction(language, language)
        [said] = Speller(tokenizer).constraint(Wish(forbidden=(phrase,)), direction).unsaid
        assert house in set(said.after([]))
        assert glued not in set(said.after([]))


def test_without_spaces_a_phrase_is_spelt_as_in_the_middle_too(tokenizer: Tokenizer) -> None:
    speller, wish = Speller(tokenizer), Wish(required=("房子",))
    [spellings] = speller.constraint(wish, Direction("zho_Hans", "zho_Hans")).required
    written = {"".join(tokenizer.pieces(ids)) for ids in spellings}
    assert written == {"\u2581房子", "房子"}
    [spellings] = speller.constraint(wish, Direction("deu_Latn", "deu_Latn")).required
    assert len(spellings) == 1


def test_what_spells_no_letter_does_not_hide_a_word(tokenizer: Tokenizer) -> None:
    """A byte that is no character on its own is read as a mark, after which a word begins."""
    direction = Direction("deu_Latn", "deu_Latn")
    [said] = Speller(tokenizer).constraint(Wish(forbidden=("au",)), direction).unsaid
    n, broken, a, u = tokenizer.ids(["n", "<0xFF>", "a", "u"])
    assert u in set(said.after([n, broken, a]))
    assert u not in set(said.after([n, a]))


TERMS = {"house": "Haus", "good day": "Guten Tag", "are": "sind"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("This is a house.", {"Haus"}),
        ("House! Are we?", {"Haus", "sind"}),
        ("Good day, houses", {"Guten Tag"}),
        ("area", set()),
    ],
)
def test_terms_are_required_where_they_occur(it: Translator, text: str, expected: set[str]) -> None:
    [[found]] = it.translate([text], "en", "de", SHORT, terms=TERMS)
    assert all(says(found.text, target, False) for target in expected)
    [[other]] = it.translate([text], "en", "de", SHORT)
    assert (found.text == other.text) <= all(says(other.text, t, False) for t in expected)
    parts = [p.text for p in split(text, "eng_Latn") if p.sentence]
    assert {t for p in parts for t in Glossary(TERMS).targets(p, "eng_Latn")} == expected


def test_the_longest_term_counts_and_scripts_without_spaces_need_none() -> None:
    glossary = Glossary({"房子": "house", "房": "room", "day": "Tag", "good day": "Guten Tag"})
    assert glossary.targets("这是房子", "zho_Hans") == ("house",)
    assert glossary.targets("good day", "eng_Latn") == ("Guten Tag",)
    assert glossary.targets("Day by day", "eng_Latn") == ("Tag",)
    with pytest.raises(WishError, match="blank"):
        Glossary({"x": " "})


sentences = st.lists(st.sampled_from(["Das ist gut.", "Ja!", "Wer?", "Ach so"]), max_size=4)


@given(begun=sentences, count=st.integers(1, 4), gap=st.sampled_from((" ", "\n", "  ")))
def test_a_prefix_is_shared_out_without_loss(begun: list[str], count: int, gap: str) -> None:
    prefix = gap.join(begun)
    shares = share(Wish(prefix, forbidden=("x",)), ["s"] * count, "deu_Latn")
    assert len(shares) == count
    assert all(s.forbidden == ("x",) for s in shares)
    assert "".join("".join(s.prefix for s in shares).split()) == "".join(prefix.split())
    parts = [p.text for p in split(prefix, "deu_Latn") if p.sentence]
    assert [s.prefix for s in shares][: count - 1] == [*parts, *[""] * count][: count - 1]


@pytest.mark.parametrize(
    ("prefix", "count", "language", "expected"),
    [
        ("", 3, "deu_Latn", 0),
        ("Das ist", 2, "deu_Latn", 0),
        ("Das ist gut.", 2, "deu_Latn", 1),
        ("Das ist gut. ", 2, "deu_Latn", 1),
        ("Das ist gut. Wir", 3, "deu_Latn", 1),
        ("Das ist gut.", 1, "deu_Latn", 0),
        ("Ja\n", 2, "deu_Latn", 1),
        ("Dr.", 2, "deu_Latn", 0),
        ("这是房子。", 2, "zho_Hans", 1),
        ("这是房", 2, "zho_Hans", 0),
    ],
)
def test_where_a_prefix_is_gone_on_with(
    prefix: str, count: int, language: str, expected: int
) -> None:
    assert opened(prefix, count, language) == expected


def test_a_text_of_several_sentences(it: Translator) -> None:
    text = "This is a house. We are going home."
    [[found]] = it.translate([text], "en", "de", SHORT, wishes=Wish("Ein Haus. Wir"))
    [[second]] = it.translate(["We are going home."], "en", "de", SHORT, wishes=Wish("Wir"))
    assert found.text == f"Ein Haus. {second.text}", "the first sentence is said and no more"
    [[found]] = it.translate([text], "en", "de", SHORT, wishes=Wish("Ein Haus.", whole=True))
    assert found.text.strip() == "Ein Haus."
    with pytest.raises(WishError, match="text 1: required phrases of a text of 2 sentences") as e:
        it.translate(["home", text], "en", "de", SHORT, wishes=Wish(required=("x",)))
    assert e.value.text == 1


def test_what_holds_nothing_to_translate_is_left_alone(it: Translator) -> None:
    wish = Wish("Ein", required=("Haus",), forbidden=("x",))
    found = it.translate(["", "!?", "Haus"], ["en", "en", "de"], "de", wishes=wish)
    assert [best.text for [best] in found] == ["", "!?", "Haus"]


def test_wishes_that_cannot_be_granted(it: Translator) -> None:
    with pytest.raises(WishError, match="blank"):
        Wish(required=(" ",))
    with pytest.raises(WishError, match="tuple"):
        Wish(forbidden="x")  # type: ignore[arg-type]
    with pytest.raises(WishError, match="tuple"):
        Wish(forbidden=["x"])  # type: ignore[arg-type]
    with pytest.raises(WishError, match="2 wishes for 1 texts"):
        per_text([Wish(), Wish()], 1)
    for config in (SearchConfig(sample=True), SearchConfig(beam=4, groups=2)):
        with pytest.raises(SearchError, match="plain beam search"):
            it.translate(["home"], "en", "de", config, wishes=Wish(required=("x",)))
