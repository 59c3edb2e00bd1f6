"""Word documents: paragraphs of the text, tables, headers, footers, notes and comments.

Only paragraphs that are translated are written anew; every other byte of every part stays. Macros
and signatures are refused. Not its job: runs and their formats (docx_runs), archives.
"""

from collections.abc import Iterator
from itertools import count

from m4nmt.documents.archive import Archive
from m4nmt.documents.docx_runs import slot
from m4nmt.documents.types import DocumentError, Limits, Meter, Slot
from m4nmt.documents.xml import Node, read

_WORD = (
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
)
_PARTS = ("document", "footnotes", "endnotes", "comments")


def opened(data: bytes, limits: Limits) -> tuple[Archive, dict[str, bytes]]:
    """The archive and its parts that hold text, by name.

    Raises:
        DocumentError: not a Word document, or one that is not to be touched.
    """
    if data[:4] == b"\xd0\xcf\x11\xe0":
        raise DocumentError(
            "this is an old .doc, or has a password; save it as .docx without a password"
        )
    archive = Archive(data, limits)
    if not {"[Content_Types].xml", "word/document.xml"} <= archive.names:
        raise DocumentError("not a Word document: word/document.xml is missing")
    for name in archive.names:
        if name.casefold().endswith("vbaproject.bin"):
            raise DocumentError("the document holds macros; save it as .docx without them")
        if name.startswith("_xmlsignatures/"):
            raise DocumentError("the document is signed; a translation would break the signature")
    archive.check()
    numbered = [f"{kind}{n}" for kind in ("header", "footer") for n in ("", *range(1, 100))]
    names = [f"word/{stem}.xml" for stem in (*_PARTS, *numbered)]
    parts: dict[str, bytes] = {}
    for name in names:
        if name in archive.names:
            parts[name] = archive.text(name)
            if sum(map(len, parts.values())) > limits.text:
                raise DocumentError(f"the document holds more than {limits.text} bytes of text")
    return archive, parts


def leaves(data: bytes, meter: Meter) -> Iterator[Slot]:
    """The slots of paragraphs that hold no other paragraph.

    Raises:
        DocumentError: broken XML, or too much for the meter.
    """
    return _slots(data, meter, nesting=False)


def holders(data: bytes, meter: Meter) -> Iterator[Slot]:
    """The slots of paragraphs that hold others, in text boxes; those stay as they are."""
    return _slots(data, meter, nesting=True)


def _slots(data: bytes, meter: Meter, nesting: bool) -> Iterator[Slot]:
    numbers = count()
    for node, _ in read(data, lambda n, _: _is_paragraph(n), meter):
        for paragraph in _paragraphs(node):
            inner = any(True for n in _paragraphs(paragraph) if n is not paragraph)
            if inner == nesting:
                yield from slot(data, paragraph, meter, numbers)


def _is_paragraph(node: Node) -> bool:
    return node.name == "p" and node.space in _WORD


def _paragraphs(node: Node) -> Iterator[Node]:
    """The paragraphs below and with a node, by place."""
    todo = [node]
    while todo:
        one = todo.pop()
        if _is_paragraph(one):
            yield one
        todo += [n for n in reversed(one.items) if isinstance(n, Node)]
