"""Translators that behave in every way a model might, and a Word document of many parts."""

import io
import random
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import docx
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from m4nmt.documents.fill import Watch
from m4nmt.documents.translate import translate_document
from m4nmt.documents.types import Limits


@dataclass(frozen=True)
class Made:
    text: str
    alignment: Sequence[tuple[int, int, int, int]] = ()


class Fake:
    """Translates with a function of a text, and keeps what it was given."""

    def __init__(self, function: Callable[[str], str]) -> None:
        self.function = function
        self.given: list[str] = []

    def translate(
        self,
        texts: Sequence[str],
        src: str,
        tgt: str,
        *,
        align: bool,
        cancelled: Callable[[], bool] | None,
    ) -> list[list[Made]]:
        self.given += texts
        return [[Made(self.function(text))] for text in texts]


def reversed_words(text: str) -> str:
    return " ".join(reversed(text.split()))


def shuffled(text: str) -> str:
    words = text.split()
    random.Random(text).shuffle(words)
    return " ".join(words)


WAYS: Mapping[str, Callable[[str], str]] = {
    "same": lambda text: text,
    "reversed": reversed_words,
    "shuffled": shuffled,
    "upper": str.upper,
    "half": lambda text: text[: len(text) // 2],
    "twice": lambda text: f"{text} {text}",
    "empty": lambda text: "",
    "spaces": lambda text: " \n ",
    "other": lambda text: "Hund & Katze <b>",
    "long": lambda text: "wort " * 50,
    "unspaced": lambda text: "这是一个翻译的句子。",
    "controls": lambda text: f"\x00{text}\x0b\u2028\ufffe",
    "invents": lambda text: f"{text} {{0}} %s",
}


def translate(
    data: bytes | str, name: str, function: Callable[[str], str], watch: Watch | None = None
) -> bytes:
    """A document through a fake translator, from English to German."""
    raw = data.encode() if isinstance(data, str) else data
    return translate_document(raw, name, "en", "de", Fake(function), Limits(), watch)


def word() -> bytes:
    """Formats, a table, header and footer, a hyperlink, a bookmark, fields, a note, a text box."""
    document = docx.Document()
    document.add_heading("The big title", 1)
    paragraph = document.add_paragraph("Hello ")
    paragraph.add_run("bold words").bold = True
    paragraph.add_run(" and ")
    paragraph.add_run("italic").italic = True
    paragraph.add_run(" end of it.")
    paragraph = document.add_paragraph("Left\tright side")
    paragraph.add_run().add_break()
    paragraph.add_run("next line {0} here")
    table = document.add_table(2, 2)
    table.cell(0, 0).text, table.cell(1, 1).text = "Cell one text", "Cell two"
    section = document.sections[0]
    section.header.paragraphs[0].text = "My header text"
    section.footer.paragraphs[0].text = "Page of footer"
    _linked(document.add_paragraph("See "))
    _fields(document.add_paragraph("Page "))
    _boxed(document.add_paragraph("Outer text one "))
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _linked(paragraph: docx.text.paragraph.Paragraph) -> None:
    name = nsdecls("w")
    bold = "<w:r><w:rPr><w:b/></w:rPr><w:t>this link here</w:t></w:r>"
    add = paragraph._p.append
    add(parse_xml(f'<w:hyperlink {name} w:anchor="x">{bold}</w:hyperlink>'))
    add(parse_xml(f'<w:bookmarkStart {name} w:id="1" w:name="bm"/>'))
    paragraph.add_run(" for more")
    add(parse_xml(f'<w:bookmarkEnd {name} w:id="1"/>'))


def _fields(paragraph: docx.text.paragraph.Paragraph) -> None:
    for order, text in (("PAGE", "3"), ('HYPERLINK "http://example.org"', "our pages")):
        for inner in (
            '<w:fldChar w:fldCharType="begin"/>',
            f"<w:instrText> {order} </w:instrText>",
            '<w:fldChar w:fldCharType="separate"/>',
            f"<w:t>{text}</w:t>",
            '<w:fldChar w:fldCharType="end"/>',
        ):
            paragraph._p.append(parse_xml(f"<w:r {nsdecls('w')}>{inner}</w:r>"))
        paragraph.add_run(" of the book ")


def _boxed(paragraph: docx.text.paragraph.Paragraph) -> None:
    inner = "<w:txbxContent><w:p><w:r><w:t>Inner box text</w:t></w:r></w:p></w:txbxContent>"
    shape = (
        f'<v:shape xmlns:v="urn:schemas-microsoft-com:vml"><v:textbox>{inner}</v:textbox></v:shape>'
    )
    paragraph._p.append(parse_xml(f"<w:r {nsdecls('w')}><w:pict>{shape}</w:pict></w:r>"))
    paragraph.add_run("after box")


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
