"""LibreTranslate's dialect: its own Python client, and every way of putting parameters."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libretranslatepy import LibreTranslateAPI
from serve_helpers import FakeTranslator, Running, running


def test_the_client_of_libretranslate_works_unmodified(served: Running) -> None:
    client = LibreTranslateAPI(served.url, api_key="whatever")
    assert client.translate("Hello there", "en", "sw") == "eng>swh Hello there"
    assert client.translate("Über", "auto", "en") == "deu>eng Über"
    assert client.detect("Grüße") == [{"confidence": 87.5, "language": "de"}]
    listed = {entry["code"]: entry for entry in client.languages()}
    assert listed["sw"] == {
        "code": "sw",
        "name": "Swahili",
        "targets": ["ar", "de", "en", "he", "sw", "zh"],
    }
    assert listed["iw"]["name"] == "Hebrew"  # Discourse looks for the old code


QUESTION = {"q": "Hello", "source": "en", "target": "de"}


@pytest.mark.parametrize(
    "request_kwargs",
    [
        {"json": QUESTION},
        {"data": QUESTION},
        {"params": QUESTION},
        {"params": QUESTION, "content": b""},
        {"params": {"target": "de", "source": "sw"}, "json": {"q": "Hello", "source": "en"}},
        {"files": {name: (None, value) for name, value in QUESTION.items()}},
    ],
    ids=["json", "form", "query", "empty body", "mixed", "multipart"],
)
def test_parameters_come_by_json_form_or_query(
    served: Running, request_kwargs: dict[str, Any]
) -> None:
    response = served.client.post("translate", **request_kwargs)
    assert response.status_code == 200
    assert response.json() == {"translatedText": "eng>deu Hello"}


def test_lists_and_detection_and_alternatives_have_the_shape_of_q(served: Running) -> None:
    ask = {"source": "auto", "target": "sw", "alternatives": 2}
    one = served.client.post("translate", json={**ask, "q": "Tür"}).json()
    assert one == {
        "translatedText": "deu>swh Tür",
        "detectedLanguage": {"confidence": 87.5, "language": "de"},
        "alternatives": ["deu>swh Tür'", "deu>swh Tür''"],
    }
    many = served.client.post("translate", json={**ask, "q": ["Tür", "door"]}).json()
    assert many["translatedText"] == ["deu>swh Tür", "eng>swh door"]
    assert [guess["language"] for guess in many["detectedLanguage"]] == ["de", "en"]
    assert many["alternatives"][1] == ["eng>swh door'", "eng>swh door''"]
    empty = served.client.post("translate", json={"q": [], "source": "en", "target": "de"})
    assert empty.json() == {"translatedText": []}


def test_a_form_may_repeat_q(served: Running) -> None:
    response = served.client.post(
        "translate", data={"q": ["one", "two"], "source": "en", "target": "de"}
    )
    assert response.json() == {"translatedText": ["eng>deu one", "eng>deu two"]}


def test_same_language_and_blank_texts_pass_untouched(served: Running) -> None:
    for q in ("", " \n\t ", "Hello"):
        response = served.client.post(
            "translate", json={"q": q, "source": "en", "target": "eng_Latn", "alternatives": 1}
        )
        assert response.json() == {"translatedText": q, "alternatives": []}
    blank = served.client.post("translate", json={"q": " \n ", "source": "en", "target": "de"})
    assert blank.json() == {"translatedText": " \n "}


def test_codes_of_every_habit(served: Running) -> None:
    for code in ("sw", "SW", "swh_Latn", "swh-latn", "sw-KE", "swa"):
        response = served.client.post("translate", json={"q": "x", "source": "en", "target": code})
        assert response.json() == {"translatedText": "eng>swh x"}, code
    for code in ("zh", "zh-Hans", "zh-CN", "zh_CN"):
        response = served.client.post("translate", json={"q": "x", "source": "iw", "target": code})
        assert response.json() == {"translatedText": "heb>zho x"}, code


def test_html_keeps_its_tags_and_gains_none(served: Running) -> None:
    document = '<p class="a">is 5 &lt; 6 &amp; <b>bold</b><br></p><script>if (a < b) {}</script>'
    response = served.client.post(
        "translate", json={"q": [document], "source": "en", "target": "de", "format": "html"}
    )
    assert response.json()["translatedText"] == [
        '<p class="a">eng&gt;deu is 5 &lt; 6 &amp; <b>bold</b><br></p>'
        "<script>if (a < b) {}</script>"
    ]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"source": "en", "target": "de"}, "q must be"),
        ({"q": 5, "source": "en", "target": "de"}, "q must be"),
        ({"q": ["x", 5], "source": "en", "target": "de"}, "q must be"),
        ({"q": "x", "target": "de"}, "source is missing"),
        ({"q": "x", "source": "en", "target": ["de"]}, "target is missing"),
        ({"q": "x", "source": "en", "target": "xx"}, "supported: ar, de, en, he, sw, zh"),
        ({"q": "x", "source": "klingon", "target": "de"}, "source: 'klingon' is not supported"),
        ({"q": "x", "source": "en", "target": "auto"}, "target: 'auto' is not supported"),
        ({"q": "x", "source": "en", "target": "de", "format": "pdf"}, "format must be"),
        ({"q": "x", "source": "en", "target": "de", "alternatives": "many"}, "whole number"),
        ({"q": "x", "source": "en", "target": "de", "alternatives": True}, "whole number"),
        ({"q": "x", "source": "en", "target": "de", "alternatives": -1}, "between 0 and 8"),
        ({"q": "x", "source": "en", "target": "de", "alternatives": 9}, "between 0 and 8"),
        ({"q": "half \ud800 pair", "source": "en", "target": "de"}, "surrogate"),
        ([1, 2], "JSON object"),
        ("text", "JSON object"),
    ],
)
def test_wrong_parameters_are_named(served: Running, body: Any, says: str) -> None:
    response = served.client.post(
        "translate", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert says in response.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"q": "a", "q": "b"}',
        b'{"q": "caf\xe9"}',
        b"[" * 100_000,
        b'{"q": ' * 50_000,
        b'{"alternatives": ' + b"9" * 6000 + b"}",
        b"",
    ],
    ids=["cut", "twice", "latin-1", "deep list", "deep object", "long number", "nothing"],
)
def test_broken_json_is_the_clients_fault(served: Running, body: bytes) -> None:
    for path in ("translate", "detect"):
        response = served.client.post(
            path, content=body, headers={"content-type": "application/json"}
        )
        assert response.status_code == 400
        assert set(response.json()) == {"error"}


def test_bytes_that_are_not_utf8_are_refused(served: Running) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    for content in (b"q=%ff&source=en&target=de", b"q=\xff&source=en&target=de"):
        assert served.client.post("translate", content=content, headers=form).status_code == 400
    assert served.client.post("translate?q=%ff&source=en&target=de").status_code == 400


def test_unknown_paths_methods_and_types_keep_the_dialect(served: Running) -> None:
    assert served.client.get("nowhere").json() == {"error": "Not Found"}
    assert served.client.get("translate").status_code == 405
    response = served.client.post(
        "translate", content=b"<x/>", headers={"content-type": "application/xml"}
    )
    assert response.status_code == 400
    assert "application/xml" in response.json()["error"]


def test_settings_health_languages_and_the_page(served: Running) -> None:
    assert served.client.get("health").json() == {"status": "ok"}
    assert served.client.get("ready").json() == {"status": "ready"}
    said = served.client.get("frontend/settings").json()
    assert said["language"]["source"] == {"code": "en", "name": "English"}
    assert said["charLimit"] == served.service.config.max_chars
    own = {entry["code"]: entry for entry in served.client.get("v1/languages").json()}
    assert own["ar"]["rtl"] is True
    assert own["ar"]["native"] == "العربية"
    assert served.client.post("languages").json() == served.client.get("languages").json()
    paths = served.client.get("openapi.json").json()["paths"]
    assert {"/translate", "/detect", "/languages"} <= set(paths)
    assert served.client.get("docs").status_code == 404  # the usual page loads scripts from a CDN


def test_the_page_asks_nothing_of_other_servers(served: Running) -> None:
    response = served.client.get("")
    assert response.headers["content-type"].startswith("text/html")
    assert "connect-src 'self'" in response.headers["content-security-policy"]
    outside = response.text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert "http://" not in outside
    assert "https://" not in outside
    assert "//cdn" not in outside


_TROUBLE = ["\u202e", "\u200d", "\u0301", "\0", "\ufeff", "\ufffd", "\u2028", "<2fr>", "</s>"]
_HARD = st.one_of(
    st.text(),
    st.text(alphabet=st.characters(categories=["Mn", "Cf", "Co", "Cc"])),
    st.lists(st.sampled_from(_TROUBLE)).map("".join),
    st.text().map(lambda text: text + "\ud83d"),
)


@settings(max_examples=60, deadline=None)
@given(text=_HARD, source=st.sampled_from(["auto", "en", "ar"]), html=st.booleans())
def test_no_text_breaks_the_service(served: Running, text: str, source: str, html: bool) -> None:
    body = {"q": text, "source": source, "target": "sw", "format": "html" if html else "text"}
    response = served.client.post(
        "translate",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    lone = any("\ud800" <= character <= "\udfff" for character in text)
    assert response.status_code == (400 if lone else 200)
    assert isinstance(response.json(), dict)


def test_alignment_is_asked_for_where_there_are_tags() -> None:
    fake = FakeTranslator()
    body = {"q": ["<p>a <b>b</b></p>", "<p>c</p>"], "source": "en", "target": "de"}
    with running(fake) as up:
        up.client.post("translate", json={**body, "format": "html"})
    asked = dict(zip(map(tuple, fake.batches), fake.aligned, strict=True))
    assert asked == {("a b",): True, ("c",): False}


class Forgetful(FakeTranslator):
    """Says nothing of placeholders."""

    def translate(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
        return super().translate([text.replace("{0}", "") for text in texts], *args, **kwargs)


def test_a_placeholder_that_the_model_loses_is_put_back() -> None:
    body = {"q": "<p>Open <b>{0}</b> now</p>", "source": "en", "target": "de", "format": "html"}
    with running(Forgetful()) as up:
        said = up.client.post("translate", json=body | {"alternatives": 1}).json()
    assert said["translatedText"] == "<p>eng&gt;deu Open <b>{0}</b> eng&gt;deu now</p>"
