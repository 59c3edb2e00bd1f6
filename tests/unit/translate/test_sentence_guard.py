"""What counts as gone wrong and what is done then, over an engine that says what it is told."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from translate_folders import make_card, make_tokenizer, run_config

from m4nmt.core.stages import SearchConfig
from m4nmt.data.identify import Identifier
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.translate.constraints import FREE, Constraint, Ids
from m4nmt.translate.decoder import Cancelled, Hypothesis
from m4nmt.translate.document import LostSentenceError
from m4nmt.translate.engine import NoNativeError
from m4nmt.translate.guard import Guard, better, faults, long_enough, loop, other_settings, repeated
from m4nmt.translate.translator import Translator
from m4nmt.translate.types import Translation

GUARD = Guard()
GERMAN, ENGLISH = (
    "Guten Tag, wie geht es? Das ist ein Haus.",
    "Good day, how are you? This is a house.",
)
Saying = tuple[str, bool]  # what is said, and whether it was cut
Call = tuple[list[int], SearchConfig, Constraint]


class Parrot:
    """Says of each row, in each round of decoding, what it was told to."""

    positions = None

    def __init__(self, tokenizer: Tokenizer, *rounds: Callable[[str], list[Saying]]) -> None:
        self._tokenizer, self._rounds = tokenizer, list(rounds)
        self.calls: list[list[Call]] = []

    def decode(
        self,
        rows: Sequence[Sequence[int]],
        limits: Sequence[int],
        config: SearchConfig,
        cancelled: Cancelled | None = None,
        constraints: Sequence[Constraint] | None = None,
    ) -> list[list[Hypothesis]]:
        told = constraints or [FREE] * len(rows)
        self.calls.append([(limit, config, c) for limit, c in zip(limits, told, strict=True)])
        say = self._rounds.pop(0)
        sources = self._tokenizer.decode([row[1:-1] for row in rows])
        return [
            [self._made(*said, -1.0 - i) for i, said in enumerate(say(source))]
            for source in sources
        ]

    def _made(self, text: str, cut: bool, score: float) -> Hypothesis:
        ids: Ids = tuple(self._tokenizer.encode([text])[0])
        ids = ids if cut else (*ids, self._tokenizer.eos)
        return Hypothesis(ids, (-0.1,) * len(ids), score, not cut)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def build(
    tokenizer: Tokenizer, *rounds: Callable[[str], list[Saying]]
) -> tuple[Translator, Parrot]:
    engine = Parrot(tokenizer, *rounds)
    identifier = Identifier.load(tokenizer.folder / "identify.safetensors")
    card = make_card(tokenizer, run_config(max_length=200))
    return Translator(engine, tokenizer, card, identifier), engine  # type: ignore[arg-type]


def always(text: str, cut: bool = False) -> Callable[[str], list[Saying]]:
    return lambda _: [(text, cut)]


LOOP = "Haus " * 12
WRONG = {
    "truncated": ("home", "Guten", True),
    "empty": ("home", "...", False),
    "repeats": (GERMAN, LOOP, False),
    "language": (GERMAN, ENGLISH, False),
}


@pytest.mark.parametrize("mark", WRONG)
def test_what_went_wrong_is_searched_again_and_marked(tokenizer: Tokenizer, mark: str) -> None:
    source, *said = WRONG[mark]
    it, engine = build(tokenizer, always(*said), always("Guten Tag"))
    [[found]] = it.translate([source], "en", "de", split=False)
    assert (found.text, found.marks) == ("Guten Tag", ("retried",))
    [[first], [second]] = engine.calls
    assert second[1].beam > first[1].beam
    assert second[1].n_best == second[1].beam
    assert (second[0] == 2 * first[0]) == (mark == "truncated")
    assert bool(second[2].forbidden) == (mark == "repeats")
    assert first[2] == FREE


@pytest.mark.parametrize("mark", WRONG)
def test_what_stays_wrong_says_so(tokenizer: Tokenizer, mark: str) -> None:
    source, *said = WRONG[mark]
    it, engine = build(tokenizer, always(*said), always(*said))
    [[found]] = it.translate([source], "en", "de", split=False)
    assert found.marks == (mark,)
    assert len(engine.calls) == 2


def test_too_long_and_too_short(tokenizer: Tokenizer) -> None:
    long = "".join(f"{a}{b} " for a in "abcdefgh" for b in "klmnopq")
    it, _ = build(tokenizer, always(long), always("So"))
    [[found]] = it.translate(["Tag"], "en", "de")
    assert (found.text, found.marks) == ("So", ("retried",))
    it, _ = build(tokenizer, always("So"), always("So"))
    [[found]] = it.translate([GERMAN], "en", "de", split=False)
    assert found.marks == ("length",)


def test_only_what_went_wrong_is_searched_again(tokenizer: Tokenizer) -> None:
    def first(source: str) -> list[Saying]:
        return [("...", False) if source.startswith("bad") else (f"gut {source[-1]}", False)]

    it, engine = build(tokenizer, first, lambda s: [(f"neu {s[-1]}", False)])
    lines = ["good a", "bad b", "good c", "bad d"]
    found = it.translate(lines, "en", "de")
    assert [best.text for [best] in found] == ["gut a", "neu b", "gut c", "neu d"]
    assert [best.marks for [best] in found] == [(), ("retried",), (), ("retried",)]
    assert [len(call) for call in engine.calls] == [4, 2]


def test_of_a_second_search_the_best_without_fault_is_taken(tokenizer: Tokenizer) -> None:
    options = [("...", False), (LOOP, False), ("Guten Tag", False), ("Haus", False)]
    it, _ = build(tokenizer, always("!", False), lambda _: options)
    [[found, other]] = it.translate(["home now"], "en", "de", SearchConfig(beam=2, n_best=2))
    assert [found.text, other.text] == ["Guten Tag", "Haus"]


def test_a_loop_that_cannot_be_forbidden_is_searched_again_without(tokenizer: Tokenizer) -> None:
    def refuse(_: str) -> list[Saying]:
        raise NoNativeError("an export alone")

    it, engine = build(tokenizer, always(LOOP), refuse, always("Haus"))
    [[found]] = it.translate(["house"], "en", "de")
    assert (found.text, found.marks) == ("Haus", ("retried",))
    assert [call[0][2] == FREE for call in engine.calls] == [True, False, True]


def test_draws_are_marked_but_not_drawn_again(tokenizer: Tokenizer) -> None:
    it, engine = build(tokenizer, always("..."))
    [[found]] = it.translate(["house"], "en", "de", SearchConfig(sample=True))
    assert found.marks == ("empty",)
    assert len(engine.calls) == 1


def test_without_a_guard_nothing_is_marked(tokenizer: Tokenizer) -> None:
    it, engine = build(tokenizer, always("..."))
    [[found]] = it.translate(["house"], "en", "de", guard=None)
    assert found.marks == ()
    assert len(engine.calls) == 1


def test_a_text_has_the_marks_of_its_sentences(tokenizer: Tokenizer) -> None:
    def say(source: str) -> list[Saying]:
        return [("..." if "two" in source else "Haus", "three" in source)]

    it, _ = build(tokenizer, say, say)
    [[found]] = it.translate(["one\ntwo\nthree"], "en", "de")
    assert found.marks == ("empty", "truncated")
    assert not found.finished


@pytest.mark.parametrize("lost", [lambda made: made[:-1], lambda made: [*made, made[0]]])
def test_a_lost_or_added_sentence_is_an_error(
    tokenizer: Tokenizer, lost: Callable[[list[object]], list[object]]
) -> None:
    it, engine = build(tokenizer, always("Haus"))
    decode = engine.decode
    engine.decode = lambda *a: lost(decode(*a))  # type: ignore[method-assign, assignment, arg-type, return-value]
    with pytest.raises(LostSentenceError, match=r"2 sentences went in, [13] came out"):
        it.translate(["One house. Two days."], "en", "de")


def test_a_sentence_of_which_nothing_was_found_is_marked_not_lost(tokenizer: Tokenizer) -> None:
    it, _ = build(tokenizer, lambda _: [], lambda _: [])
    [[found]] = it.translate(["house"], "en", "de")
    assert (found.text, found.finished) == ("", False)
    assert found.marks == ("empty", "truncated")


pieces = st.lists(st.sampled_from("abc"), max_size=12)


@given(
    before=pieces,
    unit=st.lists(st.sampled_from("abc"), min_size=1, max_size=4),
    times=st.integers(1, 6),
    after=pieces,
)
def test_a_loop_is_the_longest_stretch_said_three_times_on_end(
    before: list[str], unit: list[str], times: int, after: list[str]
) -> None:
    tokens = [*before, *unit * times, *after]
    brute = max(
        (
            end - start
            for start in range(len(tokens))
            for end in range(start + 3, len(tokens) + 1)
            for period in range(1, (end - start) // 3 + 1)
            if all(tokens[i] == tokens[i - period] for i in range(start + period, end))
        ),
        default=0,
    )
    length, found = loop(tokens)
    assert length == brute
    if length:
        assert "".join([*found] * 3) in "".join(tokens)  # type: ignore[list-item]


def test_a_source_that_repeats_may_be_translated_so() -> None:
    assert repeated(list("xyz"), list("ab" * 6), GUARD) == ("a", "b")
    assert repeated(list("xy" * 6), list("ab" * 6), GUARD) == ()
    assert repeated(list("xyz"), list("ab" * 3), GUARD) == (), "too short to tell"
    assert repeated(list("xyz"), list("ab" * 4 + "cdefghijklmn"), GUARD) == (), "a small part"


def test_faults_of_a_translation() -> None:
    good = Translation("Haus", -1.0, tokens=("a",))
    assert faults("abc", good, GUARD) == ()
    assert faults("a" * 17, good, GUARD) == ("length",)
    assert faults("a", replace(good, tokens=tuple("abcdefghijklmnopqrstu")), GUARD) == ()
    assert faults("a", replace(good, tokens=tuple("abcdefghijklmnopqrstuv")), GUARD) == ("length",)
    assert faults("abc", replace(good, marks=("required", "retried")), GUARD) == ("required",)
    assert long_enough("x" * 20, "eng_Latn", GUARD)
    assert not long_enough("x" * 19, "eng_Latn", GUARD)
    assert long_enough("你" * 10, "zho_Hans", GUARD)


def test_the_better_of_two_searches() -> None:
    def t(text: str, *marks: str) -> Translation:
        return Translation(text, 0.0, marks=marks)

    assert better([t("a", "length")], []) == [t("a", "length")]
    assert better([t("a", "length")], [t("b", "empty")]) == [t("a", "length")]
    assert better([t("a", "required")], [t("b", "length", "repeats")])[0].text == "b"
    assert better([t("a", "length")], [t("b", "required")])[0].text == "a"


def test_a_second_search_is_wider_and_plain() -> None:
    first = SearchConfig(beam=6, groups=3, risk="chrf", sample=False, length_alpha=0.3)
    second = other_settings(first)
    assert second == SearchConfig(beam=12, n_best=12, length_alpha=0.3)
    with pytest.raises(ValueError, match="ratio above 1"):
        Guard(ratio=1.0)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_what_is_passed_over_quickly_has_no_loop(share: float) -> None:
    """The count of pieces that come again never hides a stretch that is long enough."""
    limits, draw = Guard(loop_share=share, loop_pieces=6), random.Random(0)
    found = 0
    for _ in range(3000):
        unit = [draw.randrange(40) for _ in range(draw.randint(1, 5))]
        around = [[draw.randrange(40) for _ in range(draw.randint(0, 12))] for _ in range(2)]
        target = [*around[0], *unit * draw.randint(1, 5), *around[1]]
        length, said = loop(target)
        long = length >= limits.loop_pieces and length > share * len(target)
        assert repeated([], target, limits) == (said if long else ())
        found += long
    assert 50 < found < 2950
