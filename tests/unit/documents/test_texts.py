"""Plain text and subtitles."""

import pytest
import srt
from documents_made import WAYS, Fake, translate

from m4nmt.documents.translate import translate_document

TEXT = """A Title

  - item one
  - item two %s here
1) and a numbered one

This is a long line of some text that was wrapped at
some width by a person who types in a mail program
of old.
> quoted text here

Short one.
Another short one.
\u3000\t
See https://a.org/b or `code` <x id="1"/> &amp; 5."""

SRT = """1
00:00:01,000 --> 00:00:02,000
Hello <i>big world</i>,
how are you today my friend

2
00:00:03,000 --> 00:00:04,500 X1:1
- Who is there?
- {\\an8}Me there.

3
00:00:05,000 --> 00:00:06,000
♪ singing loud ♪

"""
VTT = """WEBVTT - a title

NOTE hello there

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.000 align:start
<v Bob>Hello &amp; good <b>bye</b> now

00:00:03.000 --> 00:00:04.000
<c.loud>Stop</c> <00:00:03.500>it
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(("name", "text"), [("a.txt", TEXT), ("a.srt", SRT), ("a.vtt", VTT)])
def test_same_texts_leave_every_byte(name: str, text: str, newline: str) -> None:
    for document in (text, text.rstrip("\n"), "\ufeff" + text):
        document = document.replace("\n", newline)
        assert translate(document, name, WAYS["same"]).decode() == document


@pytest.mark.parametrize("way", sorted(WAYS))
def test_lines_of_text_stay_lines(way: str) -> None:
    out = translate(TEXT, "a.txt", WAYS[way]).decode()
    blank = [not line.strip() for line in out.split("\n")]
    paragraphs = [line for line in TEXT.split("\n") if not line.strip()]
    assert blank.count(True) == len(paragraphs)
    assert "\n  - " in out
    for kept in ("%s", "https://a.org/b", "`code`", '<x id="1"/>', "&amp;"):
        assert out.count(kept) >= 1, kept


def test_wrapped_lines_are_one_text() -> None:
    fake = Fake(str.upper)
    out = translate_document(TEXT.encode(), "a.txt", "en", "de", fake).decode()
    assert any(t.startswith("This is a long") and t.endswith("of old.") for t in fake.given)
    assert {"item one", "and a numbered one", "Short one.", "Another short one."} <= set(fake.given)
    assert "WRAPPED AT\nSOME WIDTH" in out
    assert "> QUOTED TEXT HERE" in out


@pytest.mark.parametrize("way", sorted(WAYS))
def test_cues_keep_numbers_times_and_tags(way: str) -> None:
    out = translate(SRT, "a.srt", WAYS[way]).decode()
    before, after = list(srt.parse(SRT)), list(srt.parse(out))
    assert [(c.index, c.start, c.end, c.proprietary) for c in after] == [
        (c.index, c.start, c.end, c.proprietary) for c in before
    ]
    assert out.count("<i>") == out.count("</i>") == 1
    assert out.count("{\\an8}") == 1
    assert after[1].content.count("\n- ") == 1
    assert after[2].content.startswith("♪ ")


@pytest.mark.parametrize(("name", "head"), [("a.srt", ""), ("a.vtt", "WEBVTT\n\n")])
def test_a_cue_needs_no_blank_line_before_it(name: str, head: str) -> None:
    one, two = "00:00:01.000 --> 00:00:02.000", "00:00:03.000 --> 00:00:04.000"
    text = f"{head}1\n{one}\nHello\n42\n2\n{two}\nyou\n{two}\nmore\n"
    out = translate(text, name, str.upper).decode()
    assert out == text.replace("Hello\n42", "HELLO 42").replace("you", "YOU").replace(
        "more", "MORE"
    )


def test_lines_are_broken_where_viewers_can_read() -> None:
    out = translate(SRT, "a.srt", lambda text: "wort " * 14).decode()
    assert max(map(len, out.splitlines())) <= 42
    assert "\n\nwort" not in out


def test_vtt() -> None:
    fake = Fake(WAYS["reversed"])
    out = translate_document(VTT.encode(), "a.vtt", "en", "de", fake).decode()
    assert out == VTT.replace(
        "Hello &amp; good <b>bye</b> now", "now <b>bye</b> good &amp; Hello"
    ).replace("<c.loud>Stop</c> <00:00:03.500>it", "<00:00:03.500>it <c.loud>Stop</c>")
    assert fake.given == ["Hello & good bye now", "Stop it"]
