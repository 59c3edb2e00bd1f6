"""The next word after a prefix, against all pieces gone on with one by one."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_folders import make_model_folder, make_tokenizer

from m4nmt.core.stages import SearchConfig
from m4nmt.data.types import Direction
from m4nmt.translate.constraints import Constraint
from m4nmt.translate.document import one_line
from m4nmt.translate.translator import Translator
from m4nmt.translate.types import Translation
from m4nmt.translate.wishes import Speller
from m4nmt.translate.words import distinct, spaced_word

SHORT = SearchConfig(beam=2, max_ratio=0.5, max_extra=5)
TEXT = "This is a house."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    return make_model_folder(folder / "model", make_tokenizer(folder / "tokenizer").folder, seed=3)


@pytest.fixture(scope="module")
def it(model: Path) -> Translator:
    return Translator.load(model, device="cpu", engine="native")


@settings(max_examples=15, deadline=None)
@given(
    text=st.sampled_from(("home", TEXT, "Good day")),
    prefix=st.sampled_from(
        ("", "Das", "Das ", "Das ist ein ", "Guten Tag, ", 'Er: "', "这是", "é")
    ),
    tgt=st.sampled_from(("de", "zh")),
    n=st.integers(1, 6),
)
def test_words_are_different_and_each_translation_goes_on_with_its_own(
    it: Translator, text: str, prefix: str, tgt: str, n: int
) -> None:
    found = it.words(text, "en", tgt, prefix, n, SHORT)
    assert 1 <= len(found) <= n
    assert len({w.word for w in found}) == len(found)
    head = prefix.strip()
    for way in found:
        said = way.translation.text
        assert said.startswith(head)
        assert way.word
        assert way.word in said
        rest = said[len(head) :]
        if tgt == "zh":
            assert rest.lstrip().startswith(way.word)
        elif prefix.endswith(" "):
            assert rest.startswith(" ")
            assert way.word in rest.split()[0]
        assert way.translation.confidence is not None
        assert 0 < way.translation.confidence <= 1
    order = [(not w.translation.finished, -w.translation.score) for w in found]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("prefix", "tgt"), [("Das ", "deu_Latn"), ("Da", "deu_Latn"), ("", "zho_Hans")]
)
def test_all_pieces_gone_on_with_one_by_one(it: Translator, prefix: str, tgt: str) -> None:
    """Asked for more words than there are pieces, it finds what this finds."""
    tokenizer = it._tokenizer
    begin, spaced = tokenizer.encode([prefix])[0], tgt == "deu_Latn"
    controls = len(tokenizer.languages) + 5  # specials, tags and the task
    begins = [
        (*begin, i)
        for i, piece in enumerate(tokenizer.pieces(range(tokenizer.size)))
        if i >= controls and (piece.startswith("\u2581") or piece == "<0x20>" or prefix[-1:] != " ")
    ]
    row = tokenizer.source(tokenizer.encode([TEXT])[0], Direction(tgt, tgt))
    limits = [-(-len(row[1:-1]) // 2) + 5 + len(begin)] * len(begins)
    told = [Constraint(prefix=tokens) for tokens in begins]
    config = SearchConfig(beam=2, n_best=2)
    found = it._engine.decode([row] * len(begins), limits, config, None, told)
    [head] = tokenizer.decode([begin])
    best: dict[str, tuple[bool, float]] = {}
    for tokens, hypotheses in zip(begins, found, strict=True):
        for h in hypotheses:
            words = h.tokens[:-1] if h.finished else h.tokens
            text, upto = map(one_line, tokenizer.decode([words, tokens]))
            word = spaced_word(text, head) if spaced else text[len(head) : len(upto)]
            value = h.finished, h.score
            best[word.strip()] = max(best.get(word.strip(), value), value)
    best.pop("", None)
    ours = it.words(TEXT, "en", tgt, prefix, 400, SHORT)
    assert len(best) > 10
    scores = {w.word: w.translation.score for w in ours}
    if prefix == "Da":  # which is also said in other pieces, some of them better
        assert all(scores[word] >= score - 1e-4 for word, (_, score) in best.items())
    else:
        assert scores == pytest.approx({w: score for w, (_, score) in best.items()}, abs=1e-4)


def test_a_word_that_was_begun_may_be_said_in_other_pieces(it: Translator) -> None:
    """Of a prefix that ends inside a piece, the piece is found."""
    tokenizer = it._tokenizer
    [whole] = tokenizer.encode(["Haus"])
    assert tokenizer.pieces(whole) == ["\u2581Haus"]
    for prefix in ("Hau", "Das Ha"):
        found = it.words(TEXT, "en", "de", prefix, 30, SHORT)
        assert all(w.translation.text.startswith(prefix) for w in found)
        assert any("\u2581Haus" in w.translation.tokens for w in found)
        assert any(w.word.startswith("Haus") for w in found)


def test_the_beginning_of_a_word_is_spelt_in_any_pieces(it: Translator) -> None:
    speller = Speller(it._tokenizer)
    tokens = tuple(it._tokenizer.encode(["Das Hau"])[0])
    before, begun = speller.open_word(tokens)
    assert it._tokenizer.decode([before]) == ["Das"]
    house, space, h, a, other = it._tokenizer.ids(["\u2581Haus", "\u2581", "<0x48>", "a", "o"])
    assert not {house, space} & set(begun.after(before))
    assert {other, h, it._tokenizer.eos} <= set(begun.after(before))
    assert h not in set(begun.after((*before, space)))
    assert a not in set(begun.after((*before, space, h)))
    assert list(begun.after((*before, house))) == []


def test_words_of_a_later_sentence(it: Translator) -> None:
    text, first = "This is a house. We are going home.", "Ein Haus."
    [alone] = it.words("We are going home.", "en", "de", "", 1, SHORT)
    for prefix in (first, f"{first} "):
        [way] = it.words(text, "en", "de", prefix, 1, SHORT)
        assert way.translation.text.startswith(first)
        assert way.translation.text.endswith(alone.translation.text)
        assert way.word == alone.word
    [way] = it.words(text, "en", "de", "Ein", 1, SHORT)
    rest = it.translate(["We are going home."], "en", "de", SHORT)[0][0].text
    assert way.translation.text.endswith(f" {rest}")
    [way] = it.words(text, "en", "de", f"{first} Wir gehen ", 1, SHORT)
    assert way.translation.text.startswith(f"{first} Wir gehen {way.word}")


def test_ctranslate2_gives_the_same_words(model: Path, it: Translator) -> None:
    pytest.importorskip("ctranslate2")
    other = Translator.load(model, device="cpu", engine="ctranslate2", threads=1)
    for prefix in ("", "Das ist "):
        ours, theirs = (t.words(TEXT, "en", "de", prefix, 4, SHORT) for t in (it, other))
        assert [w.word for w in ours] == [w.word for w in theirs]
        assert [w.translation.text for w in ours] == [w.translation.text for w in theirs]


def test_nothing_to_say_and_nonsense(it: Translator) -> None:
    assert it.words("", "en", "de", "Das") == []
    assert it.words("!?", "en", "de", "") == []
    assert it.words("Haus", "de", "de", "") == []
    with pytest.raises(ValueError, match="n >= 1"):
        it.words("home", "en", "de", "", 0)


@pytest.mark.parametrize(
    ("text", "head", "word"),
    [
        ("Das ist ein Haus.", "Das ist ein", "Haus"),
        ("Das ist ein Haus.", "Das ist ein H", "Haus"),
        ("Das ist ein Haus.", "Das ist ein Haus", "."),
        ("Das ist ein Haus.", "Das ist ein Haus.", ""),
        ('Er: "Ja, gern"', "Er:", "Ja"),
        ('Er: "Ja, gern"', 'Er: "', "Ja"),
        ("L'homme est", "L'", "homme"),
        ("a – b", "a", "–"),
        ("3,5 %", "", "3,5"),
        ("नमस्ते दुनिया", "", "नमस्ते"),
        ("", "", ""),
    ],
)
def test_the_word_after_a_beginning(text: str, head: str, word: str) -> None:
    assert spaced_word(text, head) == word


def test_of_equal_words_the_best_is_taken_and_cut_ones_come_last() -> None:
    a, b = Translation("x a", -2.0), Translation("x b", -1.0)
    cut, better = Translation("x c", -0.1, finished=False), Translation("x a!", -0.5)
    found = distinct([("a", a), ("b", b), ("c", cut), ("a", better), ("", b)], 9)
    assert found == [("a", better), ("b", b), ("c", cut)]
    assert distinct([("a", a), ("b", b), ("c", cut)], 2) == [("b", b), ("a", a)]
