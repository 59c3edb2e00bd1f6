"""The verb's own work: files, formats, messages."""

from pathlib import Path

import pytest

from m4nmt.cli import translate_file
from m4nmt.cli.main import main
from m4nmt.core.stages import SearchConfig
from m4nmt.translate.types import Translation


class Upper:
    """Loses every placeholder."""

    search = SearchConfig()

    def translate(
        self, texts: list[str], src: str, tgt: str, search: SearchConfig, **more: object
    ) -> list[list[Translation]]:
        assert (src, tgt, search.beam) == ("en", "de", 2)
        assert more.keys() == {"align", "cancelled"}
        return [[Translation(text.replace("{0}", "").upper(), 0.0)] for text in texts]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(translate_file, "load_translator", lambda args: Upper())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*files: str) -> int:
    return main(["translate-file", "run", *files, "--from", "en", "--to", "de", "--beam", "2"])


def test_a_document_is_translated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "in.html").write_text("<html lang=en><p>all of it</p><p>open {0} <b>now</b></p>")
    assert call("in.html", "out.html") == 0
    assert (folder / "out.html").read_text() == (
        "<html lang=de><p>ALL OF IT</p><p>OPEN {0} <b>NOW</b></p>"
    )
    assert "look at 'open {0} now': a placeholder was lost" in capsys.readouterr().err


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
