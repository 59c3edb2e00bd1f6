"""`m4nmt data` and `m4nmt languages`: what they print and how they end."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from m4nmt.cli.main import main
from m4nmt.data import manifest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from data_made import small

RECIPE = """
from dataclasses import replace

from m4nmt.core.names import recipe
from m4nmt.data.settings import BlockConfig, DataConfig, Mass, TokenizerConfig
from m4nmt.train.settings import RunConfig


def run() -> RunConfig:
    debug = recipe("debug")()
    tokenizer = TokenizerConfig(vocab=400, sample=3000, threads=1)
    data = DataConfig(
        manifest="{folder}/manifest.toml", root="{folder}", tokenizer=tokenizer,
        blocks=BlockConfig(max_length=64, tokens=512), tasks=(Mass(languages=("de",)),),
    )
    return replace(debug, name="made", data=data)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A recipe, and a run folder in which its data is prepared."""
    folder = tmp_path_factory.mktemp("cli")
    small(folder)
    (folder / "my.py").write_text(RECIPE.replace("{folder}", str(folder)))
    recipe, run = f"{folder}/my.py:run", str(folder / "run")
    assert main(["prepare", recipe, "--run", run]) == 0
    return recipe, run


def told(capsys: pytest.CaptureFixture[str], *command: str) -> Any:
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_inspect(made: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "data", "inspect", made[1])
    assert (found["languages"], found["directions"], found["examples"]) == (3, 7, 840)
    assert [shard["lines"] for shard in found["shards"]] == [120] * 3 + [10] * 3
    assert main(["data", "inspect", made[1] + "/data"]) == 0
    out = capsys.readouterr().out
    assert "fingerprint" in out
    assert "CC0-1.0" in out


def test_verify(made: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    assert told(capsys, "data", "verify", made[1])["damaged"] == {}
    copy = tmp_path / "copy"
    shutil.copytree(made[1], copy)
    path = copy / "data" / "store" / "c.train.eng_Latn.arrow"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw)
    assert main(["data", "verify", str(copy)]) == 1
    assert "store/c.train.eng_Latn.arrow: not the bytes" in capsys.readouterr().out
    assert main(["prepare", made[0], "--run", str(copy)]) == 0
    assert main(["data", "verify", str(copy)]) == 0


def test_sample(made: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    rows = told(capsys, "data", "sample", made[1], "en-de", "-n", "3")
    assert len(rows) == 3
    assert set(rows[0]) == {"number", "source", "target"}
    assert main(["data", "sample", made[1], "eng_Latn-deu_Latn", "--split", "dev", "-n", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    source = told(capsys, "data", "sample", made[1], "de-de:mass", "-n", "1")[0]["source"]
    assert source.startswith("<2deu_Latn> <mass> ")
    assert source.count("<mask>") > 1
    assert main(["data", "sample", made[1], "en-sw"]) == 1
    assert "unknown language 'swh_Latn'" in capsys.readouterr().err


def test_plan_is_what_prepare_prints(
    made: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, run = made
    planned = told(capsys, "data", "plan", recipe, "--run", run)
    assert planned == told(capsys, "prepare", recipe, "--run", run)
    assert main(["data", "plan", recipe, "--run", run + "-none"]) == 1
    assert "run m4nmt prepare" in capsys.readouterr().err


def test_a_plan_of_other_directions_than_were_prepared_is_refused(
    made: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in (["data", "plan"], ["mixture"]):
        asked = [*verb, made[0], "--run", made[1], "--set"]
        assert main([*asked, 'data.directions.languages=["en", "de"]']) == 2
        said = capsys.readouterr().err
        assert "prepared for other directions: 7, not 3; the recipe does not want deu" in said
        assert main([*asked, 'data.directions.languages=["xx"]']) == 2
        assert "unknown language 'xx'" in capsys.readouterr().err
        assert main([*asked, "data.mixture.T=1"]) == 0


def test_vocab(made: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "vocab.html"
    sizes = ["--sizes", "340", "400", "--html", str(page), "--lines", "10"]
    rows = told(capsys, "data", "vocab", made[0], "--run", made[1], *sizes)
    assert [row["asked"] for row in rows] == [340, 400]
    assert {cost["language"] for cost in rows[0]["costs"]} == {"deu_Latn", "eng_Latn", "fra_Latn"}
    assert page.read_text().startswith("<!doctype html>")
    assert main(["data", "vocab", made[0], "--sizes", "0"]) == 2
    for wrong in (tmp_path, tmp_path / "none" / "x.html"):
        assert main(["data", "vocab", made[0], "--run", made[1], "--html", str(wrong)]) == 2
        assert "name a file in a folder that is there" in capsys.readouterr().err
    assert main(["data", "inspect", made[1]]) == 0  # the store is as it was


def test_list(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("M4NMT_DATA", raising=False)
    rows = {row["name"]: row for row in told(capsys, "data", "list")}
    assert rows["flores200"]["languages"] == 204
    assert not rows["flores200"]["here"]
    assert all(row["license"] and row["url"] and row["codes"] for row in rows.values())
    assert main(["data", "list"]) == 0
    assert "opus100" in capsys.readouterr().out


def test_fetch_says_where_and_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("M4NMT_DATA", raising=False)
    assert main(["data", "fetch", "flores200"]) == 2
    assert "--to DIR, or set M4NMT_DATA" in capsys.readouterr().err
    (tmp_path / "flores200").mkdir()
    (tmp_path / "flores200" / "flores200_dataset.tar.gz").write_bytes(b"another version")
    assert main(["data", "fetch", "flores200", "--to", str(tmp_path)]) == 1
    assert "the manifest says b8b0b767" in capsys.readouterr().err


def test_what_was_brought_without_a_known_hash_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talks = tmp_path / "talks.toml"
    talks.write_text(
        'folder = "talks"\nlicense = "CC0-1.0"\n[[corpus]]\nname = "talks"\nsplit = "train"\n'
        'path = "{lang}.txt"\nlanguages = ["eng_Latn", "deu_Latn"]\n'
        '[[fetch]]\nfile = "eng_Latn.txt"\nurl = "https://example.org/eng_Latn.txt"\n'
    )
    (tmp_path / "talks").mkdir()
    (tmp_path / "talks" / "eng_Latn.txt").write_bytes(b"brought by hand")
    found = told(capsys, "data", "fetch", str(talks), "--to", str(tmp_path))
    assert found["files"] == {"eng_Latn.txt": "noted"}
    assert main(["data", "fetch", str(talks), "--to", str(tmp_path)]) == 0
    assert "1 is there" in capsys.readouterr().out


def test_tables_are_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["languages"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert any(row.split()[0] == "swh_Latn" and row.endswith("tico19-original") for row in rows)
    assert main(["data", "list"]) == 0
    rows = capsys.readouterr().out.splitlines()
    licence = "unsure: mined from the web; Common Crawl terms of use, authors keep their rights"
    assert any(row.startswith("ccmatrix") and row.endswith(licence) for row in rows)


def test_languages_of_all_corpora(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "names", lambda: ["multi30k", "tico19"])
    rows = {row["code"]: row for row in told(capsys, "languages")}
    assert len(rows) == 37
    assert rows["swh_Latn"]["family"] == "Niger-Congo/Bantu"
    assert rows["swh_Latn"]["corpora"] == "tico19"
    assert rows["eng_Latn"]["corpora"] == "multi30k tico19"
    assert rows["arb_Arab"]["direction"] == "rtl"
