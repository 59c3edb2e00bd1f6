"""API keys: the door of each dialect, rates, quotas, the file, and who owns what."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serve_helpers import FakeTranslator, Running, running

from m4nmt.cli.main import main
from m4nmt.core.config import ConfigError
from m4nmt_serve import keys
from m4nmt_serve.settings import ServeConfig

LT = {"q": "12345", "source": "en", "target": "de"}
OWN = {"text": "12345", "source": "en", "target": "de"}
DEEPL = {"text": ["12345"], "target_lang": "DE"}
GOOGLE = {"q": "12345", "target": "de"}
AZURE = [{"Text": "12345"}]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A file of keys, and the keys."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    given = {name: keys.add(path, name) for name in ("ann", "bob")}
    given["small"] = keys.add(path, "small", chars_per_month=12)
    given["slow"] = keys.add(path, "slow", per_minute=8)
    return path, given


@pytest.fixture(scope="module")
def locked(made: tuple[Path, dict[str, str]]) -> Iterator[Running]:
    """A server that wants keys."""
    config = ServeConfig(keys=str(made[0]), database=str(made[0].parent / "all.db"))
    with running(FakeTranslator(), config) as up:
        yield up


@pytest.mark.parametrize(
    ("path", "body", "ways", "refused", "spent"),
    [
        ("translate", LT, ["?api_key=", "json:api_key", "x-api-key", "Bearer"], 403, 403),
        ("v1/translate", OWN, ["json:api_key", "x-api-key", "Bearer"], 401, 403),
        ("v2/translate", DEEPL, ["DeepL-Auth-Key", "json:auth_key", "?auth_key="], 403, 456),
        ("language/translate/v2", GOOGLE, ["?key=", "x-goog-api-key", "Bearer"], 403, 403),
        ("azure/translate?to=de", AZURE, ["ocp-apim-subscription-key", "Bearer"], 401, 403),
    ],
)
def test_the_door_of_each_dialect(
    locked: Running,
    made: tuple[Path, dict[str, str]],
    path: str,
    body: Any,
    ways: list[str],
    refused: int,
    spent: int,
) -> None:
    def post(way: str, key: str) -> int:
        name = way.removeprefix("json:")
        if way.startswith("?"):
            return locked.client.post(f"{path}{way}{key}", json=body).status_code
        if way.startswith("json:"):
            return locked.client.post(path, json=body | {name: key}).status_code
        scheme = name[0].isupper()
        headers = {"Authorization": f"{name} {key}"} if scheme else {name: key}
        return locked.client.post(path, json=body, headers=headers).status_code

    assert locked.client.post(path, json=body).status_code == refused
    for way in ways:
        assert post(way, made[1]["ann"]) == 200, way
        assert post(way, "wrong") == refused, way
        assert post(way, made[1]["ann"][:-1]) == refused, way
    codes = [post(ways[0], made[1]["small"]) for _ in range(4)]
    assert codes[-1] == spent


def test_what_needs_no_key(locked: Running) -> None:
    for path in ("", "health", "languages", "v1/languages", "azure/languages", "v1/models"):
        assert locked.client.get(path).status_code == 200, path
    said = locked.client.get("frontend/settings").json()
    assert said["keyRequired"] is said["apiKeys"] is True
    for path in ("v2/languages", "v2/usage", "v3/glossaries", "language/translate/v2/languages"):
        assert locked.client.get(path).status_code == 403, path
    for path in ("detect", "suggest", "translate_file", "v2/document"):
        assert locked.client.post(path, json={}).status_code == 403, path
    for path in ("v1/words", "v1/score", "v1/detect", "v1/suggestions", "v1/glossaries"):
        assert locked.client.post(path, json={}).status_code == 401, path


def test_a_quota_counts_what_was_done(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = keys.add(path, "one", chars_per_month=22)
    config = ServeConfig(keys=str(path), database=str(tmp_path / "all.db"))
    headers = {"Authorization": f"DeepL-Auth-Key {key}"}

    def post(up: Running, text: str) -> int:
        ask = {"text": [text], "target_lang": "DE"}
        return up.client.post("v2/translate", json=ask, headers=headers).status_code

    with running(FakeTranslator(), config) as up:
        assert post(up, "1234567890") == 200
        assert post(up, "POISON") == 500  # which costs nothing
        assert post(up, "1234567890123") == 456
        usage = up.client.get("v2/usage", headers=headers).json()
        assert usage == {"character_count": 10, "character_limit": 22}
    with running(FakeTranslator(), config) as up:  # it outlives the service
        assert post(up, "123456789012") == 200
        assert post(up, "1") == 456


def test_who_leaves_a_stream_pays_for_what_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    headers = {"Authorization": f"Bearer {(key := keys.add(path, 'one'))}"}
    config = ServeConfig(keys=str(path), batch_tokens=4, batch_wait=0.0)
    with running(FakeTranslator(seconds=0.4), config) as up:
        body = {"text": "First one. Second one.", "target": "de", "source": "en", "stream": True}
        with up.client.stream("POST", "v1/translate", json=body, headers=headers) as response:
            assert next(response.iter_lines()) == "event: sentence"
        deadline, used = time.monotonic() + 5, -1
        while used != len("First one.") and time.monotonic() < deadline:
            usage = up.client.get("v2/usage", headers={"Authorization": f"DeepL-Auth-Key {key}"})
            used = usage.json()["character_count"]
        assert used == len("First one.")


def test_a_rate(locked: Running, made: tuple[Path, dict[str, str]]) -> None:
    headers = {"Authorization": f"Bearer {made[1]['slow']}"}
    found = [locked.client.post("translate", json=LT, headers=headers) for _ in range(3)]
    assert [each.status_code for each in found] == [200, 200, 429]
    assert 1 <= int(found[2].headers["retry-after"]) <= 8
    assert "8 requests a minute" in found[2].json()["error"]


def test_everybody_sees_only_their_own(locked: Running, made: tuple[Path, dict[str, str]]) -> None:
    ann, bob = ({"x-api-key": made[1][name]} for name in ("ann", "bob"))
    body = {"name": "n", "source": "en", "target": "de", "entries": {"bird": "Vogel"}}
    number = locked.client.post("v1/glossaries", json=body, headers=ann).json()["id"]
    assert locked.client.get("v1/glossaries", headers=bob).json() == {"glossaries": []}
    for method, path in (("GET", "v1/glossaries/"), ("DELETE", "v1/glossaries/")):
        assert locked.client.request(method, path + number, headers=bob).status_code == 404
    ask = OWN | {"glossary": number}
    assert locked.client.post("v1/translate", json=ask, headers=bob).status_code == 404
    assert locked.client.post("v1/translate", json=ask, headers=ann).status_code == 200
    theirs = {"Authorization": f"DeepL-Auth-Key {made[1]['bob']}"}
    assert locked.client.get(f"v3/glossaries/{number}", headers=theirs).status_code == 404


def test_the_file_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_LOOK", 0.0)
    path = tmp_path / "keys.json"
    first = keys.add(path, "first", chars_per_month=20)
    with running(FakeTranslator(), ServeConfig(keys=str(path))) as up:

        def post(key: str) -> int:
            return up.client.post("translate", json=LT | {"api_key": key}).status_code

        assert post(first) == 200
        second = keys.add(path, "second")
        assert post(second) == 200
        keys.remove(path, "first")
        assert post(first) == 403
        path.write_text("{", "utf-8")  # broken: the last good one counts
        assert post(second) == 200


def test_keys_are_kept_as_hashes_and_are_long() -> None:
    assert len(keys.sha256("x")) == 64
    with pytest.raises(ValueError, match="64 digits"):
        keys.Key(name="x", sha256="plain")
    with pytest.raises(ValueError, match="0 or more"):
        keys.Key(name="x", sha256="0" * 64, per_minute=-1)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys.json"
    limits = ["--chars", "500", "--per-minute", "60"]
    assert main(["keys", "add", str(path), "ann", *limits]) == 0
    key = capsys.readouterr().out.strip()
    assert len(key) >= 40
    assert key not in path.read_text("utf-8")
    assert keys.sha256(key) in path.read_text("utf-8")
    assert main(["keys", "list", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": "ann", "chars_per_month": 500, "per_minute": 60}
    ]
    assert main(["keys", "add", str(path), "ann"]) == 2
    assert main(["keys", "add", str(path), "bob", "--chars", "-5"]) == 2
    assert main(["keys", "remove", str(path), "ann"]) == 0
    assert main(["keys", "remove", str(path), "ann"]) == 2
    assert "no key named 'ann'" in capsys.readouterr().err
    assert main(["keys", "list", str(tmp_path / "none")]) == 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["add", "FILE", " "], "needs a name"),
        (["add", "FILE", "x", "--chars", "-5"], "a limit of a key is a number from 0"),
        (["list", "FILE"], "no-file.json: No such file or directory; m4nmt keys add"),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], told: str
) -> None:
    file = tmp_path / "no-file.json"
    assert main(["keys", *(x.replace("FILE", str(file)) for x in given)]) == 2
    assert told in capsys.readouterr().err
    assert not file.exists()


def test_a_service_does_not_start_without_its_files(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="m4nmt keys"),
        running(FakeTranslator(), ServeConfig(keys=str(tmp_path / "none.json"))),
    ):
        pass
    with (
        pytest.raises(ValueError, match="there is no folder"),
        running(FakeTranslator(), ServeConfig(database=str(tmp_path / "none" / "all.db"))),
    ):
        pass
    (tmp_path / "text").write_text("no database" * 100, "utf-8")
    with (
        pytest.raises(ValueError, match="name another file"),
        running(FakeTranslator(), ServeConfig(database=str(tmp_path / "text"))),
    ):
        pass
