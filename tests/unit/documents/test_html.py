"""HTML: what is text, what stays, and that no markup is gained or lost."""

from collections import Counter
from html.parser import HTMLParser

import pytest
from documents_made import WAYS, Fake, translate
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.documents.html_tokens import attributes, pieces
from m4nmt.documents.translate import translate_document

PAGE = """<!DOCTYPE html>
<html lang="en-US" class=x>
<head><meta charset=utf-8><title>The page &amp; more</title>
<style>p > b { color: red }</style></head>
<body>
<!-- a note -->
<h1>Big   news</h1>
<p>Read <a href="/a?b=1&amp;c=2" title="go there">the <em>whole</em> story</a> now, &lt;all&gt;
<br>Next line</p>
<ul><li>one thing<li>another thing</ul>
<p translate="no">Acme Ltd</p><p>Buy <span class="notranslate">Acme <b>X</b></span> today</p>
<pre>code  stays</pre><p>Run <code>ls -l</code> first</p>
<img src=x alt='a red house'><input placeholder="your name">
<script>if (a < b && c) { go("there") }</script>
</body>
</html>
"""


def test_what_is_given_and_what_comes_out() -> None:
    fake = Fake(str.upper)
    out = translate_document(PAGE.encode(), "a.html", "en", "de", fake).decode()
    assert out == (
        PAGE.replace('lang="en-US"', 'lang="de"')
        .replace("The page &amp; more", "THE PAGE &amp; MORE")
        .replace("Big   news", "BIG NEWS")
        .replace("Read <a", "READ <a")
        .replace("the <em>whole</em> story", "THE <em>WHOLE</em> STORY")
        .replace("now, &lt;all&gt;", "NOW, &lt;ALL&gt;")
        .replace("Next line", "NEXT LINE")
        .replace("one thing", "ONE THING")
        .replace("another thing", "ANOTHER THING")
        .replace("Buy <span", "BUY <span")
        .replace("today", "TODAY")
        .replace("Run <code", "RUN <code")
        .replace("first", "FIRST")
        .replace("go there", "GO THERE")
        .replace("a red house", "A RED HOUSE")
        .replace("your name", "YOUR NAME")
    )
    assert "Read the whole story now, <all>" in fake.given
    assert "Buy Acme X today" in fake.given


def test_same_texts_leave_every_byte() -> None:
    assert translate(PAGE.replace("en-US", "de"), "a.html", WAYS["same"]) == (
        PAGE.replace("en-US", "de").encode()
    )


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_mark_and_utf_16(newline: str) -> None:
    page = f"\ufeff<p>Grüße an{newline}alle</p>{newline}"
    for encoding in ("utf-8", "utf-16-le"):
        out = translate(page.encode(encoding), "a.html", str.upper)
        assert out.decode(encoding) == f"\ufeff<p>GRÜSSE AN ALLE</p>{newline}"


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("<p>H<sub>2</sub>O soft&shy;ware</p>", "<p>software H<sub>2</sub>O</p>"),
        ("<p>a <b>b</b></p>", "<p><b>b</b> a</p>"),
        ("<a><div>x y</div></a>", "<a><div>y x</div></a>"),
        ("<p>a <b>b<p>c d</b> e f", "<p>a <b>b<p>d c</b> f e"),
        ("x <i>y</b> z w</i> v u", "x <i>y</b> w z</i> u v"),
        ("a b<svg><title/><text>q r</text></svg> c", "c b<svg><title/><text>q r</text></svg> a"),
        ('a <x id="1"/> b {0} c', 'c {0} b a <x id="1"/>'),
        ("<title>a <b> c</title>", "<title>c &lt;b&gt; a</title>"),
        ("<p title=a>b c", "<p title=a>c b"),
        ("5 < 6 is so", "so is 6 &lt; 5"),
        ("&amp;lt;b&amp;gt; x", "x &amp;lt;b&amp;gt;"),
        ("<textarea>a b</textarea>", "<textarea>a b</textarea>"),
        ("<my-tag>a b</my-tag> c", "c <my-tag>b a</my-tag>"),
        ("a <b", "a <b"),
    ],
)
def test_small_cases(source: str, out: str) -> None:
    assert translate(source, "a.html", WAYS["reversed"]).decode() == out


class Tags(HTMLParser):
    """The tags, with their attributes, that a document holds."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[f"{tag} {attrs}"] += 1

    def handle_endtag(self, tag: str) -> None:
        self.found[f"/{tag}"] += 1


_BITS = """
<b> </b> <p_class='a'> </p> <br/> &lt;i&gt; &amp; <script> </script> <!-- --> <x_id="1"/>
</x> <a_href='_'> </a> text word <i_translate="no"> </i> <code> </code> <div> </div> < 5>4
<style> </style> &#60;u> <iframe> </iframe> _ ü 5 &notit; {0}
"""
DOCUMENTS = st.lists(
    st.sampled_from(["\n", *(bit.replace("_", " ") for bit in _BITS.split())]), max_size=14
).map("".join)


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS, st.sampled_from(sorted(WAYS)))
def test_tags_out_are_tags_in(document: str, way: str) -> None:
    out = translate(document, "a.html", WAYS[way]).decode()
    assert Tags(out).found == Tags(document).found
    if way == "same":
        assert out == document


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="<>/!-=\"' ab\n?x[]", max_size=40))
def test_pieces_join_to_the_document(document: str) -> None:
    found = list(pieces(document))
    assert "".join(document[p.start : p.end] for p in found) == document
    assert all(p.start < p.end for p in found)


@pytest.mark.parametrize(
    ("source", "tgt", "out"),
    [
        ('<html lang="en">', "ar", '<html dir="rtl" lang="ar">'),
        ("<html dir=ltr lang='en'>", "he", "<html dir=rtl lang='he'>"),
        ('<html DIR="RTL" lang="ar">', "de", '<html DIR="ltr" lang="de">'),
        ('<html lang="en">', "de", '<html lang="de">'),
        ("<html lang>", "de", "<html lang>"),
    ],
)
def test_the_page_says_how_it_is_written(source: str, tgt: str, out: str) -> None:
    page = f"{source}<p>one</p>"
    made = translate_document(page.encode(), "a.html", "en", tgt, Fake(str.upper)).decode()
    assert made == f"{out}<p>ONE</p>"


def test_what_readers_see_of_attributes() -> None:
    seen = (
        '<meta name="description" content="one">|<meta property="og:title" content="one">|'
        '<input type="submit" value="one">|<optgroup label="one">'
    )
    not_seen = '<meta name="author" content="one">|<input value="one">|<p label="one">'
    out = translate(f"{seen}|{not_seen}", "a.html", str.upper).decode()
    assert out == f"{seen.replace('one', 'ONE')}|{not_seen}"


def test_quotes_hide_the_end_of_a_tag() -> None:
    tag = """<a b='>' c=">" d=e'f g = "h" i>"""
    assert [(p.kind, p.end - p.start) for p in pieces(tag)] == [("open", len(tag))]
    assert [(name, value) for name, value, *_ in attributes(tag)] == [
        ("b", ">"),
        ("c", ">"),
        ("d", "e'f"),
        ("g", "h"),
        ("i", ""),
    ]
