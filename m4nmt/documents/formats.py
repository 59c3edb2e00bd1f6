"""The formats there are: how each is told, and where it says its texts are."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from m4nmt.documents import docx, html, markdown, plain, po, subtitles, xliff
from m4nmt.documents.types import DocumentError, Meter, Slot

TextSplit = Callable[[str, Meter], Iterator[Slot]]
BytesSplit = Callable[[bytes, Meter], Iterator[Slot]]


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """A text. Each pass cuts what the one before it wrote.

    Attributes:
        language: writes the target language (BCP-47) where the format says it.
    """

    name: str
    suffixes: tuple[str, ...]
    mime: str
    passes: tuple[TextSplit, ...]
    language: Callable[[str, str], str] = lambda document, _: document


@dataclass(frozen=True, kw_only=True)
class XmlFormat:
    """XML, whose places are bytes."""

    name: str
    suffixes: tuple[str, ...]
    mime: str
    passes: tuple[BytesSplit, ...]
    language: Callable[[bytes, str], bytes]


@dataclass(frozen=True, kw_only=True)
class WordFormat:
    """An archive of XML parts."""

    name: str
    suffixes: tuple[str, ...]
    mime: str
    passes: tuple[BytesSplit, ...]


Format = TextFormat | XmlFormat | WordFormat

_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_ALL: tuple[Format, ...] = (
    TextFormat(name="text", suffixes=(".txt",), mime="text/plain", passes=(plain.split,)),
    TextFormat(
        name="Markdown",
        suffixes=(".md", ".markdown"),
        mime="text/markdown",
        passes=(markdown.split,),
    ),
    TextFormat(
        name="HTML",
        suffixes=(".html", ".htm", ".xhtml"),
        mime="text/html",
        passes=(html.split, html.captions),
        language=html.language,
    ),
    TextFormat(
        name="SRT",
        suffixes=(".srt",),
        mime="application/x-subrip",
        passes=(subtitles.split_srt,),
    ),
    TextFormat(name="WebVTT", suffixes=(".vtt",), mime="text/vtt", passes=(subtitles.split_vtt,)),
    TextFormat(
        name="PO",
        suffixes=(".po", ".pot"),
        mime="text/x-gettext-translation",
        passes=(po.split,),
        language=po.header,
    ),
    XmlFormat(
        name="XLIFF",
        suffixes=(".xlf", ".xliff"),
        mime="application/xliff+xml",
        passes=(xliff.split,),
        language=xliff.language,
    ),
    WordFormat(name="Word", suffixes=(".docx",), mime=_WORD, passes=(docx.leaves, docx.holders)),
)


def formats() -> tuple[Format, ...]:
    """Every format that can be translated."""
    return _ALL


def format_of(name: str) -> Format:
    """The format of a file, by the end of its name.

    Raises:
        DocumentError: none; names those there are.
    """
    suffix = PurePath(re.sub(r".*[\\/]", "", name)).suffix.lower()
    for one in _ALL:
        if suffix in one.suffixes:
            return one
    known = ", ".join(end for one in _ALL for end in one.suffixes)
    hint = "; save it without macros as .docx" if suffix in (".docm", ".dotm") else ""
    raise DocumentError(f"files {suffix or 'without an ending'} are not translated{hint}: {known}")
