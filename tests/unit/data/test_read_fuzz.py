"""Whatever is done to the bytes of a file: rows, or a FormatError that names it."""

import random
from contextlib import suppress
from pathlib import Path

import pytest
from read_made import FORMATS, PACKED, put, rows, tarred, zipped

from m4nmt.data.formats import FormatError, Source
from m4nmt.data.read.recognise import recognise

PAIRS = [('Hello, "world"', "Bonjour\u2028x"), ("a & b", "<c>"), ("y" * 50, "z")] * 3


def broken(data: bytes, draw: random.Random) -> bytes:
    """Some bytes changed, lost, added, repeated, or the end cut off."""
    made = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(made) + 1)
        match draw.randrange(5):
            case 0:
                made[at : at + 1] = draw.randbytes(1)
            case 1:
                del made[at : at + draw.randint(1, 9)]
            case 2:
                made[at:at] = draw.randbytes(draw.randint(1, 9))
            case 3:
                made[at:at] = made[draw.randrange(len(made) + 1) :][:40]
            case _:
                del made[at:]
    return bytes(made)


def file(form: str, draw: random.Random) -> tuple[str, bytes]:
    """A broken file, perhaps packed, perhaps in an archive, perhaps broken there again."""
    write, _, _, ending = FORMATS[form]
    data = write(PAIRS)
    data = broken(data, draw) if draw.random() < 0.8 else data
    suffix = draw.choice(["", "", "", *PACKED])
    data, name = PACKED[suffix](data), f"x.{ending}{suffix}"
    place = draw.choice(["", "", "zip", "tar"])
    if place:
        data = {"zip": zipped, "tar": tarred}[place](name, data)
        name = f"x.{place}"
    return name, broken(data, draw) if draw.random() < 0.3 else data


def outcome(source: Source) -> int | str:
    """How many rows it has, or why it is refused."""
    try:
        return sum(len(row) == len(source.fields) for row in rows(source, limit=1.0))
    except FormatError as error:
        return str(error)


@pytest.mark.parametrize("form", FORMATS)
def test_broken_bytes(form: str, tmp_path: Path) -> None:
    _, kind, fields, _ = FORMATS[form]
    read = refused = 0
    for seed in range(40):
        name, data = file(form, random.Random(f"{form} {seed}"))
        path = put(tmp_path / name, data)
        found = outcome(Source(path, fields, kind))
        assert isinstance(found, int) or str(path) in found
        read, refused = read + isinstance(found, int), refused + isinstance(found, str)
        with suppress(FormatError):
            recognise(Source(path))
    assert read
    assert refused
