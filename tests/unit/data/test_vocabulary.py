"""The vocabulary: sweeps of its size, the user's symbols, extension, determinism."""

import dataclasses
from pathlib import Path

import pytest
import sentencepiece
from data_made import CODES, config, lines, manifest, small

from m4nmt.data.settings import TokenizerConfig
from m4nmt.data.tokenizer import MODEL, Tokenizer, TokenizerError, extended, train
from m4nmt.data.vocabularies import page as vocabulary_page
from m4nmt.data.vocabularies.sweep import Cost, Size, cost, gini, samples, sweep

TEXT = {code: lines(code, range(200)) for code in CODES}
CONFIG = TokenizerConfig(vocab=400, threads=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train(TEXT, CONFIG, CODES, tmp_path_factory.mktemp("tokenizer"))


def test_gini_by_hand() -> None:
    assert gini([2.0, 2.0, 2.0]) == pytest.approx(0.0)
    assert gini([0.0, 0.0, 0.0, 5.0]) == pytest.approx(0.75)
    assert gini([1.0, 3.0]) == pytest.approx(0.25)
    assert gini([]) == 0.0


def test_costs_by_hand(made: Tokenizer) -> None:
    texts = ["ga ge", "\u4e00", "  "]
    found = cost(made, "eng_Latn", texts)
    ids = made.encode(texts)
    assert (found.lines, found.characters) == (3, 6)
    assert found.tokens_per_character == sum(map(len, ids)) / 6
    assert found.unknown == 0  # bytes stand in
    assert found.bytes == 3 / sum(map(len, ids))


def test_unknown_pieces_are_counted(tmp_path: Path) -> None:
    plain = dataclasses.replace(CONFIG, byte_fallback=False, vocab=120)
    found = cost(train(TEXT, plain, CODES, tmp_path), "eng_Latn", ["ga", "\u4e00\u4e01"])
    assert found.unknown > 0
    assert found.bytes == 0


def test_a_larger_vocabulary_costs_less_and_who_pays_is_named(tmp_path: Path) -> None:
    text = {code: lines(code, range(120)) for code in (*CODES, "rus_Cyrl")}
    text["rus_Cyrl"] = text["rus_Cyrl"][:15] + [""] * 105
    dev = {code: lines(code, range(9000, 9010)) for code in text}
    settings = config(manifest(tmp_path, {"c.train": text, "c.dev": dev}))
    train_on, trials = samples(settings, tmp_path / "out", 10)
    assert list(trials["rus_Cyrl"]) == dev["rus_Cyrl"]  # lines that no tokenizer saw
    sizes = sweep(train_on, trials, settings.tokenizer, [330, 420])
    assert [size.asked for size in sizes] == [330, 420]
    for one, other in zip(sizes[0].costs, sizes[1].costs, strict=True):
        assert one.language == other.language
        assert one.tokens_per_character >= other.tokens_per_character
    assert sizes[1].worst[0] == "rus_Cyrl"
    assert sizes[1].gini > 0.02
    assert sizes == sweep(train_on, trials, settings.tokenizer, [330, 420])


def test_without_test_sets_training_lines_are_tried(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"c.train": {code: lines(code, range(50)) for code in CODES}})
    _, trials = samples(config(path), tmp_path / "out", 10)
    assert set(trials["eng_Latn"]) <= set(lines("eng_Latn", range(50)))
    assert len(list(trials["eng_Latn"])) == 10


def test_a_language_without_lines_pays_nothing_and_is_left_out(tmp_path: Path) -> None:
    text = {code: lines(code, range(50)) for code in CODES}
    text["fra_Latn"] = [""] * 50
    train_on, trials = samples(config(manifest(tmp_path, {"c.train": text})), tmp_path / "out", 10)
    assert sorted(trials) == ["deu_Latn", "eng_Latn"]
    (size,) = sweep(train_on, trials, CONFIG, [330])
    assert size.gini < 0.2
    with pytest.raises(TokenizerError, match=r"vocab 5, .*alone take \d+ pieces; raise tokenizer"):
        sweep(train_on, trials, CONFIG, [5])


def test_the_page_marks_who_pays_and_needs_nothing_else() -> None:
    costs = [Cost("eng_Latn", 9, 9, 0.2, 0, 0), Cost("deu_Latn", 9, 9, 0.2, 0.0, 0)]
    costs.append(Cost("mya_Mymr", 9, 9, 0.9, 0.125, 0.125))
    page = vocabulary_page.page([Size(8000, 7990, tuple(costs))], "a <b>")
    assert "a &lt;b&gt;" in page
    assert "<span class='bad'>0.900</span>" in page
    assert page.count("class='bad'") == 2  # with the one that says what it means
    assert "25.00%" in page
    assert "Burmese" in page
    assert "4.50" in page
    assert not any(word in page for word in ("http:", "https:", "<script", "url("))


SYMBOLS = ("<br>", "℃", "{name}")


def test_symbols_are_always_one_piece(tmp_path: Path) -> None:
    chosen = dataclasses.replace(CONFIG, symbols=SYMBOLS)
    found = train(TEXT, chosen, CODES, tmp_path)
    symbols = found.ids(SYMBOLS)
    text = "ga<br>ge {name}℃"
    (ids,) = found.encode([text])
    assert [i for i in ids if i in symbols] == [symbols[0], symbols[2], symbols[1]]
    assert found.decode([ids]) == [text]
    assert Tokenizer.load(tmp_path).encode([text]) == [ids]


def test_symbols_of_an_imported_model(tmp_path: Path, made: Tokenizer) -> None:
    asked = dataclasses.replace(
        CONFIG, path=str(made.folder / MODEL), symbols=(*SYMBOLS, made.pieces([300])[0])
    )
    found = train({}, asked, CODES, tmp_path)
    (ids,) = found.encode(["ga<br>ge"])
    assert found.ids(["<br>"])[0] in ids
    assert found.size == made.size + len(SYMBOLS)  # the fourth was there


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (("a b",), "one piece"),
        (("",), "one piece"),
        (("e\u0301",), "one piece"),
        (("<2eng_Latn>",), "tag"),
        (("<denoise>",), "tag"),
        (("<mask>",), "tag"),
        (("</s>",), "tag"),
        (("<br>", "<br>"), "twice"),
    ],
)
def test_wrong_symbols(tmp_path: Path, symbols: tuple[str, ...], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        train(TEXT, dataclasses.replace(CONFIG, symbols=symbols), CODES, tmp_path)


def test_a_model_trained_elsewhere_is_imported(tmp_path: Path) -> None:
    model = tmp_path / "theirs.model"
    with model.open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([line for text in TEXT.values() for line in text]),
            model_writer=stream,
            vocab_size=200,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(model))
    asked = dataclasses.replace(CONFIG, path=str(model))
    found = train({}, asked, CODES, tmp_path / "ours")
    line = TEXT["eng_Latn"][3]
    assert found.pieces(found.encode([line])[0]) == theirs.encode(line, out_type=str)
    assert found.tag("fra_Latn") < 8
    again = train({}, asked, CODES, tmp_path / "again")
    assert again.sha256 == found.sha256


def test_extension_keeps_ids_and_adds_at_the_end(tmp_path: Path, made: Tokenizer) -> None:
    asked = dataclasses.replace(CONFIG, path=str(made.folder))
    found = train({}, asked, ["swh_Latn", "eng_Latn", "fra_Latn", "rus_Cyrl"], tmp_path / "one")
    assert found.languages == tuple(sorted({*CODES, "swh_Latn", "rus_Cyrl"}))
    assert [found.tag(code) for code in CODES] == [made.tag(code) for code in CODES]
    assert found.tag("rus_Cyrl") == made.size
    assert found.tag("swh_Latn") == made.size + 1 == found.size - 1
    line = TEXT["eng_Latn"][0] + " <2swh_Latn>"
    (ids,) = found.encode([line])
    assert [ids] == made.encode([line])
    assert found.decode([[found.tag("swh_Latn"), *ids]]) == [line]
    loaded = Tokenizer.load(tmp_path / "one")
    assert (loaded.sha256, loaded.late) == (found.sha256, ("<2rus_Cyrl>", "<2swh_Latn>"))
    assert loaded.text_sha256 == made.text_sha256 == made.sha256
    twice = extended(loaded, ["ewe_Latn"], tmp_path, extra=["<mask>"])
    assert twice.tag("swh_Latn") == found.tag("swh_Latn")
    assert (twice.tag("ewe_Latn"), twice.mask) == (found.size, found.size + 1)
    assert extended(loaded, CODES, tmp_path).sha256 == loaded.sha256


def test_sampling_the_same_twice(tmp_path: Path) -> None:
    one, two = (samples(config(small(tmp_path / n)), tmp_path / n, 5)[0] for n in "ab")
    assert {code: list(s) for code, s in one.items()} == {code: list(s) for code, s in two.items()}
