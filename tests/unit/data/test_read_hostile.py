"""Hostile archives and XML: refused by a message that names file and line, or put aside."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from read_made import PACKED, put, rows, tarred, tmx, zipped

from m4nmt.data.formats import Faults, FormatError, Source
from m4nmt.data.read import archive, unpack, xml
from m4nmt.data.read.recognise import recognise
from m4nmt.data.read.types import Tmx


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        for info, body in members:
            info.size = len(body)
            made.addfile(info, io.BytesIO(body))
    return out.getvalue()


def link(kind: bytes, name: str = "x.txt", target: str = "/etc/passwd") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return tar((info, b""))


def many(count: int) -> bytes:
    return tar(*((tarfile.TarInfo(f"{n}.txt"), b"a\n") for n in range(count)))


def long_header() -> bytes:
    info = tarfile.TarInfo("x.txt")
    info.pax_headers = {"comment": "x" * (3 << 20)}
    return tar((info, b"a\n"))


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, body in members:
            made.writestr(name, body)
    return out.getvalue()


def zip_link() -> bytes:
    info = zipfile.ZipInfo("x.txt")
    info.external_attr = 0o120777 << 16
    return zip_of((info, b"/etc/passwd"))


def encrypted() -> bytes:
    data = bytearray(zip_of(("x.txt", b"a\n")))
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(sign) + at] |= 1
    return bytes(data)


BOMB = (b"a" * 65535 + b"\n") * 64
ARCHIVES: dict[str, tuple[str, bytes | Callable[[], bytes], str]] = {
    **{f"bomb{s}": (f"x.txt{s}", p(BOMB), "made to fill a disk") for s, p in PACKED.items() if s},
    "zip bomb": ("x.zip", zipped("x.txt", BOMB), "made to fill a disk"),
    "tar bomb": ("x.tar.gz", PACKED[".gz"](tarred("x.txt", BOMB)), "made to fill a disk"),
    "bomb in a bomb": ("x.zip", zipped("x.gz", PACKED[".gz"](BOMB)), "made to fill a disk"),
    "packed twice": ("x.gz", PACKED[".gz"](PACKED[".gz"](b"a\n")), "gzip in gzip; unpack it once"),
    "traversal": (
        "x.tar",
        tar((tarfile.TarInfo("../x.txt"), b"a")),
        r"\.\./x\.txt: its name leads",
    ),
    "absolute": ("x.zip", zip_of(("/etc/x.txt", b"a")), "its name leads out of the archive"),
    "backslashes": ("x.zip", zip_of(("..\\x.txt", b"a")), "its name leads out of the archive"),
    "symbolic link": ("x.tar", link(tarfile.SYMTYPE), "a link or a device, not a file"),
    "hard link": ("x.tar", link(tarfile.LNKTYPE), "a link or a device, not a file"),
    "device": ("x.tar", link(tarfile.CHRTYPE), "a link or a device, not a file"),
    "link in zip": ("x.zip", zip_link(), "a link or a device, not a file"),
    "encrypted": ("x.zip", encrypted(), "it is encrypted; pack it without a password"),
    "too many": ("x.tar", many(7), "holds more than 5 files"),
    "too many in zip": ("x.zip", zip_of(*((f"{n}", b"") for n in range(7))), "more than 5 files"),
    "several": ("x.tar", many(2), r"holds 2 files \(0\.txt, 1\.txt\); say which: x\.tar!/0\.txt"),
    "two of one name": ("x.tar", many(1)[:1024] + many(1), "two files of this name"),
    "long header": ("x.tar", long_header, "a header of over 1 MiB"),
    "archive in archive": (
        "x.zip",
        zipped("y.zip", zipped("x.txt", b"a")),
        "archive in an archive",
    ),
    "tar in zip": ("x.zip", zipped("y.tar", tarred("x.txt", b"a")), "archive in an archive"),
    "empty": ("x.zip", zip_of(), "holds no file that can be read; it is empty"),
    "no gzip": ("x.txt.gz", b"plain\n", r"it is called \.gz but is no gzip file"),
    "other packing": ("x.txt.gz", PACKED[".xz"](b"a\n"), r"it is called \.gz but is xz"),
    "broken checksum": ("x.gz", PACKED[".gz"](b"a\n")[:-6] + b"\0" * 6, "cannot be unpacked"),
    "broken zip": ("x.zip", zipped("x.txt", b"abc" * 99)[:-20], "cannot be unpacked"),
    "broken tar": ("x.tar", tarred("x.txt", b"abc" * 999)[:2000], "cannot be unpacked|ends"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_hostile_archives(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "FREE", 1 << 20)
    monkeypatch.setattr(archive, "MEMBERS", 5)
    file, data, message = ARCHIVES[name]
    path = put(tmp_path / file, data if isinstance(data, bytes) else data())
    with pytest.raises(FormatError, match=message) as caught:
        rows(Source(path))
    assert str(path) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [file]


def test_members_that_are_asked_for(tmp_path: Path) -> None:
    members = [(tarfile.TarInfo(n), b"a\n") for n in ("a", "../b", "./c")]
    path = put(tmp_path / "x.tar", tar(*members))
    assert unpack.members(path) == ["a", "c"]
    assert rows(Source(path, member="c")) == [("a",)]
    for member, message in (("../b", "leads out"), ("d", "has no file d; it has a, ../b, c")):
        with pytest.raises(FormatError, match=message):
            rows(Source(path, member=member))
    with pytest.raises(FormatError, match="no zip or tar archive that has c"):
        rows(Source(put(tmp_path / "x.txt", b"a\n"), member="c"))


def unit(text: str = "", attributes: str = "", before: str = "") -> bytes:
    """A memory of three units, the second of which is given."""
    data = tmx([("a", "b"), ("HERE", "d"), ("e", "f")]).decode()
    data = data.replace("<tmx version", f"{before}<tmx version", 1)
    return data.replace("<seg>HERE", f"<seg{attributes}>{text}").encode()


DTD = '<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n'
LOL = '<!DOCTYPE tmx [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTER = '<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
REMOTE = '<!DOCTYPE tmx [<!ENTITY % a SYSTEM "http://127.0.0.1:9/a.dtd"> %a;]>'


def with_type(doctype: str, text: str) -> bytes:
    return unit(text).replace(DTD.encode(), doctype.encode())


PARALLEL = b'<?xml version="1.0" encoding="%s"?>'
XML: dict[str, tuple[bytes, str]] = {
    "entities in entities": (with_type(LOL, "&b;"), r":2: declares an entity"),
    "a file as entity": (with_type(OUTER, "&a;"), r":2: declares an entity"),
    "a parameter entity": (with_type(REMOTE, "x"), r":2: declares an entity"),
    "unknown entity": (with_type("", "&foo;"), r":4: broken XML: undefined entity"),
    "deep": (unit("<hi>" * 300 + "</hi>" * 300), r":5: elements in elements, over 200 deep"),
    "long tag": (unit("x", f' a="{"b" * (1 << 20)}"'), r":5: a tag of over 512 KiB"),
    "cut off": (tmx([("a", "b")])[:-10], r":5: broken XML"),
    "mismatched": (unit("<hi>a</seg>"), r":5: broken XML: mismatched tag"),
    "another root": (b"<html><body/></html>", r":1: is <html>, not <tmx>: no TMX"),
    "two roots": (tmx([]) + tmx([]), r"broken XML"),
    "unknown encoding": (PARALLEL % b"klingon" + b"<tmx/>", r":1: declares .* 'klingon'"),
    "no encoding": (PARALLEL % b"rot13" + b"<tmx/>", r":1: declares the encoding 'rot13'"),
    "seven bits": (PARALLEL % b"utf-7" + b"<tmx/>", r":1: declares the encoding 'utf-7'"),
    "Latin-1 as UTF-8": (tmx([("\xe9t\xe9", "b")]).decode().encode("latin1"), "not allowed in XML"),
    "empty": (b"", "broken XML: no element found"),
}


@pytest.mark.parametrize("name", XML)
def test_hostile_xml(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "TAG", 512 << 10)
    data, message = XML[name]
    path = put(tmp_path / "x.tmx", data)
    with pytest.raises(FormatError, match=rf"x\.tmx.*{message}"):
        rows(Source(path, ("eng_Latn", "fr"), Tmx()))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a\x02b", "not allowed in XML"),
        ("a&#x1F;b", "not allowed in XML"),
        ("a&#0;b", "not allowed in XML"),
        ("a&#xD800;b", "not allowed in XML"),
        ("a&#99999999999;b", "not allowed in XML"),
        ("a\ufffeb", "not allowed in XML"),
        ("a&nosuch;b", "not allowed in XML"),
        ("a" * ((1 << 20) + 1), "a text over 1 MiB"),
    ],
)
def test_a_bad_unit_costs_itself_alone(text: str, kind: str, tmp_path: Path) -> None:
    path, faults = put(tmp_path / "x.tmx", unit(text)), Faults()
    found = rows(Source(path, ("eng_Latn", "fr"), Tmx()), faults, limit=1.0)
    assert found == [("a", "b"), (None, "d"), ("e", "f")]
    ((sample,)) = faults.samples
    assert sample.startswith(f"{path}:5: ")
    assert sample.endswith(kind)


def test_references_and_codes(tmp_path: Path) -> None:
    text = 'a&amp;&#x42;&nbsp;<bpt i="1">&lt;b></bpt><hi>c</hi><ph><sub>no</sub></ph><ept i="1"/>'
    path = put(tmp_path / "x.tmx", unit(text + "<![CDATA[<d>]]>"))
    assert rows(Source(path, ("eng_Latn", "fr"), Tmx()))[1] == ("a&B\xa0c<d>", "d")


@pytest.mark.parametrize("name", ["ISO-8859-1", "windows-1251", "gb18030", "Shift_JIS", "UTF-16"])
def test_declared_encodings(name: str, tmp_path: Path) -> None:
    text = {"ISO-8859-1": "été", "windows-1251": "мир", "Shift_JIS": "ソ日本"}.get(name, "中文🙂é")
    head = f'<?xml version="1.0" encoding="{name}"?>'
    data = tmx([(text, "b")]).decode().replace('<?xml version="1.0"?>', head)
    path = put(tmp_path / "x.tmx", data.encode(name))
    assert rows(Source(path, ("eng_Latn", "fr"), Tmx())) == [(text, "b")]
    assert set(recognise(Source(path)).fields) == {"eng_Latn", "fra_Latn"}


def test_languages_of_a_memory(tmp_path: Path) -> None:
    two = '<tuv xml:lang="en"><seg>second</seg></tuv></tu>'
    data = tmx([("a", "b")]).decode().replace("</tu>", two)
    path, faults = put(tmp_path / "x.tmx", data.encode()), Faults()
    assert rows(Source(path, ("en-us", "fra_Latn"), Tmx()), faults) == [("a", "b")]
    assert not faults.counts
    with pytest.raises(FormatError, match=r"no unit has a text in de; the languages are en-US, "):
        rows(Source(path, ("en", "de"), Tmx()))
    assert rows(Source(path, ("eng_Latn",), Tmx()), faults) == [("a",)]
    assert faults.counts == {"a second text in one language: the first is taken": 1}


def test_a_reference_that_is_cut_in_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "CHUNK", 1)
    monkeypatch.setattr(xml, "_STEP", 4)
    path = put(tmp_path / "x.tmx", unit("a&#x1F;b&amp;"))
    found = rows(Source(path, ("eng_Latn", "fr"), Tmx()), limit=1.0)
    assert found == [("a", "b"), (None, "d"), ("e", "f")]
