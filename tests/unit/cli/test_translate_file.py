"""The verb's own work: files, formats, messages, and the options that it has of `translate`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from m4nmt.cli import translate, translate_file, translating
from m4nmt.cli.main import main
from m4nmt.core.stages import SearchConfig
from m4nmt.translate.types import Translation
from m4nmt.translate.wishes import Wish, WishError

LINES_ALONE = {"n_best", "prefix", "required", "scores", "json"}  # what documents do not have


class Upper:
    """Loses every placeholder; "LONG" texts are marked."""

    search = SearchConfig()

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def translate(
        self, texts: list[str], src: str, tgt: str, search: SearchConfig, **more: Any
    ) -> list[list[Translation]]:
        self.calls.append({"src": src, "tgt": tgt, "search": search, **more})
        if more["wishes"].forbidden == ("unwritable",):
            raise WishError("the model's vocabulary cannot write 'unwritable'", 3)
        return [
            [
                Translation(
                    text.replace("{0}", "").upper(),
                    0.0,
                    marks=("truncated", "required") if "LONG" in text else (),
                )
            ]
            for text in texts
        ]


@pytest.fixture
def upper(monkeypatch: pytest.MonkeyPatch) -> Upper:
    made = Upper()
    monkeypatch.setattr(translating, "load_translator", lambda args: made)
    return made


@pytest.fixture
def folder(upper: Upper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*files: str) -> int:
    return main(["translate-file", "run", *files, "--from", "en", "--to", "de", "--beam", "2"])


def test_a_document_is_translated(
    folder: Path, upper: Upper, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "in.html").write_text("<html lang=en><p>all of it</p><p>open {0} <b>now</b></p>")
    assert call("in.html", "out.html") == 0
    assert (folder / "out.html").read_text() == (
        "<html lang=de><p>ALL OF IT</p><p>OPEN {0} <b>NOW</b></p>"
    )
    assert capsys.readouterr().err.startswith("look at 'open {0} now': a placeholder was lost")
    first = upper.calls[0]
    assert (first["src"], first["tgt"], first["search"].beam) == ("en", "de", 2)
    assert first["align"]
    assert first["wishes"] == Wish()


def options_of(add: Callable[[argparse.ArgumentParser], None]) -> dict[str, tuple[Any, ...]]:
    parser = argparse.ArgumentParser()
    add(parser)
    return {a.dest: (a.option_strings, a.type, a.help) for a in parser._actions if a.option_strings}


def test_documents_have_the_options_of_lines() -> None:
    lines, documents = map(options_of, (translate.add_arguments, translate_file.add_arguments))
    assert documents == {name: o for name, o in lines.items() if name not in LINES_ALONE}
    assert {"ensemble", "domain", "terms", "forbidden", "no_guard", "coverage"} <= set(documents)


def test_wishes_and_the_domain_reach_every_text(folder: Path, upper: Upper) -> None:
    (folder / "in.txt").write_text("all of it\n")
    (folder / "terms.tsv").write_text("house\tHaus\n")
    wished = ["--forbidden", "w", "--terms", "terms.tsv", "--domain", "law", "--no-guard"]
    assert call("in.txt", "out.txt", *wished, "--length-alpha", "0.5") == 0
    [made] = upper.calls
    assert made["wishes"] == Wish(forbidden=("w",))
    assert (made["terms"], made["domain"], made["guard"]) == ({"house": "Haus"}, "law", None)
    assert made["search"] == SearchConfig(beam=2, length_alpha=0.5)


def test_what_went_wrong_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = "\n\n".join(f"LONG number {n}" for n in range(11))
    (folder / "in.txt").write_text(f"all of it\n\nLONG {{0}} x\n\nLONG {{0}} x\n\n{many}\n")
    assert call("in.txt", "out.txt") == 0
    first, *others, last = capsys.readouterr().err.splitlines()
    why = "the length limit cut it; a phrase that was asked for is missing"
    lost = "a placeholder was lost or changed; the parts around it were translated alone"
    assert first == f"look at 'LONG {{0}} x': {lost}; {why}"
    assert others == [f"look at 'LONG number {n}': {why}" for n in range(9)]
    assert last == "and at 3 more"


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--forbidden", "unwritable"], 1, "translate-file: the model's vocabulary cannot write"),
        (["--terms", "terms.tsv", "--groups", "2"], 2, "required phrases and groups"),
        (["--forbidden", " "], 2, "--forbidden: a blank phrase"),
        (["--temperature", "2"], 2, "--temperature is of draws"),
    ],
)
def test_wishes_that_cannot_be_granted(
    options: list[str], code: int, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "in.txt").write_text("all of it\n")
    (folder / "terms.tsv").write_text("house\tHaus\n")
    assert call("in.txt", "out.txt", *options) == code
    assert says in capsys.readouterr().err
    assert not (folder / "out.txt").exists()


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (("in.html", "out.md"), "another format"),
        (("in.exe", "out.exe"), "files .exe are not translated"),
        (("bad.xlf", "out.xlf"), "document type"),
        (("none.txt", "out.txt"), "none.txt"),
    ],
)
def test_what_fails_says_why(
    files: tuple[str, str], says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "in.html").write_text("<p>text</p>")
    (folder / "bad.xlf").write_text('<!DOCTYPE x [<!ENTITY a "b">]><xliff/>')
    (folder / "out.xlf").write_text("stays")
    assert call(*files) == 1
    assert says in capsys.readouterr().err
    assert (folder / "out.xlf").read_text() == "stays"
