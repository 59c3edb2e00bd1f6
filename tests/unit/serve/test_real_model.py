"""The service over a real Translator: its codes, its detection, its cancellation."""

from pathlib import Path

import pytest
from evaluate_runs import make_run
from serve_helpers import running

from m4nmt.translate.translator import Translator


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


def test_a_model_folder_is_served(run: Path) -> None:
    expected = Translator.load(run, device="cpu").translate(["one two three"], "en", "fr")
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
