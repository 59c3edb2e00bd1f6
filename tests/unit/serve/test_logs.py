"""The log: one JSON object a line, of every request, and no text unless it was asked for."""

import json
import logging
from typing import Any

import pytest
from serve_helpers import FakeTranslator, Running, running

from m4nmt_serve import logs
from m4nmt_serve.settings import ServeConfig

_SECRETS = ("Geheimnis", "sesame", "203.0.113.9", "127.0.0.1")


class Written:
    """What the log says; what was read stays."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._read = ""

    @property
    def text(self) -> str:
        self._read += self._capture.readouterr().err
        return self._read

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == "request"]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Written:
    return Written(capsys)


def ask(up: Running, q: Any, **more: Any) -> Any:
    headers = {"authorization": "Bearer sesame", "x-forwarded-for": "203.0.113.9"}
    body = {"q": q, "source": "auto", "target": "sw", "api_key": "sesame", **more}
    return up.client.post("translate", json=body, headers=headers)


def test_each_request_is_a_line_that_says_what_it_cost(written: Written) -> None:
    with logs.as_json(False), running(FakeTranslator()) as up:
        answer = ask(up, ["Geheimnis über alles", "x"])
        ask(up, ["Geheimnis über alles", "x"])
        ask(up, 5)
        up.client.get("Geheimnis")
        up.client.get("health")
    first, again, wrong, unknown = written.requests
    assert first["id"] == answer.headers["x-request-id"] != again["id"]
    assert (first["method"], first["route"], first["status"]) == ("POST", "/translate", 200)
    assert (first["model"], first["lane"]) == ("fake", "interactive")
    assert (first["source"], first["target"]) == ("de,en", "sw")
    assert (first["texts"], first["chars"]) == (2, 21)
    assert 0 <= first["queued"] <= first["seconds"] < 10
    assert again["cached"] == 2
    assert wrong["status"] == 400
    assert (unknown["route"], unknown["status"]) == ("none", 404)
    assert first["time"].endswith("Z")
    assert first["level"] == "info"


def test_no_text_no_key_and_no_address_is_in_it(written: Written) -> None:
    with logs.as_json(False), running(FakeTranslator()) as up:
        ask(up, "Geheimnis")
        ask(up, "Geheimnis POISON")
        ask(up, "Geheimnis", source="Geheimnis")
        up.client.get("Geheimnis", params={"q": "Geheimnis"})
        up.client.request("GEHEIMNIS", "translate")
    assert [x["status"] for x in written.requests] == [200, 500, 400, 404, 405]
    for secret in _SECRETS:
        assert secret.lower() not in written.text.lower(), secret


def test_what_the_library_tells_is_json_too(written: Written) -> None:
    with logs.as_json(False):
        logging.getLogger("m4nmt.translate.translator").info("CTranslate2 on cpu")
        logging.getLogger("m4nmt.translate.sentences").info("1 of 2 sentences are searched again")
    logging.getLogger("m4nmt").warning("as before")
    assert [line["event"] for line in written.lines] == ["CTranslate2 on cpu"]


def test_an_error_says_where_but_not_what_was_translated(written: Written) -> None:
    class Quoting(FakeTranslator):
        def translate(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
            if "Geheimnis" in texts:
                raise RuntimeError(f"cannot translate {texts[0]}")
            return super().translate(texts, *args, **kwargs)

    with logs.as_json(False), running(Quoting()) as up:
        assert ask(up, "Geheimnis").status_code == 500
    failed = next(x for x in written.lines if x["level"] == "error")
    assert failed["event"] == "the engine failed on 9 characters"
    assert failed["error"] == "RuntimeError"
    assert any("translate" in place for place in failed["at"])
    assert "Geheimnis" not in written.text


def test_texts_are_quoted_where_that_was_asked_for(written: Written) -> None:
    with logs.as_json(True), running(FakeTranslator(), ServeConfig(log_texts=True)) as up:
        ask(up, ["eins\nzwei", "“drei”"])
    (told,) = written.requests
    assert told["said"] == ["eins\nzwei", "“drei”"]
    assert "sesame" not in written.text
