"""No tag comes out that did not go in, none is lost; text comes out escaped."""

import contextlib
import time
from collections import Counter
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.documents.types import DocumentError, Link, Rendering
from m4nmt_serve.markup import Html, Markup, Xml


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


@pytest.mark.parametrize(
    ("document", "texts", "out"),
    [
        ("plain & simple", ["plain & simple"], "[plain &amp; simple]"),
        ("<p>one</p>\n <p>two</p>", ["one", "two"], "<p>[one]</p>\n <p>[two]</p>"),
        ("  lead <b>x</b> ", ["lead x"], "  [lead <b>x</b>] "),
        ("&lt;script&gt;alert(1)&lt;/script&gt;", ["<script>alert(1)</script>"], None),
        ('<span translate="no">Acme <b>X</b></span> says', ["Acme X says"], None),
        (
            '<i class="x notranslate">Acme</i> y',
            ["Acme y"],
            '[<i class="x notranslate">Acme</i> y]',
        ),
        ("<br>a<img src=x alt='b'> c", ["a c"], "<br>[a<img src=x alt='b'> c]"),
        ("<code>x = 1</code> sets y", ["x = 1 sets y"], "[<code>x = 1</code> sets y]"),
        ("<!-- note -->a<!doctype html>", ["a"], "<!-- note -->[a]<!doctype html>"),
        ("3 < 4", [], "3 < 4"),
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
        assert markup.fill([Rendering(f"[{text}]") for text in texts]) == out


@pytest.mark.parametrize(
    ("document", "texts", "out"),
    [
        ("a &amp; b &lt;c&gt;", ["a & b <c>"], "[a &amp; b &lt;c&gt;]"),
        ("<P>one <p>two</p></P>", ["one two"], "<P>[one <p>two</p>]</P>"),
        ('take <x id="1"/> and <y></y>', ["take and"], None),
        ("one<s>two</s>", ["one", "two"], "[one]<s>[two]</s>"),
        ("say <k>Acme <k>X</k> y</k> now", ["say Acme X y now"], None),
        ("say <k/> now", ["say now"], None),
        ("<K>Acme</K> now", ["Acme now"], "[<K>Acme</K> now]"),
        ('<b translate="no">Acme</b> now', ["Acme now"], '[<b translate="no">Acme</b> now]'),
        ("<k>" + "x" * 201 + "</k> now", ["now"], None),
        ("<k>never closed", [], "<k>never closed"),
        ("one </b> two <b> three", ["one", "two", "three"], "[one] </b> [two] <b> [three]"),
        ("a <!-- b <i> --> c<![CDATA[ <d> ]]><?e f?>", ["a c"], None),
        ("<!-- never closed", [], "<!-- never closed"),
        ("5 < 6 <7> <a", ["5 < 6 <7> <a"], "[5 &lt; 6 &lt;7&gt; &lt;a]"),
        ("<script>if it is text</script>", ["if it is text"], "<script>[if it is text]</script>"),
        ("<a b='>'>c</a>", ["c"], "<a b='>'>[c]</a>"),
        ("", [], ""),
    ],
)
def test_xml_whatever_its_tags_are_called(document: str, texts: list[str], out: str | None) -> None:
    markup = Markup(document, Xml(ignored=frozenset("k"), splitting=frozenset("s")))
    assert list(markup.texts) == texts
    same = markup.fill([Rendering(text) for text in markup.texts])
    assert same == document
    if out is not None:
        assert markup.fill([Rendering(f"[{text}]") for text in markup.texts]) == out


def test_elements_that_a_caller_names_are_left_alone() -> None:
    markup = Markup("<p>say <keep>Acme X</keep> <b>now</b></p>", Html(ignored=frozenset({"keep"})))
    assert markup.texts == ("say Acme X now",)
    assert markup.fill([Rendering("jetzt Acme X sagen")]) == (
        "<p>jetzt <keep>Acme X</keep> <b>sagen</b></p>"
    )
    assert Markup("<p>say <keep>Acme</keep></p>").texts == ("say", "Acme")


def test_a_translation_cannot_bring_markup() -> None:
    out = Markup("<p>text</p>").fill([Rendering("<img src=x onerror=alert(1)> & more")])
    assert out == "<p>&lt;img src=x onerror=alert(1)&gt; &amp; more</p>"


_BITS = """
<b> </b> <p_class='a'> </p> <br/> &lt;i&gt; &amp; <script> </script> <!-- --> <a_href='_'> </a>
text <i_translate="no"> </i> <code> </code> < > <style> </style> {0} &#60;u> <iframe> </iframe> _ ü
5 &notit;
"""
_DOCUMENTS = st.lists(
    st.sampled_from(["\n", *(bit.replace("_", " ") for bit in _BITS.split())]), max_size=12
).map("".join)


@settings(max_examples=400, deadline=None)
@given(_DOCUMENTS, st.sampled_from(["same", "<u onclick=x>"]))
def test_tags_out_are_tags_in(document: str, translation: str) -> None:
    markup = Markup(document)
    out = markup.fill(
        [Rendering(text if translation == "same" else translation) for text in markup.texts]
    )
    assert Tags(out).found == Tags(document).found


def test_a_lost_placeholder_is_known_before_and_mended() -> None:
    markup = Markup("<p>Open <b>{0}</b> <i>now</i></p>")
    assert markup.texts == ("Open {0} now",)
    good, bad = Rendering("Jetzt {0} auf"), Rendering("Jetzt auf")
    assert markup.further([good]) == ()
    assert markup.further([bad]) == ("Open", "now")
    assert markup.fill([good]) == "<p>Jetzt <b>{0}</b> <i>auf</i></p>"
    assert markup.fill([bad], {"Open": Rendering("Auf"), "now": Rendering("jetzt")}) == (
        "<p>Auf <b>{0}</b> <i>jetzt</i></p>"
    )
    assert markup.fill([bad]) == "<p>Open <b>{0}</b> <i>now</i></p>"


@pytest.mark.parametrize("form", [Html(), Xml(ignored=frozenset("i"))], ids=["html", "xml"])
@pytest.mark.parametrize(
    "bit", ["<a href=", '<a b="', "<!--", "<![CDATA[", "</p", "<b>", "<i><b>", "&#"]
)
def test_hostile_fragments_are_read_in_no_time(bit: str, form: Html | Xml) -> None:
    document = "text " + bit * 20_000
    begin = time.process_time()
    with contextlib.suppress(DocumentError):
        markup = Markup(document, form)
        markup.fill([Rendering("Text") for _ in markup.texts])
    assert time.process_time() - begin < 3


def test_alignment_places_tags() -> None:
    markup = Markup("<p>the <b>red</b> house</p>")
    links = (Link(0, 3, 0, 2), Link(4, 7, 10, 15), Link(8, 13, 3, 9))
    assert markup.tagged
    assert markup.fill([Rendering("la maison rouge", links)]) == "<p>la maison <b>rouge</b></p>"
    assert not Markup("<p>the red house</p>").tagged
