"""The report: whole as JSON, readable as Markdown, and a page that asks nothing of anyone."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from evaluate_helpers import HOSTILE, a_report

from m4nmt.core.config import ConfigError
from m4nmt.evaluate.html import page
from m4nmt.evaluate.report import load, markdown, write
from m4nmt.evaluate.types import mean

REPO = Path(__file__).resolve().parents[3]


def embedded(html: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert found
    data: dict[str, object] = json.loads(found[1])
    return data


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    report = a_report()
    write(report, tmp_path)
    assert load(tmp_path / "report.json") == report
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.md", "index.html"}


def test_a_broken_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"kind": "Report", "score": []}')
    with pytest.raises(ConfigError, match="did you mean 'scores'"):
        load(tmp_path / "report.json")


def test_means_weigh_directions_equally_and_keep_zero_shot_apart() -> None:
    report = a_report()
    assert len(report.supervised) == 10
    assert len(report.zero_shot) == 20
    values = [s.bleu for s in report.supervised if s.bleu is not None]
    assert mean(report.supervised, "bleu") == pytest.approx(sum(values) / 10)
    assert mean([], "bleu") is None


def test_markdown_marks_zero_shot_and_names_signatures() -> None:
    text = markdown(a_report())
    assert "| English → German (`eng_Latn-deu_Latn`) | high | tico19 | 998 |" in text
    assert "| German → Arabic (`deu_Latn-arb_Arab`) | zero-shot |" in text
    assert "`BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp`" in text
    assert "| supervised | 10 |" in text


def test_the_page_makes_no_request_and_nothing_escapes_its_script() -> None:
    html = page(a_report())
    assert "default-src 'none'" in html
    assert not re.search(r"""(?:src|href|url\()\s*=?\s*["']?(?:https?:)?//""", html)
    assert html.count("</script>") == 2
    data = embedded(html)
    samples = data["rows"][0]["x"]  # type: ignore[index]
    assert samples[1][1] == HOSTILE
    assert "{{" not in html.replace("{{data}}", "", 2 * 30)  # but for the one in the sample


def test_the_page_has_every_direction_with_its_values() -> None:
    report = a_report(testsets=("one", "two"))
    data = embedded(page(report))
    languages, rows = data["languages"], data["rows"]
    assert isinstance(rows, list)
    assert isinstance(languages, list)
    assert len(rows) == len(report.scores) == 60
    for row, score in zip(rows, report.scores, strict=True):
        assert f"{languages[row['s']][0]}-{languages[row['t']][0]}" == score.direction
        assert row["v"] == [round(score.value(m) or 0, 2) for m in report.metrics]
        assert row["zero"] == (not score.trained)
    assert languages[0] == ["eng_Latn", "English", 0]  # most training pairs first
    assert ["arb_Arab", "Arabic", 1] in languages


def test_a_hundred_languages_fit_into_one_page() -> None:
    toml = tomllib.loads((REPO / "data" / "manifests" / "bible100.toml").read_text("utf-8"))
    codes = list(dict.fromkeys(["eng_Latn", *toml["corpus"][0]["languages"]]))
    assert len(codes) > 100
    html = page(a_report(codes))
    assert len(codes) * (len(codes) - 1) == len(embedded(html)["rows"])  # type: ignore[arg-type]
    assert len(html.encode()) < 8_000_000


def test_samples_are_left_out_before_the_page_gets_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    report = a_report()
    assert len(embedded(page(report))["rows"][0]["x"]) == 2  # type: ignore[index]
    monkeypatch.setattr("m4nmt.evaluate.html._SAMPLE_BYTES", 1000)
    assert len(embedded(page(report))["rows"][0]["x"]) == 1  # type: ignore[index]
    monkeypatch.setattr("m4nmt.evaluate.html._SAMPLE_BYTES", 100)
    assert embedded(page(report))["rows"][0]["x"] == []  # type: ignore[index]
