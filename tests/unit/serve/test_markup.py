"""No tag comes out that did not go in; text comes out escaped."""

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt_serve.markup import Markup


class Tags(HTMLParser):
    """The tags, with their attributes, that a document holds."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[object] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)


@pytest.mark.parametrize(
    ("document", "texts", "out"),
    [
        ("plain & simple", ["plain & simple"], "[plain &amp; simple]"),
        ("<p>one</p>\n <p>two</p>", ["one", "two"], "<p>[one]</p>\n <p>[two]</p>"),
        ("  lead <b>x</b> ", ["lead", "x"], "  [lead] <b>[x]</b> "),
        ("&lt;script&gt;alert(1)&lt;/script&gt;", ["<script>alert(1)</script>"], None),
        ('<span translate="no">Acme <b>X</b></span> says', ["says"], None),
        ('<i class="x notranslate">Acme</i>y', ["y"], '<i class="x notranslate">Acme</i>[y]'),
        ("<br>a<img src=x alt='b'>c", ["a", "c"], "<br>[a]<img src=x alt='b'>[c]"),
        ("<code>x = 1</code> sets x", ["sets x"], "<code>x = 1</code> [sets x]"),
        ("<!-- note -->a<!doctype html>", ["a"], "<!-- note -->[a]<!doctype html>"),
        ("3 < 4", [], "3 &lt; 4"),
        ("<script>a < b && c</script>d", ["d"], "<script>a < b && c</script>[d]"),
        ("a < b", ["a < b"], "[a &lt; b]"),
        ("<title>a &lt;b&gt;</title>", ["a <b>"], "<title>[a &lt;b&gt;]</title>"),
        ("one\n<p\nid=x>two", ["one", "two"], "[one]\n<p\nid=x>[two]"),
        ("<b/>bold", ["bold"], "<b/>[bold]"),
        ('<p translate="no">A<br>B</p>c', ["c"], '<p translate="no">A<br>B</p>[c]'),
        ("", [], ""),
    ],
)
def test_texts_and_reassembly(document: str, texts: list[str], out: str | None) -> None:
    markup = Markup(document)
    assert list(markup.texts) == texts
    if out is not None:
        assert markup.fill([f"[{text}]" for text in texts]) == out


def test_a_translation_cannot_bring_markup() -> None:
    out = Markup("<p>text</p>").fill(["<img src=x onerror=alert(1)> & more"])
    assert out == "<p>&lt;img src=x onerror=alert(1)&gt; &amp; more</p>"


_BITS = """
<b> </b> <p_class='a'> </p> <br/> &lt;i&gt; &amp; <script> </script> <!-- --> <![CDATA[ ]]> <title>
</title> <x <a_href=' '> text <i_translate="no"> </i> <textarea> </textarea> < > <style> </style>
&#60;u> <iframe> </iframe> <plaintext> <?p <!D _ ü 5 &notit;
"""
_DOCUMENTS = st.lists(
    st.sampled_from(["\n", *(bit.replace("_", " ") for bit in _BITS.split())]), max_size=12
).map("".join)


@settings(max_examples=400, deadline=None)
@given(_DOCUMENTS, st.sampled_from(["same", "<u onclick=x>"]))
def test_tags_out_are_tags_in(document: str, translation: str) -> None:
    markup = Markup(document)
    out = markup.fill([text if translation == "same" else translation for text in markup.texts])
    assert Tags(out).found == Tags(document).found
