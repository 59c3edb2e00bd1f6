"""Makes hostile documents and says of each, on a line of JSON, what came of translating it."""

import io
import json
import os
import resource
import stat
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from documents_made import Fake, word

from m4nmt.documents.translate import translate_document

_XLIFF = '<xliff version="1.2">%s</xliff>'
_LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "lol"}">' for i in range(12))
_WORD = zipfile.ZipFile(io.BytesIO(word()))


def xliff(body: str, before: str = "") -> bytes:
    return (before + _XLIFF % body).encode()


def archive(*extra: tuple[str | zipfile.ZipInfo, bytes], document: bytes | None = None) -> bytes:
    """The sample with other members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in _WORD.namelist():
            own = document is not None and name == "word/document.xml"
            target.writestr(name, document if own and document is not None else _WORD.read(name))
        for member, data in extra:
            target.writestr(member, data)
    return out.getvalue()


def streamed(name: str, megabytes: int) -> bytes:
    """With a member of so many megabytes of nothing."""
    out = io.BytesIO(archive() if name != "word/document.xml" else b"")
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as target:
        if name == "word/document.xml":
            target.writestr("[Content_Types].xml", _WORD.read("[Content_Types].xml"))
        with target.open(name, "w", force_zip64=True) as stream:
            for _ in range(megabytes):
                stream.write(bytes(1 << 20))
    return out.getvalue()


def lying() -> bytes:
    """Sizes in the table of contents say 10 bytes."""
    data = bytearray(streamed("word/media/image1.png", 20))
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (10).to_bytes(4, "little")
    return bytes(data)


def overlapping() -> bytes:
    """Many names for one member."""
    data = bytearray(archive(*((f"word/{i}.xml", bytes(1000)) for i in range(50))))
    places = [i for i in range(len(data)) if data[i : i + 4] == b"PK\x01\x02"]
    first = data[places[-50] + 42 : places[-50] + 46]
    for at in places[-49:]:
        data[at + 42 : at + 46] = first
    return bytes(data)


def named(name: str, mode: int = 0) -> bytes:
    info = zipfile.ZipInfo("x" * len(name))
    info.external_attr = mode << 16
    data = archive((info, b"text"))
    return data.replace(b"x" * len(name), name.encode())


def encrypted() -> bytes:
    data = bytearray(archive())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


def broken() -> bytes:
    data = bytearray(archive(("word/media/a.bin", os.urandom(5000))))
    at = data.rindex(b"word/media/a.bin", 0, data.index(b"PK\x01\x02"))
    data[at + 2000] ^= 0xFF
    return bytes(data)


def paragraph(body: str) -> bytes:
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    return f"<w:document {space}><w:body><w:p>{body}</w:p></w:body></w:document>".encode()


def zips() -> bytes:
    inner = streamed("x", 5)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for i in range(16):
            target.writestr(f"{i}.zip", inner)
    return out.getvalue()


def laughing(root: str) -> str:
    return f"<!DOCTYPE {root} [{_LAUGHS}]>"


_UNIT = "<file><body><trans-unit id='1'><source>%s</source></trans-unit></body></file>"
_BIG = f'<!DOCTYPE xliff [<!ENTITY a "{"a" * 100_000}">]>'
_FILE = '<!DOCTYPE xliff [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
ATTACKS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "billion laughs": ("a.xlf", lambda: xliff(_UNIT % "&l11;", laughing("xliff"))),
    "billion laughs in Word": (
        "a.docx",
        lambda: archive(document=laughing("w").encode() + paragraph("&l11;")),
    ),
    "quadratic entity": ("a.xlf", lambda: xliff(_UNIT % ("&a;" * 10_000), _BIG)),
    "external entity": ("a.xlf", lambda: xliff(_UNIT % "&a;", _FILE)),
    "deep XML": ("a.xlf", lambda: xliff("<a>" * 100_000 + "</a>" * 100_000)),
    "deep HTML": ("a.html", lambda: b"<div>" * 100_000 + b"text"),
    "zip bomb": ("a.docx", lambda: streamed("word/media/image1.png", 150)),
    "zip bomb with lying sizes": ("a.docx", lying),
    "huge document part": ("a.docx", lambda: streamed("word/document.xml", 150)),
    "overlapping members": ("a.docx", overlapping),
    "zip of zips": ("a.docx", zips),
    "too many members": (
        "a.docx",
        lambda: archive(*((f"word/{i}", b"") for i in range(6000))),
    ),
    "parent in a name": ("a.docx", lambda: named("../../etc/x")),
    "absolute name": ("a.docx", lambda: named("/etc/cron.d/x")),
    "backslash in a name": ("a.docx", lambda: named("a\\..\\x")),
    "link": ("a.docx", lambda: named("word/lnk", stat.S_IFLNK | 0o777)),
    "two of one name": ("a.docx", lambda: archive(("WORD/document.xml", b"<x/>"))),
    "encrypted": ("a.docx", encrypted),
    "truncated zip": ("a.docx", lambda: archive()[:-200]),
    "broken member": ("a.docx", broken),
    "macros": ("a.docx", lambda: archive(("word/vbaProject.bin", b"x"))),
    "old Word": ("a.docx", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000)),
    "a gigabyte in one line": ("a.txt", lambda: bytes(1 << 30)),
    "Latin-1": ("a.txt", lambda: "für".encode("latin-1")),
    "NUL": ("a.txt", lambda: b"abc\0def"),
    "path as a catalogue": ("a.po", lambda: b"/etc/passwd"),
    "malformed PO": ("a.po", lambda: b'msgid "a"\nmsgstr "b"\nmsgid "unclosed\n'),
    "malformed SRT": (
        "a.srt",
        lambda: b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n00:00 -> 00:02\nthere\n",
    ),
    "no SRT": ("a.srt", lambda: b"just some text"),
    "broken XML": ("a.xlf", lambda: b"<xliff><a></b></xliff>"),
    "UTF-16 XML": ("a.xlf", lambda: xliff(_UNIT % "text").decode().encode("utf-16")),
    "not XLIFF": ("a.xlf", lambda: (f"<html>{_UNIT % 'text'}</html>").encode()),
    "too many inline tags": ("a.html", lambda: b"<b>x</b> " * 100_000),
    "a huge paragraph": (
        "a.docx",
        lambda: archive(document=paragraph("<w:r><w:t>a</w:t></w:r>" * 100_000)),
    ),
    "unknown ending": ("a.exe", lambda: b"MZ"),
    "a Word macro file": ("a.docm", archive),
    "unclosed tags": ("a.html", lambda: b"<a href=" * 200_000),
    "unclosed comments": ("a.html", lambda: b"<!--" * 1_000_000),
    "huge attribute": ("a.xlf", lambda: xliff(f"<file a='{'b' * 7_000_000}'/>")),
    "markdown brackets": ("a.md", lambda: b"\n\n".join([b"![[" * 30_000 + b"](a" * 30_000] * 10)),
    "a paragraph without end": ("a.md", lambda: b"word [" * 1_000_000),
    "backticks": ("a.md", lambda: b"".join(b"`" * (i % 300) + b" " for i in range(1_300))),
}


def attack(name: str) -> dict[str, object]:
    """What came of it, and the memory and time it took beyond those of making the file."""
    file, make = ATTACKS[name]
    data = make()
    before = resident()
    begin = time.monotonic()
    error, kind = "", ""
    try:
        translate_document(data, file, "en", "de", Fake(str.upper))
    except Exception as found:
        error, kind = str(found), type(found).__name__
    return {
        "name": name,
        "error": error,
        "kind": kind,
        "seconds": time.monotonic() - begin,
        "megabytes": max(0.0, peak() - before),
    }


def resident() -> float:
    """Now, in MiB; the peak is set back to it."""
    Path("/proc/self/clear_refs").write_text("5")
    return float(status("VmRSS"))


def peak() -> float:
    return float(status("VmHWM"))


def status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


if __name__ == "__main__":
    translate_document(b"text", "a.md", "en", "de", Fake(str.upper))
    for attacked in sys.argv[1:] or ATTACKS:
        child = os.fork()
        if not child:
            resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
            print(json.dumps(attack(attacked)), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
