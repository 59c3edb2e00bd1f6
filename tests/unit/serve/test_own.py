"""Our own dialect: everything that is known of a translation, wishes, streams, words, scores."""

import json
import time
from typing import Any

import pytest
from serve_helpers import FakeTranslator, Running, running

from m4nmt_serve.batcher import Item
from m4nmt_serve.engine import Engine
from m4nmt_serve.order import How, Order
from m4nmt_serve.settings import ServeConfig

ASK = {"source": "en", "target": "de"}


def ask(served: Running, **body: Any) -> Any:
    response = served.client.post("v1/translate", json=ASK | body)
    assert response.status_code == 200, response.text
    return response.json()


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.strip().split("\n\n"):
        event, data = block.split("\n")
        found.append((event.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_all_that_is_known_of_a_translation(served: Running) -> None:
    answer = ask(served, texts=["Hello LONG", "Über"], source="auto", n=2)
    assert answer["model"] == "fake"
    first, second = answer["translations"]
    assert first["source"] == "en"
    assert first["detected"] == {"language": "en", "confidence": 0.875}
    assert first["target"] == "de"
    assert first["options"] == [
        {
            "text": f"eng>deu Hello LONG{mark}",
            "score": score,
            "confidence": 0.75,
            "least": 0.5,
            "finished": True,
            "marks": ["length"],
        }
        for mark, score in (("", 0.0), ("'", -1.0))
    ]
    assert second["options"] == [
        {
            "text": "Über",
            "score": 0.0,
            "confidence": None,
            "least": None,
            "finished": True,
            "marks": [],
        }
    ]


def test_alignment_and_pieces_where_they_are_asked_for(served: Running) -> None:
    answer = ask(served, text="two words", align=True, token_scores=True)
    (only,) = answer["translations"]
    assert only["detected"] is None
    (option,) = only["options"]
    assert option["alignment"] == [
        {"source": [0, 3], "target": [8, 11]},
        {"source": [4, 9], "target": [12, 17]},
    ]
    assert option["tokens"] == [{"text": "two", "score": -0.5}, {"text": "words", "score": -0.5}]


def test_wishes_terms_and_search_reach_the_translator() -> None:
    fake = FakeTranslator()
    with running(fake) as up:
        ask(
            up,
            texts=["a house", "a tree"],
            prefix=["Das", ""],
            required=["Heim"],
            forbidden=["Haus", "Hütte"],
            terms={"house": "Heim", "road": "Weg"},
            search={"beam": 7, "length_alpha": 0.5},
            split=False,
        )
    wishes = {wish.prefix: wish for of in fake.wishes for wish in of}
    assert set(wishes) == {"Das", ""}
    assert wishes["Das"].required == ("Heim",)
    assert wishes[""].forbidden == ("Haus", "Hütte")
    terms = {text: told["terms"] for (text,), told in zip(fake.batches, fake.asked, strict=True)}
    assert terms == {"a house": {"house": "Heim"}, "a tree": None}
    assert {(c.beam, c.length_alpha) for c in fake.configs if c} == {(7, 0.5)}
    assert not any(told["split"] for told in fake.asked)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "texts must be"),
        ({"text": "a", "texts": ["b"]}, "not both"),
        ({"text": "a", "beem": 4}, "unknown parameter 'beem'"),
        ({"text": "a", "search": {"beem": 4}}, "beem"),
        ({"text": "a", "search": [4]}, "search must be an object"),
        ({"text": "a", "n": 99}, "n must be between 1 and 9"),
        ({"text": "a", "terms": {"a": 5}}, "terms must be an object"),
        ({"text": "a", "terms": {"a": " "}}, "printable"),
        ({"texts": ["a", "b"], "prefix": ["x"]}, "1 prefixes for 2 texts"),
        ({"text": "a", "required": [" "]}, "not blank"),
        ({"text": "a", "required": ["unwritable"]}, "cannot write"),
        ({"text": "One. Two.", "required": ["x"], "stream": True}, "2 sentences"),
        ({"text": "a", "model": "other"}, "no model 'other'"),
        ({"text": "<p>a</p>", "format": "html", "align": True}, "plain text"),
        ({"text": "<p>a</p>", "format": "html", "prefix": "x"}, "plain text"),
        ({"text": "<p>a</p>", "format": "html", "stream": True}, "plain text"),
        ({"text": "a", "target": "xx", "stream": True}, "supported: ar, de"),
        ({"text": "a", "align": "perhaps"}, "true or false"),
        ({"text": "a", "domain": "sports"}, "no domain 'sports': this model knows law, news"),
        ({"text": "a", "domain": ["law"]}, "domain is missing, or is not a text"),
    ],
)
def test_what_cannot_be_done_is_refused(served: Running, body: Any, says: str) -> None:
    response = served.client.post("v1/translate", json=ASK | body)
    assert response.status_code == 400
    assert says in response.json()["error"]


def test_the_domain_reaches_the_translator() -> None:
    fake = FakeTranslator()
    with running(fake) as up:
        for domain in ("law", "news", "law"):  # the last is remembered
            ask(up, texts=["a house", "a tree"], domain=domain)
        ask(up, text="a house")
        ask(up, text="<p>a house</p>", format="html", domain="law")
        assert sorted(fake.told) == ["", "law", "law", "news", "news"]
        body = ASK | {"domain": "law"}
        up.client.post("v1/words", json=body | {"text": "a house", "n": 1})
        score = body | {"sources": ["a", "b"], "translations": ["x", "y"]}
        assert up.client.post("v1/score", json=score).status_code == 200
        assert fake.told[5:] == ["law"] * 3
        stream = body | {"text": "One more. Two more.", "stream": True}
        up.client.post("v1/translate", json=stream)
        assert fake.told[8:] == ["law"] * 2
        for path, more in (("words", {"text": "a"}), ("score", score)):
            refused = up.client.post(f"v1/{path}", json={**more, **ASK, "domain": "sports"})
            assert (refused.status_code, "law, news" in refused.json()["error"]) == (400, True)
        [model] = up.client.get("v1/models").json()
        assert model["domains"] == ["law", "news"]


def test_texts_of_several_domains_are_translated_in_one_call() -> None:
    fake = FakeTranslator()
    items = [Item(text, "eng_Latn", "deu_Latn", 1) for text in ("a", "b", "c")]
    orders = [Order(i, How(domain=d)) for i, d in zip(items, ("law", "", "news"), strict=True)]
    Engine(fake, None).run(orders, lambda: False)
    assert (fake.batches, fake.told) == ([["a", "b", "c"]], ["law", "", "news"])


def test_a_stream_gives_each_sentence_and_then_the_whole(served: Running) -> None:
    texts = ["One here.  Two there. One here.\nThree LONG", "Four."]
    body = ASK | {"texts": texts, "n": 2, "align": True}
    response = served.client.post("v1/translate", json=body | {"stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    *sentences, (last, whole) = events(response.text)
    assert last == "done"
    assert {event for event, _ in sentences} == {"sentence"}
    told = {(x["text"], x["sentence"]): x for _, x in sentences}
    assert len(told) == len(sentences) == 5
    spans = {place: texts[place[0]][slice(*x["source"])] for place, x in told.items()}
    assert spans == {
        (0, 0): "One here.",
        (0, 1): "Two there.",
        (0, 2): "One here.",
        (0, 3): "Three LONG",
        (1, 0): "Four.",
    }
    assert told[0, 1]["translation"]["text"] == "eng>deu Two there."
    first = whole["translations"][0]["options"][0]
    assert first["text"] == (
        "eng>deu One here.  eng>deu Two there. eng>deu One here.\neng>deu Three LONG"
    )
    assert first["marks"] == ["length"]
    link = first["alignment"][2]  # of "Two"
    assert texts[0][slice(*link["source"])] == first["text"][slice(*link["target"])] == "Two"
    assert len(whole["translations"][0]["options"]) == 2


def test_sentences_are_sent_as_soon_as_they_are_done() -> None:
    config = ServeConfig(batch_tokens=4, batch_wait=0.0)
    with running(FakeTranslator(seconds=0.8), config) as up:
        body = ASK | {"text": "First one. Second one.", "stream": True}
        with up.client.stream("POST", "v1/translate", json=body) as response:
            lines = response.iter_lines()
            assert next(lines) == "event: sentence"
            assert up.service.models.known().lives[0].batcher.open == 1  # the other is not done
            assert sum(line.startswith("event") for line in lines) == 2


def test_a_stream_that_fails_says_so_at_its_end() -> None:
    config = ServeConfig(batch_tokens=4, batch_wait=0.0)
    with running(FakeTranslator(), config) as up:
        body = ASK | {"text": "First one. POISON here.", "stream": True}
        found = events(up.client.post("v1/translate", json=body).text)
        assert [event for event, _ in found] == ["sentence", "error"]
        assert found[1][1]["status"] == 500
        assert up.client.post("v1/translate", json=ASK | {"text": "POISON"}).status_code == 500


def test_a_stream_ends_at_the_deadline_and_says_so() -> None:
    fake = FakeTranslator(seconds=1.0)
    with running(fake, ServeConfig(batch_tokens=4, batch_wait=0.0, deadline=1.8)) as up:
        body = ASK | {"text": "Slow one. And two.", "stream": True}
        first, last = events(up.client.post("v1/translate", json=body).text)
        assert (first[0], last[0], last[1]["status"]) == ("sentence", "error", 504)
        ends = time.monotonic() + 5
        while up.service.models.known().lives[0].batcher.busy and time.monotonic() < ends:
            time.sleep(0.02)
        assert fake.stopped == 1  # nobody waits for the second any more


def test_words_scores_and_detection(served: Running) -> None:
    body = ASK | {"text": "a house", "prefix": "Ein", "n": 2}
    words = served.client.post("v1/words", json=body).json()["words"]
    assert words == [
        {"word": "w0", "text": "Ein w0 a house", "confidence": 1.0},
        {"word": "w1", "text": "Ein w1 a house", "confidence": 0.5},
    ]
    body = ASK | {"sources": ["a", "b"], "translations": ["x y", "z"]}
    first, second = served.client.post("v1/score", json=body).json()["scores"]
    assert first["score"] == -1.5
    assert first["tokens"] == [{"text": "x", "score": -0.5}, {"text": "y", "score": -0.5}]
    assert first["confidence"] == pytest.approx(0.606531)
    assert second["score"] == -1.0
    found = served.client.post("v1/detect", json={"texts": ["Tür", "door"]}).json()["detections"]
    assert found[0] == {"language": "de", "confidence": 0.875}
    wrong = served.client.post("v1/score", json=ASK | {"sources": ["a"], "translations": []})
    assert wrong.status_code == 400
    same = served.client.post("v1/words", json={"text": "a", "source": "en", "target": "en"})
    assert same.status_code == 400


def test_glossaries_are_kept_and_used(served: Running) -> None:
    body = ASK | {"name": "birds", "entries": {"bird": "Vogel", "owl": "Eule"}}
    made = served.client.post("v1/glossaries", json=body)
    assert made.status_code == 201
    number = made.json()["id"]
    about = {"name": "birds", "source": "en", "target": "de", "entries": 2}
    assert about.items() <= made.json().items()
    listed = served.client.get("v1/glossaries").json()["glossaries"]
    assert number in {one["id"] for one in listed}
    found = served.client.get(f"v1/glossaries/{number}").json()
    assert found["entries"] == {"bird": "Vogel", "owl": "Eule"}
    said = ask(served, texts=["Bird? A bird.", "a cat"], glossary=number, terms={"cat": "Katze"})
    assert [x["options"][0]["text"] for x in said["translations"]] == [
        "eng>deu Bird? A bird. [Vogel]",
        "eng>deu a cat [Katze]",
    ]
    html = ask(served, text="<p>a <b>bird</b></p><p>x</p>", glossary=number, format="html")
    assert html["translations"][0]["options"][0]["text"] == (
        "<p>eng&gt;deu a <b>bird</b> [Vogel]</p><p>eng&gt;deu x</p>"
    )
    split = ask(served, text="a bi<i>rd</i> &amp; b", terms={"bird & b": "X"}, format="html")
    assert split["translations"][0]["options"][0]["text"].endswith("b [X]")
    other = served.client.post(
        "v1/translate", json={"text": "a", "source": "en", "target": "sw", "glossary": number}
    )
    assert other.status_code == 404
    assert served.client.delete(f"v1/glossaries/{number}").status_code == 204
    for method, path in (("GET", f"v1/glossaries/{number}"), ("DELETE", f"v1/glossaries/{number}")):
        assert served.client.request(method, path).status_code == 404
    gone = served.client.post("v1/translate", json=ASK | {"text": "a", "glossary": number})
    assert gone.status_code == 404
