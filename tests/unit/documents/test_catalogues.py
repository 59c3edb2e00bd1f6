"""PO and XLIFF: empty targets are filled, and independent readers agree."""

from xml.etree import ElementTree

import polib
import pytest
from documents_made import WAYS, Fake, translate

from m4nmt.documents.fill import Watch
from m4nmt.documents.translate import translate_document

PO = r"""# A translator's note
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"
"Language: \n"

#. hint
#: a.c:1
#, c-format
msgid "Hello %s world"
msgstr ""

msgctxt "files"
msgid "one file"
msgid_plural "%d files <b>many here</b>"
msgstr[0] ""
msgstr[1] ""

msgid "done"
msgstr "fertig"

#, fuzzy
#~ msgid "old"
#~ msgstr "alt"

msgid ""
"Line one\n"
"  line \"two\" \\ end\n"
msgstr ""

msgid "%s"
msgstr ""
"""
XLIFF_1 = """<?xml version="1.0" encoding="UTF-8"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
<file source-language="en" original="x" datatype="plaintext"><body>
<trans-unit id="1">
  <source>Hello <g id="1">big world</g> <x id="2"/>now &amp; then</source>
  <note>stays here</note>
</trans-unit>
<trans-unit id="2" translate="no"><source>Not this</source></trans-unit>
<group translate="no"><trans-unit id="3"><source>Nor this</source></trans-unit></group>
<trans-unit id="4"><source>Done before</source><target state="final">Fertig</target></trans-unit>
<trans-unit id="5" approved="yes"><source>Approved</source><target/></trans-unit>
<trans-unit id="6"><source>More text</source><target state="new">More text</target></trans-unit>
<trans-unit id="7"><source>Buy <mrk mtype="protected">Acme X</mrk> \
<bpt id="1">{b}</bpt>now<ept id="1">{/b}</ept>\
</source>
 <alt-trans><source>other source</source><target>x</target></alt-trans></trans-unit>
<trans-unit id="8"><source>One. Two.</source><seg-source>\
<mrk mtype="seg" mid="1">One one.</mrk> <mrk mtype="seg" mid="2">Two two.</mrk>\
</seg-source></trans-unit>
</body></file></xliff>
"""
XLIFF_2 = """<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en">
<file id="f"><unit id="u"><originalData><data id="d">stays</data></originalData>
<segment id="s"><source>Hello <pc id="1">big world</pc> <sc id="2"/>now then\
<ec startRef="2"/> <ph id="3"/></source></segment>
<ignorable><source> </source></ignorable>
<segment id="t" state="final"><source>Over there</source><target>Dort</target></segment></unit>
<unit id="v" translate="no"><segment><source>Not this</source></segment></unit></file></xliff>
"""


def test_po_is_filled() -> None:
    fake = Fake(WAYS["reversed"])
    watch = Watch()
    out = translate_document(PO.encode(), "a.po", "en", "pl", fake, watch=watch).decode()
    catalogue = polib.pofile(out)
    assert catalogue.metadata["Language"] == "pl"
    assert catalogue.metadata["Plural-Forms"].startswith("nplurals=")
    forms = int(catalogue.metadata["Plural-Forms"][9])
    by_id = {entry.msgid: entry for entry in catalogue}
    assert by_id["Hello %s world"].msgstr == "world %s Hello"
    assert by_id["Hello %s world"].flags == ["c-format"]
    assert by_id["done"].msgstr == "fertig"
    assert by_id["%s"].msgstr == "%s"
    assert by_id["one file"].msgstr_plural == {0: "file one"} | dict.fromkeys(
        range(1, forms), "<b>here many</b> files %d"
    )
    assert by_id["one file"].msgctxt == "files"
    assert ("fuzzy" in by_id["one file"].flags) == (forms > 2)
    multi = 'Line one\n  line "two" \\ end\n'
    assert by_id[multi].msgstr == 'one Line\n  end \\ "two" line\n'
    assert catalogue.obsolete_entries()[0].msgstr == "alt"
    stays = out.split("#. hint")[0].split("Language")[0]
    assert PO.startswith(stays)


@pytest.mark.parametrize("way", sorted(WAYS))
def test_po_stays_readable_and_keeps_its_placeholders(way: str) -> None:
    for text in (PO, PO.replace("\n", "\r\n")):
        out = translate(text, "a.po", WAYS[way]).decode()
        for before, after in zip(polib.pofile(text), polib.pofile(out), strict=True):
            assert (before.msgid, before.msgctxt) == (after.msgid, after.msgctxt)
            for target in [after.msgstr, *after.msgstr_plural.values()]:
                if target:
                    assert target.count("%s") == before.msgid.count("%s")
                    assert target.count("<b>") == target.count("</b>") <= 1


def test_a_translated_catalogue_stays_as_it_is() -> None:
    done = translate(translate(PO, "a.po", str.upper), "a.po", WAYS["reversed"])
    assert done == translate(PO, "a.po", str.upper)


def test_po_doubts_are_fuzzy() -> None:
    out = translate(PO, "a.po", lambda text: text.replace("%s", "").upper()).decode()
    catalogue = polib.pofile(out)
    entry = next(e for e in catalogue if e.msgid == "Hello %s world")
    assert entry.msgstr == "HELLO %s WORLD"
    assert sorted(entry.flags) == ["c-format", "fuzzy"]
    empty = translate(PO, "a.po", WAYS["empty"]).decode()
    assert next(e for e in polib.pofile(empty) if e.msgid == "Hello %s world").msgstr == ""


def targets(document: str) -> dict[str, str]:
    """The inner XML of every target, by the id of what it is in."""
    found = {}
    for unit in ElementTree.fromstring(document).iter():
        if unit.tag.rpartition("}")[2] in ("trans-unit", "segment"):
            for child in unit:
                if child.tag.endswith("}target"):
                    inner = ElementTree.tostring(child, encoding="unicode")
                    found[unit.get("id", "")] = _plain(inner)
    return found


def _plain(element: str) -> str:
    body = element[element.index(">") + 1 : element.rindex("</")] if "</" in element else ""
    return body.replace("ns0:", "").replace(" />", "/>")


def test_xliff_1() -> None:
    fake = Fake(WAYS["reversed"])
    out = translate_document(XLIFF_1.encode(), "a.xlf", "en", "de", fake).decode()
    assert targets(out) == {
        "1": 'then &amp; <x id="2"/>now <g id="1">world big</g> Hello',
        "4": "Fertig",
        "5": "",
        "6": "text More",
        "7": 'Buy <mrk mtype="protected">Acme X</mrk> <bpt id="1">{b}</bpt>now'
        '<ept id="1">{/b}</ept>',
        "8": '<mrk mtype="seg" mid="1">one. One</mrk> <mrk mtype="seg" mid="2">two. Two</mrk>',
    }
    assert 'target-language="de"' in out
    assert out.count('state="translated"') == 4
    assert "Not this" not in " ".join(fake.given)
    assert "other source" not in " ".join(fake.given)
    kept = [line for line in XLIFF_1.splitlines() if "Nor this" in line or "Fertig" in line]
    assert all(line in out for line in kept)


def test_xliff_2() -> None:
    out = translate(XLIFF_2, "a.xlf", WAYS["reversed"]).decode()
    assert targets(out)["s"] == (
        '<sc id="2"/>then now<ec startRef="2"/> <pc id="1">world big</pc> Hello <ph id="3"/>'
    )
    assert targets(out)["t"] == "Dort"
    assert 'trgLang="de"' in out
    assert '<segment state="translated" id="s">' in out


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("document", [XLIFF_1, XLIFF_2])
def test_xliff_keeps_its_tags(document: str, way: str) -> None:
    out = translate(document, "a.xlf", WAYS[way]).decode()
    for unit in ElementTree.fromstring(out).iter():
        names = [child.tag.rpartition("}")[2] for child in unit]
        if "source" in names and "target" in names:
            source, target = unit[names.index("source")], unit[names.index("target")]
            if source.find("{*}g") is not None or source.find("{*}pc") is not None:
                inside = [
                    sorted((e.tag, e.get("id")) for e in x.iter() if e is not x)
                    for x in (source, target)
                ]
                assert inside[0] == inside[1]


def test_xliff_lines_stay_lines() -> None:
    units = (
        '<trans-unit id="1"><source>one<ph id="2">&lt;br/&gt;</ph>two</source></trans-unit>'
        '<trans-unit id="2"><source>one<x id="L" ctype="lb"/>two</source></trans-unit>'
        '<trans-unit id="3" xml:space="preserve"><source>one\n  two\n\nthree</source></trans-unit>'
        '<trans-unit id="4"><source>one\n two</source></trans-unit>'
    )
    head, _, tail = XLIFF_1.partition("<body>")
    document = f"{head}<body>{units}{tail[tail.index('</body>') :]}"
    fake = Fake(str.upper)
    out = translate_document(document.encode(), "a.xlf", "en", "de", fake).decode()
    assert targets(out) == {
        "1": 'ONE<ph id="2">&lt;br/&gt;</ph>TWO',
        "2": 'ONE<x id="L" ctype="lb"/>TWO',
        "3": "ONE\n  TWO\n\nTHREE",
        "4": "ONE TWO",
    }


def test_doubts_show_in_the_state() -> None:
    watch = Watch()
    document = XLIFF_1.replace("More text</source>", "More %s text</source>")
    fake = Fake(lambda text: text.replace("%s", "").upper())
    out = translate_document(document.encode(), "a.xlf", "en", "de", fake, watch=watch).decode()
    assert out.count("needs-review-translation") == 1
    assert [d.text for d in watch.doubts] == ["More %s text"]
