"""Better translations that people suggest, by two dialects, and how they are read."""

import json
from pathlib import Path

import pytest
from serve_helpers import FakeTranslator, running

from m4nmt_serve import suggestions
from m4nmt_serve.database import IN_MEMORY, Database
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.operate import digest
from m4nmt_serve.settings import ServeConfig
from m4nmt_serve.suggestions import SCHEMA, Suggestion, Suggestions

ADMIN = {"Authorization": "Bearer secret"}


def test_they_are_kept_and_exported(tmp_path: Path) -> None:
    config = ServeConfig(database=str(tmp_path / "all.db"), admin_sha256=digest("secret"))
    own = {
        "text": "good\tmorning\n",
        "translation": "habari za asubuhi",
        "source": "en",
        "target": "swh_Latn",
        "machine": "asubuhi nzuri",
    }
    with running(FakeTranslator(), config) as up:
        assert up.client.post("v1/suggestions", json=own).json() == {"stored": True}
        lt = {"q": "Tür", "s": "door", "source": "auto", "target": "en"}
        assert up.client.post("suggest", data=lt).json() == {"success": True}
        wrong = (own | {"translation": " "}, own | {"target": "xx"}, own | {"text": "x" * 10_001})
        for body in (*wrong, own | {"more": "x"}):
            assert up.client.post("v1/suggestions", json=body).status_code == 400
        assert up.client.get("admin/suggestions").status_code == 401
    with running(FakeTranslator(), config) as up:  # they outlive the service
        said = up.client.get("admin/suggestions", headers=ADMIN)
        assert said.headers["content-type"].startswith("application/x-ndjson")
        first, second = map(json.loads, said.text.splitlines())
        assert first.pop("created") > 1.7e9
        assert first == {
            "src": "eng_Latn",
            "tgt": "swh_Latn",
            "text": "good\tmorning\n",
            "machine": "asubuhi nzuri",
            "translation": "habari za asubuhi",
        }
        assert (second["src"], second["tgt"], second["machine"]) == ("deu_Latn", "eng_Latn", "")
        table = up.client.get("admin/suggestions?format=tsv", headers=ADMIN).text.splitlines()
        assert table[0].split("\t") == ["created", "src", "tgt", "text", "machine", "translation"]
        assert table[1].split("\t")[3:] == ["good morning ", "asubuhi nzuri", "habari za asubuhi"]
        assert up.client.get("admin/suggestions?format=pdf", headers=ADMIN).status_code == 400
    with running(FakeTranslator()) as up:
        assert up.client.get("admin/suggestions", headers=ADMIN).status_code == 403


def test_all_are_read_whatever_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggestions, "_PAGE", 3)
    store = Suggestions(Database(IN_MEMORY, SCHEMA))
    for number in range(7):
        store.add("", Suggestion("eng_Latn", "deu_Latn", f"text {number}", "x"))
    texts = [json.loads(line)["text"] for line in store.lines()]
    assert texts == [f"text {number}" for number in range(7)]


def test_there_is_an_end_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggestions, "_OF_ONE", 2)
    monkeypatch.setattr(suggestions, "_MOST", 4)
    store = Suggestions(Database(IN_MEMORY, SCHEMA))
    one = Suggestion("eng_Latn", "deu_Latn", "text", "x")
    for owner in ("ann", "ann", "bob", ""):
        store.add(owner, one)
    for owner in ("ann", "bob", ""):
        with pytest.raises(ServiceError, match="no room"):
            store.add(owner, one)
