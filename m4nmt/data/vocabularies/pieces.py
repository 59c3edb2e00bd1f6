"""Put our own specials and tags into a foreign SentencePiece model.

A model file is a protocol buffer whose field 1 repeats {1: piece, 2: score, 3: type}; all other
fields are kept byte for byte. Written by hand since the generated module that ships with
sentencepiece asks for one exact protobuf runtime.
Not its job: training or running a model.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_PIECES, _TRAINER = 1, 2  # fields of the model
_ALGORITHM = 3  # field of the trainer
_KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


class PieceFormatError(ValueError):
    """The bytes are no SentencePiece model."""


def controls(names: Iterable[str]) -> bytes:
    """Control pieces, to be put at the end of a model: they get the next ids."""
    return b"".join(_piece(name, CONTROL) for name in names)


def relabel(
    model: bytes, unknown: int, controls: Sequence[str], symbols: Sequence[str] = ()
) -> bytes:
    """A model whose first pieces are `controls`, in order, the one at `unknown` being the unknown
    piece, and then `symbols`, which are always one piece; the old model's own control and unknown
    pieces, and pieces that are now symbols, go; all others keep order and score.

    Raises:
        PieceFormatError: `model` is not a SentencePiece model.
    """
    head = b"".join(
        _piece(name, UNKNOWN if index == unknown else CONTROL)
        for index, name in enumerate(controls)
    )
    head += b"".join(_piece(name, USER) for name in symbols)
    kept, rest = [], []
    for number, whole, body in _fields(model):
        if number != _PIECES:
            rest.append(whole)
            continue
        fields = {n: b for n, _, b in _fields(body)}
        kind = _varint(fields[3], 0)[0] if 3 in fields else NORMAL
        if kind not in (CONTROL, UNKNOWN) and fields.get(1, b"").decode() not in symbols:
            kept.append(whole)
    if not kept:
        raise PieceFormatError("it holds no pieces")
    return head + b"".join(kept) + b"".join(rest)


def model_type(model: bytes) -> str:
    """The algorithm: unigram, bpe, word or char.

    Raises:
        PieceFormatError: `model` is not a SentencePiece model.
    """
    trainers = [body for number, _, body in _fields(model) if number == _TRAINER]
    found = [
        _varint(whole, 1)[0]
        for body in trainers
        for n, whole, _ in _fields(body)
        if n == _ALGORITHM
    ]
    return _KINDS.get(found[-1] if found else 1, "unknown")


def _piece(name: str, kind: int) -> bytes:
    text = name.encode()
    body = b"\x0a" + _to_varint(len(text)) + text + b"\x15" + struct.pack("<f", 0.0)
    body += b"\x18" + _to_varint(kind)
    return b"\x0a" + _to_varint(len(body)) + body


def _fields(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(field number, the whole field, its value) of one message."""
    at = 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value = at
            _, at = _varint(data, at)
        elif wire in (1, 5):
            value = at
            at += 8 if wire == 1 else 4
        elif wire == 2:
            size, value = _varint(data, at)
            at = value + size
        else:
            raise PieceFormatError(f"wire type {wire} at byte {start}")
        if at > len(data):
            raise PieceFormatError(f"it ends inside the field at byte {start}")
        yield key >> 3, data[start:at], data[value:at]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result, at
        shift += 7
    raise PieceFormatError(f"broken number at byte {at}")


def _to_varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
