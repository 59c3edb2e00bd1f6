"""What may be asked of a text reaches the translator, text by text, and all of it comes back."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from serve_helpers import FakeTranslator

from m4nmt_serve.batcher import Item
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.meters import Meters
from m4nmt_serve.models import Models
from m4nmt_serve.order import Full, How, Order, Scoring, Words, changes, wish
from m4nmt_serve.settings import ServeConfig

Ask = Callable[..., Awaitable[dict[Item, Sequence[Full]]]]


def item(text: str, wanted: int = 1, aligned: bool = False) -> Item:
    return Item(text, "eng_Latn", "deu_Latn", wanted, aligned)


def asking(
    translator: FakeTranslator, body: Callable[[Ask], Awaitable[Any]], **settings: Any
) -> Any:
    """Run `body(ask)` over a model at work."""

    async def whole() -> Any:
        models = Models({"fake": lambda: translator}, ServeConfig(**settings), Meters())
        await models.load()

        def ask(*items: Item, done: Any = None) -> Awaitable[dict[Item, Sequence[Full]]]:
            return models.translate(models.known(), items, "interactive", done)

        try:
            return await asyncio.wait_for(body(ask), 10)
        finally:
            await models.close()

    return asyncio.run(whole())


def test_each_text_is_translated_as_it_was_asked_for() -> None:
    translator = FakeTranslator()
    wide = How(search=changes({"beam": 6, "length_alpha": 1, "groups": 3}), split=False)
    orders = [
        item("plain"),
        Order(item("wide", 2), wide),
        Order(item("drawn"), How(search=changes({"sample": True, "temperature": 0.5, "seed": 7}))),
        Order(item("scored", aligned=True), How(scores=True)),
    ]
    found = asking(translator, lambda ask: ask(*orders))
    of = {batch[0]: i for i, batch in enumerate(translator.batches)}
    searches = {text: translator.configs[i] for text, i in of.items()}
    assert len(of) == 4  # four kinds of work, four calls
    assert (searches["wide"].beam, searches["wide"].n_best, searches["wide"].groups) == (6, 2, 3)
    assert searches["wide"].length_alpha == 1.0
    assert (searches["drawn"].sample, searches["drawn"].seed) == (True, 7)
    assert searches["plain"] == translator.search
    assert [translator.asked[of[t]]["split"] for t in ("plain", "wide")] == [True, False]
    assert translator.aligned[of["scored"]]
    assert not translator.aligned[of["plain"]]
    best = found[orders[3]][0]
    assert (best.tokens, best.token_scores) == (("scored",), (-0.5,))
    assert best.links
    assert found[orders[0]][0].tokens == ()  # not asked for: not kept
    assert len(found[orders[1]]) == 2


def test_confidence_and_faults_come_back() -> None:
    found = asking(FakeTranslator(), lambda ask: ask(item("so LONG"), item("fine")))
    assert found[item("so LONG")][0].faults == ("length",)
    assert found[item("fine")][0].faults == ()
    assert (found[item("fine")][0].confidence, found[item("fine")][0].least) == (0.75, 0.5)


def test_a_beam_is_wide_enough_for_what_is_wanted_and_for_its_groups() -> None:
    translator = FakeTranslator()
    asking(translator, lambda ask: ask(Order(item("x", 5), How(search=changes({"groups": 3})))))
    assert (translator.configs[0].beam, translator.configs[0].n_best) == (6, 5)


def test_texts_with_different_wishes_go_together_each_with_its_own() -> None:
    translator = FakeTranslator()
    wishes = {"a": wish("Ja"), "b": wish("", ("Haus",), ("Hut",)), "c": wish()}
    orders = [Order(item(text), How(wish=each)) for text, each in wishes.items()]
    asking(translator, lambda ask: ask(*orders))
    assert translator.batches == [["a", "b", "c"]]
    assert translator.wishes == [list(wishes.values())]


def test_a_wish_that_cannot_be_granted_is_refused_alone() -> None:
    translator = FakeTranslator()
    good = Order(item("good"), How(wish=wish("", ("fine",))))
    bad = Order(item("bad"), How(wish=wish("", ("unwritable",))))
    other = Order(item("other"), How(split=False))

    async def body(ask: Ask) -> Any:
        asks = (ask(one) for one in (other, good, bad, item("plain")))
        return await asyncio.gather(*asks, return_exceptions=True)

    apart, fine, refused, plain = asking(translator, body)
    assert fine[good][0].text == "eng>deu good"
    assert plain[item("plain")][0].text == "eng>deu plain"
    assert apart[other][0].text == "eng>deu other"
    assert isinstance(refused, ServiceError)
    assert (refused.status, "cannot write" in refused.message) == (400, True)
    assert translator.batches.count(["other"]) == 1  # the batch was not begun again


def test_answers_are_remembered_by_text_and_way() -> None:
    translator = FakeTranslator()
    ways = [
        How(),
        How(split=False),
        How(scores=True),
        How(wish=wish("Ja")),
        Words(),
        Scoring(translation="x"),
    ]
    ways += [How(search=changes({"beam": 2})), How(terms=(("same", "gleich"),)), Words(prefix="J")]
    orders = [Order(item("same"), way) for way in ways]

    async def body(ask: Ask) -> Any:
        first = await ask(*orders)
        calls = len(translator.batches) + len(translator.scored)
        assert await ask(*orders) == first
        assert len(translator.batches) + len(translator.scored) == calls
        return first

    assert len(asking(translator, body)) == len(ways)
    assert len({item("same"), *orders}) == len(ways)  # a plain item is the first of them
    assert item("same") == orders[0]
    assert item("same") != orders[1]
    assert orders[0] != orders[1]
    assert orders[1] != item("same")


def test_terms_that_do_not_occur_make_no_difference() -> None:
    translator = FakeTranslator()
    terms = (("house", "Heim"), ("tree", "Gewächs"))
    orders = [Order(item(text), How(terms=terms)) for text in ("House.", "a tree", "road", "hill")]
    asking(translator, lambda ask: ask(*orders))
    told = dict(zip(map(tuple, translator.batches), translator.asked, strict=True))
    assert told[("House.",)]["terms"] == {"house": "Heim"}
    assert told[("a tree",)]["terms"] == {"tree": "Gewächs"}
    assert told[("road", "hill")]["terms"] is None
    assert orders[2] == Order(item("road"), How())


def test_next_words_and_scores_go_through_the_same_queue() -> None:
    translator = FakeTranslator()
    words = Order(item("house", 3), Words(prefix="Das"))
    score = Order(item("a house"), Scoring(translation="ein Haus"))
    found = asking(translator, lambda ask: ask(words, score))
    assert [full.word for full in found[words]] == ["w0", "w1", "w2"]
    assert found[words][1].text == "Das w1 house"
    assert found[words][1].confidence == 0.5
    (given,) = found[score]
    assert (given.text, given.tokens) == ("ein Haus", ("ein", "Haus"))
    assert given.score == -1.5  # two pieces and the end
    assert given.confidence == pytest.approx(2.718281828**-0.5)
    assert given.least == pytest.approx(2.718281828**-0.5)


def test_each_answer_is_told_as_soon_as_it_is_there() -> None:
    translator = FakeTranslator()
    go = threading.Event()
    plain = translator.translate

    def translate(texts: Sequence[str], *args: Any, **kwargs: Any) -> Any:
        if "slow" in texts:
            go.wait(5)
        return plain(texts, *args, **kwargs)

    translator.translate = translate  # type: ignore[method-assign]
    told: list[str] = []

    def done(one: Item, fulls: Sequence[Full]) -> None:
        told.append(fulls[0].text)
        go.set()  # "slow" ends only after "quick" was told of

    orders = [item("quick"), Order(item("slow"), How(split=False))]

    async def body(ask: Ask) -> Any:
        await ask(item("known"))
        return await ask(*orders, item("known"), done=done)

    # so small a budget that each is a batch
    asking(translator, body, batch_tokens=5)
    assert told == ["eng>deu known", "eng>deu quick", "eng>deu slow"]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"beams": 4}, "no 'beams'; there are beam, coverage"),
        ({"n_best": 4}, "there is no"),
        ({"beam": 2.5}, "search.beam must be a whole number"),
        ({"beam": True}, "search.beam must be a whole number"),
        ({"beam": 0}, "between 1 and"),
        ({"temperature": float("nan")}, "search.temperature must be a number"),
        ({"temperature": float("inf")}, "search.temperature must be a number"),
        ({"top_p": "0.5"}, "search.top_p must be"),
        ({"sample": 1}, "search.sample must be one of"),
        ({"risk": "ter"}, "search.risk must be one of"),
        ({"risk": False}, "search.risk must be one of"),
    ],
)
def test_a_search_that_is_none_is_refused(wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(ServiceError, match=says) as refused:
        changes(wanted)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"beam": 17}, "17 beams; this server keeps 16"),
        ({"sample": True, "groups": 2}, "draws have no groups"),
        ({"risk": "chrf", "beam": 1}, "a beam of 2 at least"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_the_queue(
    wanted: dict[str, Any], says: str
) -> None:
    translator = FakeTranslator()
    order = Order(item("x"), How(search=changes(wanted)))
    with pytest.raises(ServiceError, match=says) as refused:
        asking(translator, lambda ask: ask(order))
    assert refused.value.status == 400
    assert translator.batches == []


def test_a_blank_phrase_is_refused() -> None:
    with pytest.raises(ServiceError, match="not blank"):
        wish("", (" ",))
