"""Damaged documents of every format: translated or refused, never anything else."""

import random
from collections.abc import Callable

import pytest
import test_catalogues
import test_html
import test_markdown
import test_texts
from documents_made import WAYS, members, translate, word

from m4nmt.documents.archive import Archive
from m4nmt.documents.types import DocumentError, Limits

SAMPLES = {
    "a.txt": test_texts.TEXT.encode(),
    "a.md": test_markdown.PAGE.encode(),
    "a.html": test_html.PAGE.encode(),
    "a.srt": test_texts.SRT.encode(),
    "a.vtt": test_texts.VTT.encode(),
    "a.po": test_catalogues.PO.encode(),
    "a.xlf": test_catalogues.XLIFF_1.encode(),
    "b.xlf": test_catalogues.XLIFF_2.encode(),
    "a.docx": word(),
    "inside.docx": word(),
}


PART = "word/document.xml"


def cut(data: bytearray, at: int, draw: random.Random) -> None:
    del data[at : at + draw.randrange(60)]


def double(data: bytearray, at: int, draw: random.Random) -> None:
    data[at:at] = data[at : at + draw.randrange(60)]


def flip(data: bytearray, at: int, draw: random.Random) -> None:
    data[at : at + 1] = bytes([draw.randrange(256)])


def mark(data: bytearray, at: int, draw: random.Random) -> None:
    data[at:at] = draw.choice([b"<", b">", b'"', b"&", b"\\", b"`", b"*", b"[", b"\n", b"{", b"%"])


DAMAGES: tuple[Callable[[bytearray, int, random.Random], None], ...] = (cut, double, flip, mark)


@pytest.mark.parametrize("name", SAMPLES)
def test_damage_is_refused_or_borne(name: str) -> None:
    draw = random.Random(name)
    borne = 0
    for _ in range(60):
        whole = SAMPLES[name]
        data = bytearray(members(whole)[PART] if name == "inside.docx" else whole)
        for _ in range(draw.randrange(1, 3)):
            draw.choice(DAMAGES)(data, draw.randrange(len(data)), draw)
        damaged = bytes(data)
        if name == "inside.docx":
            damaged = Archive(whole, Limits()).rewritten({PART: damaged})
        try:
            translate(damaged, name, WAYS[draw.choice(sorted(WAYS))])
            borne += 1
        except DocumentError:
            continue
    assert borne or name == "a.docx", "damage so great that nothing was tested"
