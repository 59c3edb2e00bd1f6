"""Shapes that the clients of other dialects rely on, where no client of theirs shows them."""

import json
import socket
from typing import Any

import pytest
from serve_helpers import FakeTranslator, Running, running

from m4nmt_serve.languages import Languages, UnknownLanguageError
from m4nmt_serve.settings import ServeConfig

DEEPL = {"text": ["POISON"], "target_lang": "DE"}
GOOGLE = {"q": "POISON", "target": "de"}
DIALECTS = [
    ("translate", {"q": "POISON", "source": "en", "target": "de"}),
    ("v1/translate", {"text": "POISON", "target": "de"}),
    ("v2/translate", DEEPL),
    ("language/translate/v2", GOOGLE),
    ("azure/translate?to=de", [{"Text": "POISON"}]),
]
SMALL = ServeConfig(max_body=2_000, max_chars=50)


def check(path: str, status: int, body: Any) -> None:
    """A refusal has the shape of the dialect at its path."""
    if path.startswith(("v2", "v3")):
        assert set(body) == {"message"}
        assert body["message"]
    elif path.startswith("language"):
        assert body["error"]["code"] == status
        assert body["error"]["message"]
    elif path.startswith("azure"):
        assert body["error"]["code"] == 1000 * status
        assert body["error"]["message"]
    else:
        assert set(body) == {"error"}
        assert isinstance(body["error"], str)


@pytest.fixture(scope="module")
def small() -> Any:
    with running(FakeTranslator(), SMALL) as up:
        yield up


@pytest.mark.parametrize(("path", "body"), DIALECTS)
def test_every_refusal_has_the_shape_of_its_dialect(small: Running, path: str, body: Any) -> None:
    post = small.client.post
    long = json.loads(json.dumps(body).replace("POISON", "x" * 60))
    long_headers = {"content-type": "application/json"}
    answers = {
        500: post(path, json=body),
        400: post(path, content=b"{", headers=long_headers),
        413: post(path, content=b" " * 2_001, headers=long_headers),
        404: post(path.partition("?")[0] + "/nowhere/at/all"),
        405: small.client.put(path.partition("?")[0]),
    }
    for status, response in answers.items():
        assert response.status_code == status
        check(path, status, response.json())
    over = post(path, json=long)
    assert over.status_code == 413
    check(path, 413, over.json())


def test_measures_tell_the_dialects_apart(served: Running) -> None:
    for path, body in DIALECTS:
        served.client.post(path, json=json.loads(json.dumps(body).replace("POISON", "Hello")))
    page = served.client.get("metrics").text
    for path, _ in DIALECTS:
        assert f'm4nmt_requests_total{{route="/{path.partition("?")[0]}",status="200"}}' in page


def test_a_busy_server_says_so_in_every_dialect() -> None:
    with running(FakeTranslator(seconds=4), ServeConfig(max_requests=1)) as up:
        body = b'{"q": "x", "source": "en", "target": "de"}'
        head = b"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", up.port)) as busy:
            busy.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            while not up.service.models.known().lives[0].batcher.busy:
                pass
            for path, ask in DIALECTS:
                response = up.client.post(path, json=ask)
                assert response.status_code == 429
                assert int(response.headers["retry-after"]) >= 1
                check(path, 429, response.json())


def test_azure_of_version_3(served: Running) -> None:
    ask = [{"Text": "Über"}, {"text": "red house"}]
    query = "api-version=3.0&to=en&to=sw,ar&includeAlignment=true"
    first, second = served.client.post(f"azure/translate?{query}", json=ask).json()
    assert first["detectedLanguage"] == {"language": "de", "score": 0.875}
    assert [(x["to"], x["text"]) for x in first["translations"]] == [
        ("en", "deu>eng Über"),
        ("sw", "deu>swh Über"),
        ("ar", "deu>arb Über"),
    ]
    assert second["translations"][0] == {
        "to": "en",
        "text": "red house",
        "alignment": {"proj": ""},
    }
    assert second["translations"][1]["alignment"] == {"proj": "0:2-8:10 4:8-12:16"}
    found = served.client.post("azure/detect?api-version=3.0", json=[{"Text": "Über"}]).json()
    assert found[0]["language"] == "de"
    html = served.client.post(
        "azure/translate?to=de&from=en&textType=html", json=[{"Text": "<b>a</b> c"}]
    ).json()
    assert html == [{"translations": [{"text": "eng&gt;deu <b>a</b> c", "to": "de"}]}]
    for wrong in ("to=", "from=en", "to=de&toScript=Latn", "to=de&textType=pdf"):
        assert served.client.post(f"azure/translate?{wrong}", json=ask).status_code == 400
    for body in ({"inputs": "x"}, {"inputs": [{"text": "x"}]}, [{"Txt": "x"}], "x", [1]):
        assert served.client.post("azure/translate?to=de", json=body).status_code == 400


@pytest.mark.parametrize("named", ["*", "zz", "x", "../etc", "a" * 300, "de;q=0.5, *"])
def test_names_are_asked_for_in_a_language_that_is_none(served: Running, named: str) -> None:
    found = served.client.get("azure/languages", headers={"accept-language": named})
    assert found.json()["translation"]["ar"]["name"] in ("Arabic", "Arabisch")
    found = served.client.get("language/translate/v2/languages", params={"target": named})
    assert found.json()["data"]["languages"][0] == {"language": "ar", "name": "Arabic"}


def test_an_address_with_a_slash_too_many_leads_nowhere_else(served: Running) -> None:
    assert served.client.post("translate/", json=GOOGLE).status_code == 404


def test_many_languages_are_not_listed_in_a_message() -> None:
    latin = ("ces", "dan", "deu", "eng", "fin", "fra", "hun", "ita", "nld", "pol", "por", "ron")
    others = ["spa_Latn", "swe_Latn", "swh_Latn", "tur_Latn", "zho_Hans", "zho_Hant"]
    others += ["bul_Cyrl", "ell_Grek", "rus_Cyrl", "ukr_Cyrl"]
    codes = [*(f"{code}_Latn" for code in latin), *others]
    known = Languages(codes)
    for spelled, told in (("swahilli", "sw"), ("Deutsch", "de"), ("zh-Hantt", "zh-Hant")):
        with pytest.raises(UnknownLanguageError, match=f"did you mean .*\\b{told}\\b.*the 22 that"):
            known.find(spelled)
    with pytest.raises(UnknownLanguageError, match=r"'!!' is not supported; /languages lists"):
        known.find("!!")


def test_google_without_a_client(served: Running) -> None:
    found = served.client.get(
        "language/translate/v2", params={"q": ["a", "b"], "target": "de", "source": "en"}
    ).json()
    texts = [x["translatedText"] for x in found["data"]["translations"]]
    assert texts == ["eng&gt;deu a", "eng&gt;deu b"]
    plain = served.client.get("language/translate/v2/languages").json()["data"]["languages"]
    assert {"language": "sw"} in plain


def test_deepl_by_form_and_its_options(served: Running) -> None:
    form = {"text": ["a", "b"], "target_lang": "de", "source_lang": "en", "split_sentences": "0"}
    found = served.client.post("v2/translate", data=form).json()["translations"]
    assert [x["text"] for x in found] == ["eng>deu a", "eng>deu b"]
    for wrong in (
        {"split_sentences": "2"},
        {"tag_handling": "md"},
        {"glossary_id": "x", "source_lang": ""},
        {"glossary_ids": "x"},
        {"formality": "rude"},
    ):
        said = served.client.post("v2/translate", data=form | wrong)
        assert said.status_code == 400, wrong
        assert set(said.json()) == {"message"}
    by_form = served.client.request("GET", "v2/languages", data={"type": "target"}).json()
    by_query = served.client.get("v2/languages?type=target").json()
    assert by_form == by_query
    assert {
        "language": "EN-US",
        "name": "English (American)",
        "supports_formality": False,
    } in by_form


def test_glossary_entries_are_checked(served: Running) -> None:
    body = {"name": "n", "source_lang": "EN", "target_lang": "DE", "entries_format": "csv"}
    csv = served.client.post("v2/glossaries", json=body | {"entries": '"a, b",c\nd,e\n'})
    assert csv.status_code == 201
    number = csv.json()["glossary_id"]
    entries = served.client.get(f"v2/glossaries/{number}/entries")
    assert entries.text == "a, b\tc\nd\te"
    assert entries.headers["content-type"].startswith("text/tab-separated-values")
    for wrong, says in (
        ({"entries": "a,b\na,c"}, "given twice"),
        ({"entries": "a"}, "line 1"),
        ({"entries": '"a'}, "not CSV"),
        ({"entries": ",b"}, "printable"),
        ({"entries": " "}, "entries is missing"),
        ({"entries": "a,b", "entries_format": "xml"}, "tsv or csv"),
        ({"entries": "a,b", "target_lang": "XX"}, "supported"),
        ({"entries": "a,b", "name": " "}, "name is missing"),
    ):
        said = served.client.post("v2/glossaries", json=body | wrong)
        assert said.status_code == 400
        assert says in said.json()["message"]
    two = [
        {"source_lang": "EN", "target_lang": x, "entries": "a\tb", "entries_format": "tsv"}
        for x in ("DE", "SW")
    ]
    made = served.client.post("v3/glossaries", json={"name": "n", "dictionaries": two}).json()
    path = f"glossaries/{made['glossary_id']}"
    assert "under /v3" in served.client.get(f"v2/{path}").json()["message"]
    listed = served.client.get("v2/glossaries").json()["glossaries"]
    assert made["glossary_id"] not in {x["glossary_id"] for x in listed}
    for target, status in (("DE", 204), ("DE", 404), ("SW", 400)):
        pair = {"source_lang": "EN", "target_lang": target}
        gone = served.client.delete(f"v3/{path}/dictionaries", params=pair)
        assert gone.status_code == status
