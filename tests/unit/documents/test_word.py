"""Word documents, as python-docx and the archive show them."""

import io

import docx
import pytest
from documents_made import WAYS, Fake, members, translate, word
from docx.oxml import OxmlElement

from m4nmt.documents.fill import Watch
from m4nmt.documents.translate import translate_document
from m4nmt.documents.types import CancelledError

WORD = word()


def test_what_is_given_and_what_comes_out() -> None:
    fake = Fake(WAYS["reversed"])
    out = translate_document(WORD, "a.docx", "en", "de", fake)
    document = docx.Document(io.BytesIO(out))
    assert [p.text for p in document.paragraphs] == [
        "title big The",
        "it. of end italic and words bold Hello",
        "Left\tside right\nhere {0} line next",
        "more for here link this See",
        "book the of pages our book the of 3 Page ",
        "box after one text Outer",
    ]
    bold = [(r.text, r.bold, r.italic) for r in document.paragraphs[1].runs]
    assert bold == [
        ("it. of end ", None, None),
        ("italic", None, True),
        (" and ", None, None),
        ("words bold", True, None),
        (" Hello", None, None),
    ]
    assert document.tables[0].cell(0, 0).text == "text one Cell"
    assert document.sections[0].header.paragraphs[0].text == "text header My"
    assert document.sections[0].footer.paragraphs[0].text == "footer of Page"
    assert "Outer text one after box" in fake.given
    assert "Inner box text" in fake.given


def test_hyphens_of_a_run_are_read_as_they_are_seen() -> None:
    document = docx.Document()
    run = document.add_paragraph("non").runs[0]
    for name, text in (("w:noBreakHyphen", "stop soft"), ("w:softHyphen", "ware")):
        run._r.append(OxmlElement(name))
        run.add_text(text)
    data = io.BytesIO()
    document.save(data)
    fake = Fake(str.upper)
    out = translate_document(data.getvalue(), "a.docx", "en", "de", fake)
    assert fake.given == ["non-stop software"]
    assert docx.Document(io.BytesIO(out)).paragraphs[0].text == "NON-STOP SOFTWARE"


def test_everything_else_stays_byte_for_byte() -> None:
    before, after = members(WORD), members(translate(WORD, "a.docx", WAYS["reversed"]))
    assert list(before) == list(after)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"word/document.xml", "word/header1.xml", "word/footer1.xml"}
    assert members(translate(WORD, "a.docx", WAYS["same"])) == before


@pytest.mark.parametrize("way", sorted(WAYS))
def test_nothing_is_lost(way: str) -> None:
    out = translate(WORD, "a.docx", WAYS[way])
    docx.Document(io.BytesIO(out))
    before, after = members(WORD)["word/document.xml"], members(out)["word/document.xml"]
    for kept in (
        b"<w:hyperlink",
        b"</w:hyperlink>",
        b"<w:bookmarkStart",
        b"<w:bookmarkEnd",
        b"<w:fldChar",
        b"<w:instrText",
        b"<w:tab/>",
        b"<w:br/>",
        b"<w:pict",
        b"<w:p>",
        b"<w:tc>",
        b"<w:b/>",
        b"<w:i/>",
    ):
        assert (after.count(kept) > 0) == (before.count(kept) > 0), kept
        if kept not in (b"<w:b/>", b"<w:i/>"):
            assert after.count(kept) == before.count(kept), kept
    assert after.index(b"<w:bookmarkStart") < after.index(b"<w:bookmarkEnd")
    marks = [after.index(b"begin"), after.index(b"separate"), after.index(b'"end"')]
    assert marks == sorted(marks)


def test_progress_and_cancelling() -> None:
    told: list[tuple[int, int]] = []
    translate(WORD, "a.docx", str.upper, watch=Watch(progress=lambda a, b: told.append((a, b))))
    assert told
    assert all(done <= total for done, total in told)
    assert told[-1][0] == told[-1][1]
    fake = Fake(str.upper)
    watch = Watch(cancelled=lambda: len(fake.given) > 0)
    with pytest.raises(CancelledError):
        translate_document(WORD, "a.docx", "en", "de", fake, watch=watch)
