"""Documents through the service: two dialects, limits, quotas, ownership, expiry."""

import time
from pathlib import Path
from typing import Any

import pytest
from serve_helpers import FakeTranslator, Running, running

from m4nmt_serve import files, keys
from m4nmt_serve.settings import ServeConfig

TEXT = "<html lang='en'><body><h1>Head</h1><p>A <b>red</b> house.</p></body></html>"
DONE = (
    "<html lang='{}'><body><h1>eng&gt;{} Head</h1><p>eng&gt;{} A <b>red</b> house.</p>"
    "</body></html>"
)


def send(served: Running, text: str | bytes, name: str = "in.html", **form: str) -> Any:
    return served.client.post(
        "translate_file",
        data={"source": "en", "target": "de"} | form,
        files={"file": (name, text)},
    )


def test_a_file_and_its_address(served: Running) -> None:
    said = send(served, TEXT, "../my page.html", target="sw")
    assert said.status_code == 200
    address = said.json()["translatedFileUrl"]
    assert address.startswith("/download_file/")
    assert address.endswith("/my_page.sw.html")
    for _ in range(2):
        found = served.client.get(address)
        assert found.text == DONE.format("sw", "swh", "swh")
        assert found.headers["content-type"].startswith("text/html")
        assert found.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in found.headers["content-security-policy"]
    assert served.client.get(address + "x").status_code == 404
    assert served.client.get("/download_file/other/my_page.sw.html").status_code == 404


def test_the_language_of_a_file_can_be_found_out(served: Running) -> None:
    said = send(served, "Grüße aus der Stadt.\n", "a.txt", source="auto", target="en")
    found = served.client.get(said.json()["translatedFileUrl"])
    assert found.text == "deu>eng Grüße aus der Stadt.\n"


@pytest.mark.parametrize(
    ("text", "name", "form", "says"),
    [
        ("x", "a.exe", {}, ".exe are not translated"),
        (b"\xff\xfex", "a.txt", {}, "UTF-16"),
        (b"caf\xe9 au lait", "a.txt", {}, "not UTF-8"),
        ("no xliff", "a.xlf", {}, "XML is broken"),
        ("x", "a.txt", {"target": "xx"}, "supported: ar, de"),
        ("x", "a.txt", {"source": "de"}, "in German already"),
        ("x", "a.txt", {"source": " "}, "source is missing"),
    ],
)
def test_what_is_no_document_is_refused(
    served: Running, text: str | bytes, name: str, form: dict[str, str], says: str
) -> None:
    said = send(served, text, name, **form)
    assert said.status_code == 400
    assert says in said.json()["error"]


def test_a_form_without_a_file_is_refused(served: Running) -> None:
    for kwargs in ({"json": {}}, {"files": {"file": (None, "text")}}, {"data": {"file": "x"}}):
        ask = {"source": "en", "target": "de"}
        said = served.client.post("translate_file", params=ask, **kwargs)  # type: ignore[arg-type]
        assert said.status_code == 400
        assert "send a file" in said.json()["error"]


def test_limits() -> None:
    with running(FakeTranslator(), ServeConfig(max_file_chars=30, max_body=2_000)) as up:
        assert up.client.get("frontend/settings").json()["maxFile"] == 2_000
        assert send(up, "30 characters are not too much", "a.txt").status_code == 200
        over = send(up, "But 31 characters are too much.", "a.txt")
        assert over.status_code == 400
        assert "30 characters" in over.json()["error"]
        assert send(up, "x" * 2_000, "a.txt").status_code == 413


def test_a_long_document_has_an_address_before_it_is_done() -> None:
    with running(FakeTranslator(seconds=0.6), ServeConfig(deadline=0.5)) as up:
        address = send(up, "Text.", "a.txt").json()["translatedFileUrl"]
        answer = up.client.get(address)
        deadline = time.monotonic() + 10
        while answer.status_code == 503:
            assert "still being translated" in answer.json()["error"]
            assert time.monotonic() < deadline
            answer = up.client.get(address)
        assert answer.text == "eng>deu Text."


def test_more_documents_than_may_be_open_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_OPEN", 1)
    with running(FakeTranslator(seconds=4), ServeConfig(deadline=0.5)) as up:
        assert send(up, "Text.", "a.txt").status_code == 200
        second = send(up, "Text.", "a.txt")
        assert second.status_code == 429
        assert second.headers["retry-after"] == "5"


def test_they_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_KEPT", 1.0)
    with running(FakeTranslator()) as up:
        address = send(up, "Text.", "a.txt").json()["translatedFileUrl"]
        assert up.client.get(address).status_code == 200
        time.sleep(1.05)
        assert up.client.get(address).status_code == 404


def test_only_the_sender_and_only_what_is_paid_for(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    ann, bob = keys.add(path, "ann", chars_per_month=14), keys.add(path, "bob")
    with running(FakeTranslator(), ServeConfig(keys=str(path))) as up:
        assert send(up, "Text.", "a.txt").status_code == 403
        address = send(up, "Nine cost", "a.txt", api_key=ann).json()["translatedFileUrl"]
        assert up.client.get(address, params={"api_key": bob}).status_code == 404
        assert up.client.get(address, params={"api_key": "wrong"}).status_code == 403
        assert up.client.get(address, params={"api_key": ann}).status_code == 200
        assert up.client.get(address).status_code == 200  # nobody else was told the address
        spent = send(up, "Six ch", "a.txt", api_key=ann)
        assert spent.status_code == 403
        assert "quota" in spent.json()["error"]
        last = send(up, "Five.", "a.txt", api_key=ann)
        assert last.status_code == 200  # five are left: the refused one cost nothing


def test_a_failure_costs_nothing_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = keys.add(path, "ann", chars_per_month=6)
    with running(FakeTranslator(), ServeConfig(keys=str(path))) as up:
        said = send(up, "POISON", "a.txt", api_key=key)
        assert said.status_code == 500
        assert send(up, "second", "a.txt", api_key=key).status_code == 200


def test_status_secret_and_result_as_deepl_has_them(served: Running) -> None:
    form = {"target_lang": "DE", "source_lang": "EN", "filename": "b.txt", "output_format": "txt"}
    file = {"file": ("a.bin", "Text.")}
    sent = served.client.post("v2/document", data=form, files=file)
    handle = sent.json()
    path, secret = f"v2/document/{handle['document_id']}", {"document_key": handle["document_key"]}
    said = served.client.post(path, json=secret).json()
    assert said == {
        "document_id": handle["document_id"],
        "status": "done",
        "billed_characters": 5,
    }
    assert served.client.post(f"{path}/result", data=secret).text == "eng>deu Text."
    for wrong in ({"document_key": "ü"}, {"document_key": handle["document_id"]}):
        assert served.client.post(path, json=wrong).status_code == 404
        assert served.client.post(f"{path}/result", json=wrong).status_code == 404
    assert "message" in served.client.post(path).json()
    other = served.client.post("v2/document", data=form | {"output_format": "pdf"}, files=file)
    assert "output_format" in other.json()["message"]


def test_a_glossary_in_a_document(served: Running) -> None:
    body = {"name": "n", "source": "en", "target": "de", "entries": {"bird": "Vogel"}}
    number = served.client.post("v1/glossaries", json=body).json()["id"]
    form = {"target_lang": "DE", "source_lang": "EN", "glossary_id": number}
    file = {"file": ("a.txt", "A bird\n\nA cat\n")}
    handle = served.client.post("v2/document", data=form, files=file).json()
    secret = {"document_key": handle["document_key"]}
    path = f"v2/document/{handle['document_id']}"
    assert served.client.post(path, json=secret).json()["status"] == "done"
    found = served.client.post(f"{path}/result", json=secret).text
    assert found == "eng>deu A bird [Vogel]\n\neng>deu A cat\n"
    lost = served.client.post("v2/document", data=form | {"glossary_id": "none"}, files=file)
    assert lost.status_code == 404
