"""`m4nmt translate`: its options, what it prints where, and what it refuses."""

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from m4nmt.cli import decoding, translate, translating
from m4nmt.cli.main import main
from m4nmt.cli.marks import MEANINGS, Marked
from m4nmt.core.stages import SearchConfig
from m4nmt.translate.types import Link, Translation
from m4nmt.translate.wishes import Wish, WishError

Run = Callable[..., int]


class Echo:
    """A translator that says every line in one or two ways; "bad" ones are marked."""

    search = SearchConfig(beam=2)

    def __init__(self) -> None:
        self.calls: list[tuple[SearchConfig, dict[str, Any]]] = []

    def translate(
        self, texts: list[str], src: str, tgt: str, search: SearchConfig, **options: Any
    ) -> list[list[Translation]]:
        self.calls.append((search, options))
        for i, text in enumerate(texts):
            if text == "no":
                raise WishError("that cannot be", i)
        link, scores = (Link(0, 1, 0, 1),), (-0.25,)
        ways = [
            [
                Translation(
                    t,
                    -1.0,
                    (t,),
                    scores,
                    alignment=link,
                    confidence=0.5,
                    least=0.25,
                    marks=("empty", "retried") if t.startswith("bad") else (),
                ),
                Translation(t.upper(), -2.0, (t,), scores),
            ]
            for t in texts
        ]
        return [way[: search.n_best] if way[0].text.isalpha() else way[:1] for way in ways]


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Echo:
    made = Echo()
    monkeypatch.setattr(translating, "load_translator", lambda _: made)
    monkeypatch.setattr(translate, "_CHUNK", 2)
    return made


@pytest.fixture
def run(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*options: str, lines: str = "a\n1\nb\n") -> int:
        monkeypatch.setattr("sys.stdin", argparse.Namespace(buffer=io.BytesIO(lines.encode())))
        return main(["translate", "x", "--from", "en", "--to", "de", *options])

    return call


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["a", "1", "b"]),
        (["--scores"], ["-1.0000\ta", "-1.0000\t1", "-1.0000\tb"]),
        (["--n-best", "2"], ["1\ta", "1\tA", "2\t1", "3\tb", "3\tB"]),
        (["--n-best", "2", "--scores"], ["1\t-1.0000\ta", "1\t-2.0000\tA", "2\t-1.0000\t1"]),
    ],
)
def test_alternatives_are_told_apart_by_the_number_of_their_line(
    options: list[str], expected: list[str], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*options) == 0
    out = capsys.readouterr()
    assert out.out.splitlines()[: len(expected)] == expected
    assert out.err == ""


def test_json_is_an_object_a_line(run: Run, echo: Echo, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", "--n-best", "2", lines="é\nbad 1\n") == 0
    out = capsys.readouterr()
    first, second = map(json.loads, out.out.splitlines())
    assert (first["line"], second["line"]) == (1, 2)
    assert first["options"][0] == {
        "text": "é",
        "score": -1.0,
        "confidence": 0.5,
        "least": 0.25,
        "utility": 0.0,
        "finished": True,
        "marks": [],
        "alignment": [{"source": [0, 1], "target": [0, 1]}],
        "tokens": [{"text": "é", "score": -0.25}],
    }
    assert [option["text"] for option in first["options"]] == ["é", "É"]
    assert second["options"][0]["marks"] == ["empty", "retried"]
    assert out.err == "", "the marks are in the objects"
    assert echo.calls[0][1]["align"]
    assert echo.calls[0][1]["token_scores"]


def test_what_is_marked_is_told_with_its_lines(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(lines="a\nbad 1\nb\nbad 2\n") == 0
    out = capsys.readouterr()
    assert out.out.splitlines() == ["a", "bad 1", "b", "bad 2"]
    assert "2 of 4 lines are marked" in out.err
    assert "empty: 2 (there are no words in it): lines 2, 4" in out.err
    assert "retried: 2" in out.err


def test_long_lists_of_lines_are_counted_not_cut_in_silence() -> None:
    marked, out = Marked(), io.StringIO()
    for line in range(1, 31):
        marked.add(line, ("length",))
    marked.tell(out)
    assert "length: 30" in out.getvalue()
    assert "19, 20 and 10 more" in out.getvalue()
    assert set(MEANINGS) >= {"truncated", "empty", "repeats", "length", "language", "required"}


def test_every_setting_of_the_search_has_its_option(run: Run, echo: Echo) -> None:
    groups = ["--beam", "6", "--groups", "3", "--diversity", "0.7", "--coverage", "0.2"]
    lengths = ["--length-alpha", "0.3", "--max-ratio", "3", "--max-extra", "9"]
    assert run(*groups, *lengths, "--n-best", "2", "--batch-tokens", "99") == 0
    draws = ["--temperature", "0.5", "--top-k", "7", "--top-p", "0.9", "--seed", "4"]
    assert run("--sample", "--risk", "chrf", *draws) == 0
    first, second = echo.calls[0][0], echo.calls[-1][0]
    assert first == SearchConfig(
        beam=6, groups=3, diversity=0.7, coverage=0.2, length_alpha=0.3, max_ratio=3.0,
        max_extra=9, n_best=2, batch_tokens=99,
    )  # fmt: skip
    assert second == SearchConfig(
        beam=2, sample=True, risk="chrf", temperature=0.5, top_k=7, top_p=0.9, seed=4
    )
    names = {f.name for f in fields(SearchConfig)}
    default = SearchConfig()
    reached = {n for n in names for c in (first, second) if getattr(c, n) != getattr(default, n)}
    assert reached == names


def test_every_wish_has_its_option(run: Run, echo: Echo, tmp_path: Path) -> None:
    terms = tmp_path / "terms.tsv"
    terms.write_text("house\tHaus\n\n good day \tGuten Tag\r\nhouse\tHaus\n", encoding="utf-8")
    wishes = ["--required", "x y", "--required", "z", "--forbidden", "w", "--prefix", "Das "]
    assert run(*wishes, "--terms", str(terms), "--no-guard") == 0
    _, options = echo.calls[0]
    assert options["wishes"] == Wish("Das ", ("x y", "z"), ("w",))
    assert options["terms"] == {"house": "Haus", "good day": "Guten Tag"}
    assert options["guard"] is None
    assert options["domain"] == ""
    assert run("--domain", "law") == 0
    assert echo.calls[-1][1]["domain"] == "law"
    assert "guard" not in echo.calls[-1][1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--temperature", "0.5"], "--temperature is of draws: add --sample"),
        (["--top-k", "5"], "--top-k is of draws"),
        (["--seed", "5"], "--seed is of draws"),
        (["--diversity", "1"], "add --groups 2 or more"),
        (["--groups", "3", "--beam", "4"], "a beam of 3 would do"),
        (["--sample", "--groups", "2"], "draws have no groups"),
        (["--beam", "1", "--risk", "chrf"], "needs a beam of 2"),
        (["--risk", "bleu", "--coverage", "0.2"], "use one of them"),
        (["--required", "x", "--sample"], "required phrases and draws"),
        (["--terms", "good.tsv", "--groups", "2"], "required phrases and groups"),
        (["--required", "x", "--forbidden", "x"], "'x' is both --required and --forbidden"),
        (["--forbidden", " "], "--forbidden: a blank phrase"),
        (["--terms", "three.tsv"], "three.tsv, line 2: a line is a term, a tab, and"),
        (["--terms", "twice.tsv"], "line 2: 'a' is to be 'c', but an earlier line says 'b'"),
        (["--terms", "empty.tsv"], "empty.tsv holds no terms"),
    ],
)
def test_what_makes_no_sense_together_is_refused_before_anything_is_translated(
    options: list[str],
    says: str,
    run: Run,
    echo: Echo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"good": "a\tb\n", "three": "a\tb\na\tb\tc\n", "twice": "a\tb\na\tc\n", "empty": "\n"}
    for name, text in files.items():
        (tmp_path / f"{name}.tsv").write_text(text)
    assert run(*options) == 2
    out = capsys.readouterr()
    assert says in out.err
    assert out.out == ""
    assert echo.calls == []


def test_a_file_that_is_not_there_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--terms", "no/such.tsv") == 1
    assert capsys.readouterr().err == "m4nmt translate: no/such.tsv: No such file or directory\n"


def test_a_wish_that_a_line_cannot_have_names_the_line(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(lines="a\nb\nbad 1\nno\n") == 1
    out = capsys.readouterr()
    assert "standard input, line 4: that cannot be" in out.err
    assert out.out.splitlines() == ["a", "b"]


def test_scores_and_json_are_not_both(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run("--scores", "--json")
    assert left.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_an_ensemble_is_loaded_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from m4nmt.translate.translator import Translator

    seen: list[Any] = []
    monkeypatch.setattr(Translator, "load", lambda paths, **_: seen.append(paths))
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    a, b, c = (tmp_path / name for name in ("a", "b", "c"))
    parser = argparse.ArgumentParser()
    decoding.add_model(parser)
    decoding.add_ensemble(parser)
    decoding.load_translator(
        parser.parse_args([str(a), "--ensemble", str(b), "--ensemble", str(c)])
    )
    decoding.load_translator(parser.parse_args([str(a)]))
    alone = argparse.ArgumentParser()
    decoding.add_model(alone)
    decoding.load_translator(alone.parse_args([str(b)]))
    assert seen == [[a, b, c], [a], [b]]
