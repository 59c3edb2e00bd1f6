"""The service over a real Translator: its codes, its detection, its cancellation, its wishes."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from evaluate_runs import make_run
from serve_helpers import running

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.translator import Translator
from m4nmt_serve.batcher import Item
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.meters import Meters
from m4nmt_serve.models import Models
from m4nmt_serve.order import Full, How, Order, Scoring, Words, changes, wish
from m4nmt_serve.settings import ServeConfig


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def translator(run: Path) -> Translator:
    return Translator.load(run, device="cpu", engine="native")


def made(translator: Any, *items: Item) -> dict[Item, Sequence[Full]]:
    """What the models make of items."""

    async def whole() -> dict[Item, Sequence[Full]]:
        models = Models({"real": lambda: translator}, ServeConfig(), Meters())
        await models.load()
        try:
            return await models.translate(models.known(), items, "interactive")
        finally:
            await models.close()

    return asyncio.run(whole())


def item(text: str, wanted: int = 1) -> Item:
    return Item(text, "eng_Latn", "fra_Latn", wanted)


def test_a_model_folder_is_served(run: Path) -> None:
    local = Translator.load(run, device="cpu")
    wide = replace(local.search, beam=3, n_best=3)
    expected = local.translate(["one two three"], "en", "fr", wide)
    with running(lambda: Translator.load(run, device="cpu")) as up:
        assert {x["code"] for x in up.client.get("languages").json()} == {"de", "en", "fr"}
        body = {"q": ["one two three", "", "—"], "source": "en", "target": "fr"}
        answer = up.client.post("translate", json={**body, "alternatives": 2}).json()
        assert answer["translatedText"] == [expected[0][0].text, "", "—"]
        assert len(answer["alternatives"]) == 3
        lines = up.client.post("translate", json={**body, "q": "one\n\ntwo three\n"}).json()
        assert lines["translatedText"].count("\n") == 3


def test_a_model_without_an_identifier_says_so(run: Path) -> None:
    with running(lambda: Translator.load(run, device="cpu")) as up:
        has_one = (run / "model" / "identify.safetensors").is_file()
        answer = up.client.post("detect", json={"q": "one two three four"})
        assert answer.status_code == (200 if has_one else 400)
        if not has_one:
            assert "name the source language" in answer.json()["error"]


def test_wishes_words_and_scores_are_those_of_the_translator(translator: Translator) -> None:
    text = "one two three"
    begun = Order(item(text), How(wish=wish("deux"), search=changes({"beam": 2}), scores=True))
    words = Order(item(text, 3), Words(prefix="deux "))
    given = Order(item(text), Scoring(translation="un deux"))
    found = made(translator, begun, words, given)
    best = found[begun][0]
    assert best.text.startswith("deux")
    assert len(best.tokens) == len(best.token_scores) > 0
    assert best.confidence is not None
    assert 0 < best.confidence <= 1
    own = translator.words(text, "en", "fr", "deux ", 3)
    assert [full.word for full in found[words]] == [word.word for word in own]
    assert [full.text for full in found[words]] == [word.translation.text for word in own]
    (scores,) = translator.score_tokens([text], ["un deux"], "en", "fr")
    assert found[given][0].score == pytest.approx(sum(scores), abs=1e-4)
    assert len(found[given][0].tokens) == len(scores) - 1


def test_what_this_model_cannot_write_is_refused_to_who_asked(translator: Translator) -> None:
    asked = Order(item("One two. Three four."), How(wish=wish("", ("deux",))))
    with pytest.raises(ServiceError, match="in which one") as refused:
        made(translator, asked)
    assert refused.value.status == 400


class Slow:
    """A Translator whose every step takes a while; remembers the answers of `cancelled`."""

    def __init__(self, inner: Translator) -> None:
        self._inner = inner
        self.slow = False
        self.answers: list[bool] = []
        self.ended: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def translate(self, *args: Any, cancelled: Callable[[], bool], **kwargs: Any) -> Any:
        if not self.slow:
            return self._inner.translate(*args, cancelled=cancelled, **kwargs)

        def asked() -> bool:
            time.sleep(0.02)
            self.answers.append(cancelled())
            return self.answers[-1]

        try:
            return self._inner.translate(*args, cancelled=asked, **kwargs)
        finally:
            self.ended.append(time.monotonic())


def test_an_abandoned_request_stops_within_a_step(translator: Translator) -> None:
    slow = Slow(translator)
    config = ServeConfig(search=SearchConfig(max_extra=60))  # an untrained model finds no end
    with running(lambda: slow, config) as up:
        slow.slow = True
        body = {"q": "one two three four", "source": "en", "target": "fr"}
        with pytest.raises(httpx.ReadTimeout):
            up.client.post("translate", json=body, timeout=0.3)
        left = time.monotonic()
        while not slow.ended and time.monotonic() < left + 5:
            time.sleep(0.005)
        slow.slow = False
        assert slow.ended[0] - left < 0.2
        assert len(slow.answers) > 3  # it was at work
        assert slow.answers.index(True) == len(slow.answers) - 1  # not asked again: it stopped
        assert 'm4nmt_open_texts{model="fake"} 0' in up.service.meters.page()
        assert 'm4nmt_batches_stopped_total{model="fake"} 1' in up.service.meters.page()


def test_the_deadline_stops_the_engine_too(translator: Translator) -> None:
    slow = Slow(translator)
    config = ServeConfig(search=SearchConfig(max_extra=60), deadline=0.3)
    with running(lambda: slow, config) as up:
        slow.slow = True
        body = {"q": "one two three four", "source": "en", "target": "fr"}
        assert up.client.post("translate", json=body).status_code == 504
        time.sleep(0.1)
        assert slow.answers[-1]
        assert slow.answers.count(True) == 1
