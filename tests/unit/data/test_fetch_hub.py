"""Corpora on a hub of datasets: fetched, read as a stream, and out of reach."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fake_hub import COMMIT, NAME, hub

pytestmark = pytest.mark.slow  # `datasets` is imported anew in each process

EACH = 'each = [{ a = "de", b = "en" }, { a = "en", b = "fr" }]'
FETCHED = f"""
name = "talks"
[[corpus]]
name = "{{a}}-{{b}}"
split = "train"
format = "parquet"
path = "{{a}}-{{b}}.parquet"
columns = {{ "{{a}}" = "translation.{{a}}", "{{b}}" = "translation.{{b}}" }}
{EACH}
[[fetch]]
file = "{{a}}-{{b}}.parquet"
dataset = {{ hub = "{NAME}", config = "{{a}}-{{b}}", split = "train", revision = "{COMMIT}" }}
{EACH}
"""
STREAMED = f"""
[[corpus]]
name = "{{a}}-{{b}}"
split = "train"
format = "datasets"
columns = {{ "{{a}}" = "translation.{{a}}", "{{b}}" = "translation.{{b}}" }}
dataset = {{ hub = "{NAME}", config = "{{a}}-{{b}}", split = "test", revision = "{COMMIT}" }}
{EACH}
"""
READ = """
import sys
from m4nmt.data import manifest
from m4nmt.data.preparing.inputs import inputs
from m4nmt.data.formats import read
from m4nmt.data.read.types import Faults
found = manifest.load(sys.argv[1])
codes = ["deu_Latn", "eng_Latn", "fra_Latn"]
for item in inputs(found, found.corpora, codes):
    print(item.corpus.name, item.languages, list(read(item.source, Faults())))
"""


def run(folder: Path, endpoint: str, *command: str) -> "subprocess.CompletedProcess[str]":
    """A program with this hub and a cache of its own; `datasets` reads both when it is imported."""
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home")}
    env |= {"no_proxy": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=200)


def m4nmt(folder: Path, endpoint: str, *args: str) -> "subprocess.CompletedProcess[str]":
    return run(folder, endpoint, sys.executable, "-m", "m4nmt.cli.main", *args)


def test_each_config_is_fetched_from_its_commit(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(FETCHED)
    with hub(tmp_path / "hub") as (endpoint, asked):
        done = m4nmt(tmp_path, endpoint, "data", "fetch", "m.toml", "--to", "out")
        assert done.returncode == 0, done.stderr
        assert "HTTP Request" not in done.stderr
        before = len(asked)
        again = m4nmt(tmp_path, endpoint, "data", "fetch", "m.toml", "--to", "out", "--json")
        assert json.loads(again.stdout)["files"] == dict.fromkeys(
            ("de-en.parquet", "en-fr.parquet"), "is there"
        )
        assert len(asked) == before
    assert all(COMMIT in line for line in asked if "/resolve/" in line)
    for pair in ("de-en", "en-fr"):
        one, other = pair.split("-")
        rows = pq.read_table(tmp_path / "out" / f"{pair}.parquet").to_pylist()
        assert [row["translation"] for row in rows] == [
            {one: f"{one} {n} train", other: f"{other} {n}"} for n in range(7)
        ]


def test_a_config_is_read_as_a_stream(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(STREAMED)
    with hub(tmp_path / "hub") as (endpoint, _):
        done = run(tmp_path, endpoint, sys.executable, "-c", READ, "m.toml")
    assert done.stdout.splitlines() == [
        "de-en ('deu_Latn', 'eng_Latn') [('de 0 test', 'en 0'), ('de 1 test', 'en 1')]",
        "en-fr ('eng_Latn', 'fra_Latn') [('en 0 test', 'fr 0'), ('en 1 test', 'fr 1')]",
    ], done.stderr


def test_a_hub_out_of_reach_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(FETCHED)
    done = m4nmt(tmp_path, "http://127.0.0.1:9", "data", "fetch", "m.toml", "--to", "out")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert f"cannot reach the hub for {NAME}" in said
    assert "get the file on another machine, put it at" in said
    assert "Traceback" not in said
