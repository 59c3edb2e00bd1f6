"""Hostile documents are refused, with a message, in little memory and little time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MEGABYTES = 100
SECONDS = 20.0


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, object]]:
    """Each attack in a process of its own, forked from one that has loaded everything."""
    done = subprocess.run(
        [sys.executable, str(HERE / "attack_runs.py")],
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
    )
    return {one["name"]: one for one in map(json.loads, done.stdout.splitlines())}


REFUSED = {
    "billion laughs": "declares a document type",
    "billion laughs in Word": "declares a document type",
    "quadratic entity": "declares a document type",
    "external entity": "declares a document type",
    "deep XML": "nested more than 200 deep",
    "deep HTML": "nested more than 200 deep",
    "zip bomb": "unpacks to too much",
    "zip bomb with lying sizes": "word/media/image1.png",
    "huge document part": "unpacks to too much",
    "overlapping members": "overlap",
    "zip of zips": "word/document.xml is missing",
    "too many members": "more than 5000 members",
    "parent in a name": "leads out of its folder",
    "absolute name": "leads out of its folder",
    "backslash in a name": "leads out of its folder",
    "link": "a link",
    "two of one name": "two members of one name",
    "encrypted": "encrypted",
    "truncated zip": "not a whole zip archive",
    "broken member": "is broken",
    "macros": "macros",
    "old Word": "old .doc",
    "a gigabyte in one line": "the limit is 20000000",
    "Latin-1": "is not UTF-8: byte 1",
    "NUL": "character 3 is NUL",
    "path as a catalogue": "not PO: line 1",
    "malformed PO": "not PO: line 3",
    "malformed SRT": "not SRT: the cue at line 5",
    "no SRT": "not SRT: the cue at line 1",
    "broken XML": "the XML is broken at line 1",
    "UTF-16 XML": "is not UTF-8",
    "not XLIFF": "not XLIFF",
    "too many inline tags": "more than 80000 tags and texts",
    "a huge paragraph": "more than 80000 tags and texts",
    "a paragraph without end": "more than 200000 characters",
    "unknown ending": "files .exe are not translated",
    "a Word macro file": "save it without macros",
}
BOUNDED = {"unclosed tags", "unclosed comments", "huge attribute", "markdown brackets", "backticks"}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(outcomes: dict[str, dict[str, object]], name: str) -> None:
    outcome = outcomes[name]
    assert REFUSED[name] in str(outcome["error"])
    assert str(outcome["kind"]) == "DocumentError"
    assert "\n" not in str(outcome["error"])


@pytest.mark.parametrize("name", sorted(BOUNDED))
def test_translated_or_refused(outcomes: dict[str, dict[str, object]], name: str) -> None:
    assert outcomes[name]["kind"] in ("", "DocumentError")


def test_little_memory_and_time(outcomes: dict[str, dict[str, object]]) -> None:
    assert set(outcomes) == set(REFUSED) | BOUNDED
    for name, outcome in outcomes.items():
        assert float(str(outcome["megabytes"])) < MEGABYTES, name
        assert float(str(outcome["seconds"])) < SECONDS, name
