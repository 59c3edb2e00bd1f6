"""The command line's own work: options, exit codes, messages. What verbs do is tested elsewhere."""

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from m4nmt.cli import decoding, doctor
from m4nmt.cli.lines import read_lines
from m4nmt.cli.main import VERBS, build_parser, main
from m4nmt.core.stages import SearchConfig


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert f"m4nmt {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["train", "bse"], "did you mean 'base'"),
        (["train", "debug", "--set", "train.stps=1"], "did you mean 'steps'"),
        (["train", "nowhere.py:run"], "there is no file nowhere.py"),
        (["evaluate", "no-such-run"], "no run or model folder no-such-run"),
        (["prepare", "debug", "--set", "data.manifest=mlti30k"], "multi30k"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    command: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("config.json"))


def test_unknown_verb_names_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["trian"])
    assert left.value.code == 2
    assert "train" in capsys.readouterr().err


def test_recipes_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["base"]["layers"] == [6, 6]
    assert rows["m4_6b"]["parameters"] > 5.5e9
    assert all(row["summary"] for row in rows.values())


def test_lines_end_at_newlines_only() -> None:
    stream = io.BytesIO("a\u2028b\x0cc\r\nd\n\ne".encode())
    assert list(read_lines(stream, "x")) == ["a\u2028b\x0cc", "d", "", "e"]


def test_a_broken_line_is_named() -> None:
    with pytest.raises(ValueError, match=r"in\.txt, line 2: not UTF-8"):
        list(read_lines(io.BytesIO(b"fine\n\xff\xfe\n"), "in.txt"))


def test_search_options_change_the_recipes_settings() -> None:
    parser = argparse.ArgumentParser()
    decoding.add_search(parser)
    decoding.add_n_best(parser)
    base = SearchConfig(beam=5, length_alpha=0.6)
    assert decoding.search_from(parser.parse_args([]), base) == base
    args = parser.parse_args(["--n-best", "8", "--sample", "--top-k", "3"])
    assert decoding.search_from(args, base) == SearchConfig(
        beam=8, n_best=8, length_alpha=0.6, sample=True, top_k=3
    )


def test_doctor_finds_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.examine()["problems"] == []
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "pyarrow" else "1")
    assert doctor.examine()["problems"] == ["package pyarrow is missing"]


def test_doctor_names_what_is_missing_also_where_it_needs_it_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "torch" else "1")
    found = doctor.examine()
    assert found["problems"] == ["package torch is missing"]
    assert (found["cpu_features"], found["gpus"]) == ("", [])


_STARTED = """
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO
from m4nmt.cli.main import main
with redirect_stdout(StringIO()), suppress(SystemExit):
    main(sys.argv[1:])
print(*({"torch", "pyarrow"} & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    ("command", "loads"),
    [
        (["--help"], ""),
        (["train", "--help"], ""),
        (["data", "list"], "pyarrow"),
        (["prepare", "debug", "--set", "data.manifest=none"], "pyarrow"),
    ],
)
def test_a_verb_starts_without_what_the_others_need(command: list[str], loads: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", _STARTED, *command], check=True, capture_output=True, text=True
    )
    assert found.stdout.split() == loads.split()


def test_the_parser_has_no_verb_without_a_file() -> None:
    folder = Path(__file__).parents[3] / "m4nmt" / "cli"
    assert all((folder / f"{verb.replace('-', '_')}.py").is_file() for verb in VERBS)
    assert build_parser().prog == "m4nmt"
