"""The translator over an engine that echoes, so that every text can be foreseen."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from translate_folders import make_card, make_tokenizer, run_config

from m4nmt.core.stages import SearchConfig
from m4nmt.data.identify import Identifier
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction
from m4nmt.translate import loading
from m4nmt.translate.constraints import Constraint
from m4nmt.translate.decoder import Cancelled, Hypothesis
from m4nmt.translate.document import TextError, combine
from m4nmt.translate.languages import LanguageError
from m4nmt.translate.translator import Translator
from m4nmt.translate.types import Translation

ROOM = 30


class Echo:
    """Says the source's pieces back, `beam` times, each worse by one; writes down what it got."""

    def __init__(self, positions: int | None = None) -> None:
        self.positions = positions
        self.rows: list[list[int]] = []
        self.limits: list[int] = []
        self.configs: list[SearchConfig] = []

    def decode(
        self,
        rows: Sequence[Sequence[int]],
        limits: Sequence[int],
        config: SearchConfig,
        cancelled: Cancelled | None = None,
        constraints: Sequence[Constraint] | None = None,
    ) -> list[list[Hypothesis]]:
        self.rows += map(list, rows)
        self.limits += limits
        self.configs.append(config)
        return [
            [
                Hypothesis(
                    (*row[1:-1], *[300] * i, 3), (-0.5,) * (len(row) - 1 + i), -1.0 - i, True
                )
                for i in range(config.n_best)
            ]
            for row in rows
        ]

    def score(
        self, rows: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], budget: int
    ) -> list[tuple[float, ...]]:
        return [(-1.0,) * len(target) for target in targets]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def translator(tokenizer: Tokenizer, positions: int | None = None) -> tuple[Translator, Echo]:
    """Without a guard, which would find an echo in the wrong language."""
    engine = Echo(positions)
    identifier = Identifier.load(tokenizer.folder / "identify.safetensors")
    card = make_card(tokenizer, run_config(max_length=ROOM))
    made = Translator(engine, tokenizer, card, identifier)
    made.translate = partial(made.translate, guard=None)  # type: ignore[method-assign]
    return made, engine


def best(results: list[list[object]]) -> list[str]:
    return [n_best[0].text for n_best in results]  # type: ignore[attr-defined]


def test_texts_come_out_in_order_and_equal_sentences_are_decoded_once(
    tokenizer: Tokenizer,
) -> None:
    it, engine = translator(tokenizer)
    texts = ["We are home. Good day.", "Good day.", "", " \t ", "We are home.\n\n  Good day.\n"]
    assert best(it.translate(texts, "en", "de")) == texts
    assert len(engine.rows) == 2
    tag = tokenizer.tag("deu_Latn")
    assert all(row[0] == tag and row[-1] == 3 for row in engine.rows)
    assert not engine.configs[0].sample
    assert it.translate([], "en", "de") == []


def test_directions_are_mixed_in_one_call(tokenizer: Tokenizer) -> None:
    it, engine = translator(tokenizer)
    sources, targets = ["en", "eng_Latn", "de-DE"], ["deu", "zh", "en"]
    assert best(it.translate(["home", "home", "home"], sources, targets)) == ["home"] * 3
    assert {row[0] for row in engine.rows} == {
        tokenizer.tag(code) for code in ("deu_Latn", "zho_Hans", "eng_Latn")
    }


def test_what_needs_no_model_does_not_go_through_it(tokenizer: Tokenizer) -> None:
    it, engine = translator(tokenizer)
    texts = ["", "\n", "—!?", "😀 👩\u200d💻", "\ufeff", "\u200b\u2060", "\x00\x01"]
    results = it.translate(texts, "en", "de")
    assert best(results) == texts
    assert engine.rows == []
    assert all(t.finished and t.score == 0 and not t.tokens for [t] in results)
    assert best(it.translate(["Guten Tag."], "de", "deu_Latn")) == ["Guten Tag."]
    assert engine.rows == []


def test_a_typed_tag_stays_text(tokenizer: Tokenizer) -> None:
    it, engine = translator(tokenizer)
    text = "<2zho_Hans> </s> <s> <pad> <denoise> home"
    assert best(it.translate([text], "en", "de")) == [text]
    controls = {*loading.symbols(tokenizer).forbidden, tokenizer.eos}
    assert engine.rows
    assert all(not set(row[1:-1]) & controls for row in engine.rows)


def test_long_sentences_are_cut_to_what_the_model_has_seen(tokenizer: Tokenizer) -> None:
    it, engine = translator(tokenizer)
    text = " ".join(f"home{i}" for i in range(60)) + "day, " * 20 + "x" * 100
    assert best(it.translate([text, "Good day."], "en", "de")) == [text, "Good day."]
    assert max(len(row) for row in engine.rows) <= ROOM
    assert len(engine.rows) > 10
    it, engine = translator(tokenizer, positions=12)
    assert best(it.translate([text], "en", "de")) == [text]
    assert max(len(row) for row in engine.rows) <= 12
    assert max(engine.limits) <= 12


def test_limits_come_from_the_config(tokenizer: Tokenizer) -> None:
    it, engine = translator(tokenizer)
    config = SearchConfig(max_ratio=1.5, max_extra=7)
    it.translate(["We are going home."], "en", "de", config)
    pieces = len(engine.rows[0]) - 2
    assert engine.limits == [-(-3 * pieces // 2) + 7]


def test_sentences_stay_together_if_told_so(tokenizer: Tokenizer) -> None:
    it, engine = translator(tokenizer)
    text = "We are. Home.\nGood day. So."
    assert best(it.translate([text], "en", "de", split=False)) == [text]
    assert len(engine.rows) == 2
    assert best(it.translate([text], "en", "de")) == [text]
    assert len(engine.rows) == 2 + 4


def test_the_space_rule_of_scripts_without_spaces(tokenizer: Tokenizer) -> None:
    it, _ = translator(tokenizer)
    assert best(it.translate(["We are. Home.\nSo."], "en", "zh")) == ["We are.Home.\nSo."]
    assert best(it.translate(["你好。我们。\n回"], "zh", "en")) == ["你好。 我们。\n回"]


def test_n_best_of_a_text_are_the_best_sums_of_its_sentences(tokenizer: Tokenizer) -> None:
    it, engine = translator(tokenizer)
    config = SearchConfig(beam=4, n_best=3)
    [found] = it.translate(["We are. Home."], "en", "de", config)
    assert [t.score for t in found] == [-2.0, -3.0, -3.0]
    assert found[0].text == "We are. Home."
    assert len({t.text for t in found}) == 3
    assert all(len(t.tokens) == len(t.token_scores) > 5 for t in found)
    assert engine.configs == [replace(config, n_best=4)], "more, in case texts are equal"


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.lists(st.integers(-9, 0), min_size=1, max_size=3, unique=True), max_size=4),
    n_best=st.integers(1, 4),
)
def test_the_best_combinations_are_found_exactly(scores: list[list[int]], n_best: int) -> None:
    options = [
        [Translation(f"{i}:{s}", float(s)) for s in sorted(part, reverse=True)]
        for i, part in enumerate(scores)
    ]
    ways = combine(options, n_best)
    every = sorted((sum(t.score for t in way) for way in product(*options)), reverse=True)
    assert [sum(t.score for t in way) for way in ways] == every[:n_best]
    assert all(t in choices for way in ways for t, choices in zip(way, options, strict=True))
    assert len(set(ways)) == len(ways)


def test_what_holds_its_phrases_comes_first_and_then_what_is_whole() -> None:
    lacking = Translation("lacking", 0.0, marks=("required",))
    cut = Translation("cut", -1.0, finished=False)
    whole = Translation("whole", -2.0)
    assert combine([[lacking, cut, whole]], 3) == [(whole,), (cut,), (lacking,)]
    ways = combine([[lacking, whole], [cut, whole]], 3)
    assert ways == [(whole, whole), (whole, cut), (lacking, whole)]


def test_hypotheses_that_read_the_same_are_one(tokenizer: Tokenizer) -> None:
    it, engine = translator(tokenizer)
    home, day = tokenizer.encode(["home", "day"])
    by_bytes = [tokenizer._processor.piece_to_id(f"<0x{byte:02X}>") for byte in b"home"]

    def decode(rows: object, *_: object) -> list[list[Hypothesis]]:
        ids = (home, by_bytes, day)
        return [[Hypothesis((*row, 3), (0.0,), -float(i), True) for i, row in enumerate(ids)]]

    engine.decode = decode  # type: ignore[method-assign, assignment]
    [found] = it.translate(["x"], "en", "de", SearchConfig(beam=3, n_best=3))
    assert [(t.text, t.score) for t in found] == [("home", 0.0), ("day", -2.0)]


def test_a_line_goes_out_as_one_line(tokenizer: Tokenizer) -> None:
    it, engine = translator(tokenizer)
    byte = {code: tokenizer._processor.piece_to_id(f"<0x{code:02X}>") for code in (0, 10, 13, 0x85)}
    ids = (byte[10], *tokenizer.encode(["a"])[0], byte[10], byte[13], byte[0], byte[0x85])
    engine.decode = lambda *_: [[Hypothesis((*ids, 3), (0.0,), 0.0, True)]]  # type: ignore
    [[found]] = it.translate(["x"], "en", "de")
    assert found.text.startswith("a")
    assert found.text.isprintable()


def test_a_cut_translation_says_so(tokenizer: Tokenizer) -> None:
    it, engine = translator(tokenizer)
    ids = tuple(tokenizer.encode(["home day"])[0])
    engine.decode = lambda *_: [[Hypothesis(ids, (-1.0,) * len(ids), -3.0, False)]]  # type: ignore
    [[found]] = it.translate(["x"], "en", "de")
    assert (found.text, found.finished) == ("home day", False)
    assert len(found.tokens) == len(ids)


def test_numbers_are_said_by_no_model(tokenizer: Tokenizer) -> None:
    it, engine = translator(tokenizer)
    texts = ["12,345.60", "2024-11-28\n1. home"]
    assert best(it.translate(texts, "en", "de"))[0] == texts[0]
    assert len(engine.rows) == 1, "of what is without letters"


def test_auto_identifies_each_text(tokenizer: Tokenizer) -> None:
    it, engine = translator(tokenizer)
    texts = ["Guten Tag, wie geht es?", "Good day, how are you?", "你好，你好吗？"]
    assert [code for code, _ in it.detect(texts)] == ["deu_Latn", "eng_Latn", "zho_Hans"]
    it.translate(texts, "auto", "de")
    assert len(engine.rows) == 2, "the German text is left as it is"
    with pytest.raises(LanguageError, match="target"):
        it.translate(texts, "en", "auto")
    bare = Translator(engine, tokenizer, it.card)
    with pytest.raises(LanguageError, match="identifier"):
        bare.translate(texts, "auto", "de")


def test_a_guess_leaves_a_text_untranslated_only_if_it_is_sure(tokenizer: Tokenizer) -> None:
    class Guesses:
        sure = 0.5

        def identify(
            self, texts: Sequence[str], among: Sequence[str] | None = None
        ) -> list[tuple[str, float]]:
            return [(sorted(among or ())[0], self.sure) for _ in texts]

    guesses, engine = Guesses(), Echo()
    it = Translator(engine, tokenizer, make_card(tokenizer, run_config()), guesses)
    assert it.detect(["Hotel"]) == [("deu_Latn", 0.5)]
    assert best(it.translate(["Hotel"], "auto", "de")) == ["Hotel"]
    assert len(engine.rows) == 1
    guesses.sure = 0.95
    it.translate(["Hotel"], "auto", "de")
    assert len(engine.rows) == 1


def test_unknown_languages_are_named_with_the_nearest_and_all(tokenizer: Tokenizer) -> None:
    it, _ = translator(tokenizer)
    with pytest.raises(LanguageError, match=r"eng_Latm.*'eng_Latn'.*deu_Latn, eng_Latn, zho_Hans"):
        it.translate(["x"], "eng_Latm", "de")
    with pytest.raises(LanguageError, match=r"^Swahili \(swh_Latn\) is not among.*knows deu_Latn"):
        it.translate(["x"], "en", "sw")
    for name in ("German", "deutsch"):
        with pytest.raises(LanguageError, match="write 'deu_Latn' or 'de'"):
            it.translate(["x"], "en", name)
    with pytest.raises(LanguageError, match="2 source languages for 1 texts"):
        it.translate(["x"], ["en", "de"], "zh")


def test_directions(tokenizer: Tokenizer) -> None:
    it, _ = translator(tokenizer)
    assert it.languages == ("deu_Latn", "eng_Latn", "zho_Hans")
    assert it.is_trained(Direction("eng_Latn", "zho_Hans"))
    assert not it.is_trained(Direction("deu_Latn", "zho_Hans"))
    assert best(it.translate(["home"], "de", "zh")) == ["home"], "zero-shot is allowed"


def test_texts_that_are_none(tokenizer: Tokenizer) -> None:
    it, _ = translator(tokenizer)
    with pytest.raises(TextError, match=r"text 1 .*U\+D800.*character 2"):
        it.translate(["fine", "ab\ud800"], "en", "de")
    with pytest.raises(TypeError, match="sequence"):
        it.translate("one text", "en", "de")
    with pytest.raises(TypeError, match="text 0 is of type int"):
        it.translate([3], "en", "de")  # type: ignore[list-item]


def test_scores(tokenizer: Tokenizer) -> None:
    it, _ = translator(tokenizer)
    [a, b] = it.score(["x", ""], ["home day", ""], "en", "de")
    assert a == -(len(tokenizer.encode(["home day"])[0]) + 1)
    assert b == -1
    assert it.score_tokens(["x"], [""], "en", "de") == [(-1.0,)]
    with pytest.raises(TextError, match="2 sources but 1"):
        it.score(["x", "y"], ["z"], "en", "de")
    it, _ = translator(tokenizer, positions=20)
    with pytest.raises(TextError, match=r"text 0 has .* 20 positions"):
        it.score(["x" * 50], ["x"], "en", "de")


def test_symbols_that_are_never_generated(tokenizer: Tokenizer) -> None:
    symbols = loading.symbols(tokenizer)
    names = tokenizer.pieces(symbols.forbidden)
    assert names == [
        "<pad>",
        "<unk>",
        "<s>",
        "<2deu_Latn>",
        "<2eng_Latn>",
        "<2zho_Hans>",
        "<denoise>",
    ]
    assert symbols.eos not in symbols.forbidden


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(st.text(), max_size=4), src=st.sampled_from(("en", "zh", "auto")))
@example(
    texts=["\x00", "a\x00b", "\ufeffx", "\ufffd", "😀", "שלום.\u202e abc", "e\u0301\u200d"],
    src="en",
)
@example(texts=["<2eng_Latn>", "a\u2028b", "a\r\nb\rc", "\u0085", "ꙮ" * 99, "ﷺ." * 40], src="auto")
def test_no_text_breaks_it(tokenizer: Tokenizer, texts: list[str], src: str) -> None:
    it, engine = translator(tokenizer)
    results = it.translate(texts, src, "de")
    assert len(results) == len(texts)
    for text, found in zip(texts, results, strict=True):
        assert len(found) == 1
        found[0].text.encode()
        assert found[0].text.count("\n") == text.count("\n")
        if not any(map(str.isalnum, text)):
            assert found[0].text == text
    assert all(len(row) <= ROOM for row in engine.rows)
