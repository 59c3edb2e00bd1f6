"""Markdown: structure in is structure out, as an independent parser sees it."""

from collections import Counter

import pytest
from documents_made import WAYS, Fake, translate
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from m4nmt.documents.markdown_inline import tokens
from m4nmt.documents.translate import translate_document

PAGE = """---
title: front matter stays
---
# Big *news* today #

Text with **bold words** and
more `code here` see [the link](http://x.y "t") and [ref] too\x20\x20
hard break

> quoted one
> quoted two

- [ ] a task here
  going on
    - inner item

Set head
--------

| a col | b\\|c |
|-------|------|
| one x | `2` two |

[ref]: http://x "stays"
[^1]: A note

    indented code stays

```python
fenced = "code stays"
```

<div>html stays</div>

1. first <b>bold x</b> and ![an image](a.png) end
2. mail <a@b.org> or &lt; 5 \\* 3
"""


def test_what_is_given_and_what_comes_out() -> None:
    fake = Fake(str.upper)
    out = translate_document(PAGE.encode(), "a.md", "en", "de", fake).decode()
    for stays in (
        "title: front matter stays",
        "indented code stays",
        'fenced = "code stays"',
        "<div>html stays</div>",
        '[ref]: http://x "stays"',
        "![an image](a.png)",
    ):
        assert stays in out
    for changed in (
        "# BIG *NEWS* TODAY #",
        "TEXT WITH **BOLD WORDS** AND MORE `code here` SEE",
        '[THE LINK](http://x.y "t")',
        "[REF][ref] TOO  \nHARD BREAK",
        "| A COL |",
        "> QUOTED ONE QUOTED TWO",
        "- [ ] A TASK HERE GOING ON",
        "    - INNER ITEM",
        "SET HEAD\n-----",
        "| `2` TWO |",
        "1. FIRST <b>BOLD X</b>",
        "<a@b.org> OR",
    ):
        assert changed in out
    assert shape(out) == shape(PAGE)
    assert "2. MAIL <a@b.org> OR < 5 * 3" in out


def test_what_dialects_have_stays() -> None:
    page = (
        "# one {#id .x}\n\nif $a + b$ is {% include a %} or $$\\int c$$ it costs $5 and $6 :cat:\n"
        "\nterm\n: one meaning\n: another\n\n[^1]: first note\n[^b]: next `x`\n"
    )
    fake = Fake(str.upper)
    out = translate_document(page.encode(), "a.md", "en", "de", fake).decode()
    kept = ("{#id .x}", "$a + b$", "{% include a %}", "$$\\int c$$", ":cat:", "[^b]", "`x`")
    made = page.upper()
    for text in kept:
        made = made.replace(text.upper(), text)
    assert out == made
    assert {"one meaning", "another", "first note"} <= {*fake.given}


def test_same_texts_leave_every_byte() -> None:
    for page in (PAGE, PAGE.replace("\n", "\r\n"), "\ufeff" + PAGE):
        assert translate(page, "a.md", WAYS["same"]).decode() == page


def shape(document: str) -> Counter[str]:
    """How many of which blocks and tags, and where links lead."""
    found: Counter[str] = Counter()
    parser = MarkdownIt("commonmark").enable("table").enable("strikethrough")
    for block in parser.parse(document):
        for token in [block, *(block.children or [])]:
            if token.type not in ("text", "softbreak", "inline", "text_special", "paragraph_open"):
                kept = token.content if token.type in ("code_inline", "html_inline") else ""
                found[f"{token.type} {token.attrs} {kept}"] += 1
    return found


MARKS = {"*": "em", "_": "em", "**": "strong", "__": "strong", "~~": "s"}
PIECES = st.sampled_from(
    [
        "one ",
        "two",
        " three. ",
        "*",
        "**",
        "_",
        "`",
        "`c`",
        "[",
        "](u)",
        "\\",
        "<b>",
        "</b>",
        "ü ",
        "~~",
        "!",
        "![",
        "\n",
        "x_y",
        "&amp;",
        "  \n",
        "<",
        "]",
        "5*3",
        " * ",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_same_texts_leave_every_byte_of_anything(text: str) -> None:
    assert translate(text, "a.md", WAYS["same"]).decode() == text


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=10).map(lambda x: "a " + "".join(x).replace("\n", " ") + " b"))
def test_inline_tokens_are_those_of_another_parser(text: str) -> None:
    """Pairs that CommonMark sees are the pairs that we see."""
    theirs: Counter[str] = Counter()
    parser = MarkdownIt("commonmark").enable("strikethrough")
    for token in parser.parseInline(text)[0].children or []:
        if token.type in ("em_open", "strong_open", "s_open", "link_open", "image", "code_inline"):
            theirs[token.type] += 1
    ours: Counter[str] = Counter()
    for t in tokens(text):
        raw = text[t.start : t.end]
        if t.kind == "open" and not raw.startswith("<"):
            name = {"*": "em", "_": "em", "**": "strong", "__": "strong", "~~": "s"}.get(
                raw, "link"
            )
            ours[f"{name}_open"] += 1
        elif t.kind == "unit":
            ours["code_inline"] += 1
        elif t.kind == "point" and raw.startswith("!"):
            ours["image"] += 1
    assert ours == theirs


WORDS = st.lists(
    st.sampled_from(
        [
            "eins",
            "**zwei**",
            "*drei*",
            "_vier_",
            "`c`",
            "[fünf](u)",
            "~~sechs~~",
            "**a *b* c**",
            "[x **y**](u)",
            "(*z*)",
            "~~",
            "7",
            "![i](p)",
        ]
    ),
    min_size=1,
    max_size=7,
).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(WORDS, st.sampled_from(sorted(set(WAYS) - {"other", "invents"})))
def test_marks_survive_what_a_translator_does(text: str, way: str) -> None:
    out = translate(text, "a.md", WAYS[way]).decode()
    before, after = tags(text), tags(out)
    assert after == before, out


def tags(text: str) -> Counter[str]:
    """Pairs and points; emphasis may come out as HTML where marks would not be read."""
    names = {"<em>": "em_open", "<strong>": "strong_open", "<del>": "s_open"}
    found: Counter[str] = Counter()
    parser = MarkdownIt("commonmark").enable("strikethrough")
    for token in parser.parseInline(text)[0].children or []:
        if token.type.endswith("_open") or token.type in ("image", "code_inline"):
            found[token.type] += 1
        elif token.type == "html_inline":
            found[names.get(token.content, "")] += 1
    del found[""]
    return found


@pytest.mark.parametrize(
    ("source", "target", "out"),
    [
        ("say **so** now", "1. sag **x** #", None),
        ("say so now", "# kein Titel", "\\# kein Titel"),
        ("say so now", "2. kein Punkt", "2\\. kein Punkt"),
        ("say so now", "- kein Punkt", "\\- kein Punkt"),
        ("say so now", "a_b *c* `d` <e> [f](g)", "a_b \\*c\\* \\`d\\` \\<e> \\[f\\](g)"),
        ("say so now", "2 * 3 < 4 & so", "2 * 3 < 4 & so"),
        ("a | b\n--|--\none x | two", "eins | zwei", None),
    ],
)
def test_a_translation_brings_no_structure(source: str, target: str, out: str | None) -> None:
    got = translate(source, "a.md", lambda _: target).decode()
    assert shape(got) == shape(source)
    assert out is None or got == out
