"""`m4nmt serve`: its options reach the service, and its models have names."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from m4nmt.cli import serve
from m4nmt.core.config import ConfigError
from m4nmt_serve import server
from m4nmt_serve.operate import digest


def parsed(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return parser.parse_args(given)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the server was begun with."""
    found: dict[str, Any] = {}

    def run(loads: Any, **more: Any) -> None:
        found.update(more, loads=loads)

    monkeypatch.setattr(server, "run", run)
    monkeypatch.delenv("M4NMT_ADMIN_TOKEN", raising=False)
    return found


def folders(tmp_path: Path, *names: str) -> list[str]:
    for name in names:
        (tmp_path / name).mkdir(parents=True)
    return [str(tmp_path / name) for name in names]


def test_its_options_reach_the_service(
    tmp_path: Path, begun: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M4NMT_ADMIN_TOKEN", " sesame ")
    (run,) = folders(tmp_path, "run")
    options = ["--host", "::1", "--port", "81", "--workers", "2", "--log-texts"]
    options += ["--keys", "keys.json", "--database", "db", "--set", "deadline=20"]
    assert serve.run(parsed(run, *options, "--set", "max_beam=5")) == 0
    config = begun["config"]
    assert (begun["host"], begun["port"]) == ("::1", 81)
    assert (config.workers, config.log_texts, config.deadline, config.max_beam) == (2, True, 20, 5)
    assert (config.keys, config.database) == ("keys.json", "db")
    assert config.admin_sha256 == digest("sesame")
    assert "sesame" not in repr(config)
    assert config.admin_sha256 not in repr(config)


def test_without_a_token_administration_is_closed(tmp_path: Path, begun: dict[str, Any]) -> None:
    serve.run(parsed(*folders(tmp_path, "run")))
    assert begun["config"].admin_sha256 == ""


def test_each_model_is_called_by_its_folder_or_as_one_says(
    tmp_path: Path, begun: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    large, model, other = folders(tmp_path, "large", "small/model", "other")
    serve.run(parsed(large, model, f"third={other}", "--device", "cpu", "--engine", "native"))
    assert list(begun["loads"]) == ["large", "small", "third"]
    loaded: list[argparse.Namespace] = []
    for load in begun["loads"].values():
        monkeypatch.setattr("m4nmt.translate.translator.Translator.load", _load(loaded))
        load()
    assert [one.model for one in loaded] == [[Path(x)] for x in (large, model, other)]
    assert {(one.device, one.engine, one.precision) for one in loaded} == {
        ("cpu", "native", "auto")
    }


def _load(loaded: list[argparse.Namespace]) -> Any:
    def load(model: Path, **more: Any) -> None:
        loaded.append(argparse.Namespace(model=model, **more))

    return load


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["a", "x/a"], "two models are called 'a'; name one: NAME="),
        (["a", "b=nowhere"], "no run or model folder nowhere"),
        (["a", "--set", "deadlines=3"], "deadline"),
        (["a", "--set", "deadline=0"], "times must be positive"),
        (["a", "--workers", "0"], "at least 1"),
    ],
)
def test_what_cannot_be_is_said(
    tmp_path: Path, begun: dict[str, Any], given: list[str], says: str
) -> None:
    folders(tmp_path, "a", "x/a")
    given = [str(tmp_path / one) if one in ("a", "x/a") else one for one in given]
    with pytest.raises((ConfigError, ValueError), match=says):
        serve.run(parsed(*given))
    assert not begun
