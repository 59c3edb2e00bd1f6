"""Terms with a real model: what is promised holds, in every dialect that has glossaries."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from evaluate_runs import make_run
from serve_helpers import Running, running

from m4nmt.exchange import folder as exports
from m4nmt.translate.translator import Translator
from m4nmt_serve.settings import ServeConfig

ENTRIES = {"two": "six", "five": "eins"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def real(run: Path) -> Iterator[Running]:
    with running(lambda: Translator.load(run, device="cpu")) as up:
        yield up


@pytest.fixture(scope="module")
def glossary(real: Running) -> str:
    body = {"name": "numbers", "source": "en", "target": "fr", "entries": ENTRIES}
    return str(real.client.post("v1/glossaries", json=body).json()["id"])


TEXT = "one two three. Two and four."


def plain(up: Running, **body: object) -> str:
    ask = {"text": TEXT, "source": "en", "target": "fr"} | body
    said = up.client.post("v1/translate", json=ask)
    assert said.status_code == 200, said.text
    (option, *_) = said.json()["translations"][0]["options"]
    assert "required" not in option["marks"]
    return str(option["text"])


def test_a_term_is_in_each_sentence_that_holds_it(real: Running, glossary: str) -> None:
    assert plain(real).count("six") < 2  # the control: not by itself
    assert plain(real, glossary=glossary).count("six") >= 2
    assert plain(real, terms={"two": "six"}).count("six") >= 2
    assert "eins" not in plain(real, glossary=glossary)  # whose term is not there
    streamed = {"text": TEXT, "source": "en", "target": "fr", "glossary": glossary}
    lines = real.client.post("v1/translate", json=streamed | {"stream": True}).text
    assert lines.count("event: sentence") == 2
    assert lines.count("six") >= 4  # in the sentences, and in the whole


def test_terms_in_markup_and_documents(real: Running, glossary: str) -> None:
    ask = {"source_lang": "EN", "target_lang": "FR", "glossary_id": glossary}
    html = {"text": ["<p>one <b>two</b></p><p>four</p>"], "tag_handling": "html"}
    said = real.client.post("v2/translate", json=ask | html).json()["translations"][0]["text"]
    first, second = said.split("</p><p>")
    assert "six" in first.replace("<b>", "").replace("</b>", "")
    assert first.count("<b>") == first.count("</b>") == 1
    assert "six" not in second
    file = {"file": ("a.md", "# one two\n\nfour\n")}
    handle = real.client.post("v2/document", data=ask, files=file).json()
    path, secret = f"v2/document/{handle['document_id']}", {"document_key": handle["document_key"]}
    assert real.client.post(path, json=secret).json()["status"] == "done"
    head, _, rest = real.client.post(f"{path}/result", json=secret).text.partition("\n")
    assert "six" in head
    assert "six" not in rest


def test_without_the_model_itself_terms_are_refused(run: Path) -> None:
    pytest.importorskip("ctranslate2", reason="the export is read by CTranslate2")
    Translator.load(run, device="cpu", engine="ctranslate2")
    export = exports.beside(run / "model", "float32")
    config = ServeConfig(deadline=20)
    with running(lambda: Translator.load(export, device="cpu"), config) as up:
        ask = {"text": TEXT, "source": "en", "target": "fr"}
        assert up.client.post("v1/translate", json=ask).status_code == 200
        said = up.client.post("v1/translate", json=ask | {"terms": {"two": "six"}})
        assert said.status_code == 400
        print(said.json())
        assert "export" in said.json()["error"]
