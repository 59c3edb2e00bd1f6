import json
import random
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.data import normalise as rule
from m4nmt.data.settings import TokenizerConfig
from m4nmt.data.tokenizer import CARD, MODEL, SPECIALS, Tokenizer, TokenizerError, train
from m4nmt.data.types import Direction
from m4nmt.data.vocabularies import pieces

LANGUAGES = ("deu_Latn", "eng_Latn")
TAGS = ("<2deu_Latn>", "<2eng_Latn>", "<denoise>")


def words(seed: int, count: int = 400) -> list[str]:
    rng = random.Random(seed)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    lexicon = ["".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(120)]
    return [
        " ".join(rng.choices(lexicon, k=rng.randint(3, 9))) + f" {rng.randint(0, 99)}."
        for _ in range(count)
    ]


TEXT = {"deu_Latn": words(1), "eng_Latn": words(2)}
CONFIG = TokenizerConfig(vocab=400, threads=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train(TEXT, CONFIG, LANGUAGES, tmp_path_factory.mktemp("tokenizer"))


def test_layout_of_ids(made: Tokenizer) -> None:
    assert made.pieces(range(7)) == [*SPECIALS, *TAGS]
    assert (made.pad, made.unk, made.bos, made.eos) == (0, 1, 2, 3)
    assert [made.tag(code) for code in LANGUAGES] == [4, 5]
    assert made.pieces([7, 262]) == ["<0x00>", "<0xFF>"]
    assert made.size == 400
    assert made.languages == LANGUAGES


ODD = (
    "\ufffd",
    "\u2581",
    "\x00",
    "\u200d",
    "\u2028",
    "\x85",
    "\u00a0",
    "\ufeff",
    "e\u0301",
    "<2eng_Latn>",
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.text(), st.sampled_from((*ODD, *SPECIALS, *TAGS))), max_size=6))
def test_any_text_comes_back_normalised_and_without_tags(made: Tokenizer, parts: list[str]) -> None:
    text = "".join(parts)
    (ids,) = made.encode([text])
    assert made.decode([ids]) == [made.normalise(text)]
    assert all(i > made.tag("eng_Latn") + 1 for i in ids)


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = rule.normalise(text)
    assert rule.normalise(once) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a\t b\r\nc\x0bd  ", "a b c d"),
        ("1\u00a0234\u202f567\u2009km", "1 234 567 km"),
        ("a\u2028b\x85c\x00d\u3000e", "a b c d e"),
        ("\ufeffa\u200eb\u202ac\u2066d\u00ade\u200bf", "abcdef"),
        (
            "\u0915\u094d\u200d\u0937 \u0645\u06cc\u200c\u062e",
            "\u0915\u094d\u200d\u0937 \u0645\u06cc\u200c\u062e",
        ),
        ("cafe\u0301", "caf\u00e9"),
        ("x\u00b2 \ufb01 \uff21", "x\u00b2 \ufb01 \uff21"),
        ("bad \ufffd byte", "bad \ufffd byte"),
        ("\u2581a", "a"),
        (" \u00a0\t", ""),
    ],
)
def test_normal_forms(text: str, expected: str) -> None:
    assert rule.normalise(text) == expected


def test_replacement_character_keeps_its_place(made: Tokenizer) -> None:
    assert made.decode(made.encode(["a \ufffd b", "\ufffd"])) == ["a \ufffd b", "\ufffd"]


@pytest.mark.parametrize("text", ["\ud800", "word \udfff word"])
def test_lone_surrogates_are_named(made: Tokenizer, text: str) -> None:
    with pytest.raises(TokenizerError, match=r"surrogate .U\+D"):
        made.encode(["good", text])


def test_blank_text_has_no_pieces(made: Tokenizer) -> None:
    assert made.encode(["", " \t\u00a0", "a"])[:2] == [[], []]
    assert made.encode([]) == []


def test_source_rows(made: Tokenizer) -> None:
    (ids,) = made.encode(["bada 12"])
    plain, noisy = Direction("eng_Latn", "deu_Latn"), Direction("eng_Latn", "eng_Latn", "denoise")
    assert made.source(ids, plain) == [4, *ids, 3]
    assert made.source(ids, noisy) == [5, 6, *ids, 3]
    with pytest.raises(TokenizerError, match="did you mean 'deu_Latn'"):
        made.source(ids, Direction("eng_Latn", "due_Latn"))


def test_specials_and_tags_are_no_text(made: Tokenizer) -> None:
    (ids,) = made.encode(["bada"])
    assert made.decode([[2, 4, 6, *ids, 3, 0, 0]]) == ["bada"]
    with pytest.raises(TokenizerError, match="vocabulary of 400"):
        made.decode([[400]])


def test_threads_change_nothing_when_encoding(made: Tokenizer) -> None:
    assert made.encode(TEXT["eng_Latn"], threads=3) == made.encode(TEXT["eng_Latn"])


def test_training_twice_gives_the_same_bytes(made: Tokenizer, tmp_path: Path) -> None:
    turned = dict(reversed(TEXT.items()))
    again = train({k: iter(v) for k, v in turned.items()}, CONFIG, LANGUAGES[::-1], tmp_path)
    for name in (MODEL, CARD):
        assert (made.folder / name).read_bytes() == (tmp_path / name).read_bytes()
    assert again.sha256 == made.sha256
    other = train({**TEXT, "eng_Latn": words(3)}, CONFIG, LANGUAGES, tmp_path)
    assert other.sha256 != made.sha256


def test_hash_covers_the_tags(tmp_path: Path, made: Tokenizer) -> None:
    more = train(TEXT, CONFIG, (*LANGUAGES, "fra_Latn"), tmp_path)
    assert more.sha256 != made.sha256
    assert more.tag("fra_Latn") == 6


def test_loading(made: Tokenizer) -> None:
    loaded = Tokenizer.load(made.folder)
    assert loaded.encode(TEXT["deu_Latn"]) == made.encode(TEXT["deu_Latn"])
    assert (loaded.sha256, loaded.languages) == (made.sha256, made.languages)


@pytest.fixture
def copy(made: Tokenizer, tmp_path: Path) -> Path:
    for name in (MODEL, CARD):
        (tmp_path / name).write_bytes((made.folder / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("place", [10, 4000, -10])
def test_a_flipped_bit_is_refused_and_named(copy: Path, place: int) -> None:
    data = bytearray((copy / MODEL).read_bytes())
    data[place] ^= 4
    (copy / MODEL).write_bytes(data)
    with pytest.raises(TokenizerError, match=rf"{MODEL} does not match the sha256"):
        Tokenizer.load(copy)


def test_another_tokenizers_model_is_refused(
    copy: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    train({"eng_Latn": words(5)}, CONFIG, LANGUAGES, other)
    (copy / MODEL).write_bytes((other / MODEL).read_bytes())
    with pytest.raises(TokenizerError, match=str(copy / MODEL)):
        Tokenizer.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"languages": ["eng_Latn", "deu_Latn"]}, "does not match"),
        ({"languages": ["deu_Latn"]}, "does not match"),
        ({"normalisation": "nfkc-0"}, "normalisation rule 'nfkc-0'"),
        ({"sha256": None}, "does not match"),
    ],
)
def test_a_changed_card_is_refused(copy: Path, change: dict[str, object], message: str) -> None:
    facts = json.loads((copy / CARD).read_text())
    (copy / CARD).write_text(json.dumps(facts | change))
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.load(copy)


@pytest.mark.parametrize("name", [MODEL, CARD])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(TokenizerError, match=name):
        Tokenizer.load(copy)


def test_a_broken_card_is_named(copy: Path) -> None:
    for text in ("{", "[]", "{}"):
        (copy / CARD).write_text(text)
        with pytest.raises(TokenizerError, match=CARD):
            Tokenizer.load(copy)


@pytest.mark.parametrize("model", ["unigram", "bpe"])
def test_too_large_a_vocabulary_shrinks(tmp_path: Path, model: str) -> None:
    config = TokenizerConfig(vocab=20_000, model=model, threads=1)  # type: ignore[arg-type]
    made = train(TEXT, config, LANGUAGES, tmp_path)
    assert 300 < made.size < 20_000
    assert json.loads((tmp_path / CARD).read_text())["size"] == made.size
    assert made.decode(made.encode(TEXT["eng_Latn"])) == TEXT["eng_Latn"]


def test_too_small_a_vocabulary_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        TokenizerError, match=r"raise tokenizer\.vocab or lower tokenizer\.coverage"
    ):
        train(TEXT, TokenizerConfig(vocab=100), LANGUAGES, tmp_path)
    with pytest.raises(TokenizerError, match="no text"):
        train({"eng_Latn": ["", "\u00a0"]}, CONFIG, LANGUAGES, tmp_path)


@pytest.mark.parametrize("model", ["unigram", "bpe"])
def test_an_imported_model_keeps_its_pieces_and_gets_our_tags(tmp_path: Path, model: str) -> None:
    foreign = tmp_path / "foreign"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT["eng_Latn"]),
        model_prefix=str(foreign),
        model_type=model,
        vocab_size=200,
        hard_vocab_limit=False,
        user_defined_symbols=["<url>"],
        control_symbols=["<2xyz>"],
        minloglevel=2,
    )
    reference = sentencepiece.SentencePieceProcessor(model_file=f"{foreign}.model")
    made = train({}, TokenizerConfig(path=f"{foreign}.model"), LANGUAGES, tmp_path / "out")
    lines = [*TEXT["eng_Latn"], "bada <url> <2xyz> <2eng_Latn>"]
    ours = [made.pieces(ids) for ids in made.encode(lines)]
    assert [[p if p != "<unk>" else "?" for p in line] for line in ours] == [
        [
            p if i else "?"
            for p, i in zip(reference.encode(t, out_type=str), reference.encode(t), strict=True)
        ]
        for t in lines
    ]
    assert made.pieces(range(7)) == [*SPECIALS, *TAGS]
    assert made.size == reference.get_piece_size() + 7 - 4  # its three specials, and <2xyz>
    assert Tokenizer.load(tmp_path / "out").sha256 == made.sha256


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.model"
    for content in (b"", b"hello there, this is text", b"\x0a\xff"):
        path.write_bytes(content)
        with pytest.raises(TokenizerError, match=r"notes\.model"):
            train({}, TokenizerConfig(path=str(path)), LANGUAGES, tmp_path / "out")


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_no_bytes_confuse_the_reader_of_models(data: bytes) -> None:
    try:
        made = pieces.relabel(data, 1, ["a", "b"])
    except pieces.PieceFormatError:
        return
    assert pieces.relabel(made, 1, ["a", "b"]) == made
