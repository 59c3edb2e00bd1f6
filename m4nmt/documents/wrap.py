"""Line breaks for a content: at spaces, and between characters of scripts without spaces."""

import re
from collections.abc import Iterator

from m4nmt.documents.place import text_of
from m4nmt.documents.types import Content, Item, Unit

_WIDE = "[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
# Never before closing marks: those are not in the class, so no break stands before them.
_BREAK = re.compile(f" |(?<={_WIDE})(?={_WIDE})")


def wrapped(content: Content, width: int, newline: str = "\n") -> Content:
    """Lines of at most `width` characters where words allow it; tags take no room."""
    text = text_of(content)
    breaks = list(_breaks(text, width))
    out: list[Item] = []
    at, following = 0, 0
    for item in content:
        if not isinstance(item, str):
            out.append(item)
            at += len(item.text) if isinstance(item, Unit) else 0
            while following < len(breaks) and breaks[following][0] < at:
                following += 1  # inside a unit
            continue
        begin, pieces = 0, []
        while following < len(breaks) and breaks[following][0] < at + len(item):
            start, end = breaks[following]
            pieces.append(item[begin : start - at])
            begin, following = end - at, following + 1
        out.append(newline.join([*pieces, item[begin:]]))
        at += len(item)
    return tuple(out)


def balanced(content: Content, lines: int, width: int, newline: str = "\n") -> Content:
    """At most `lines` lines if `width` allows, as even as can be; more where it must."""
    size = len(text_of(content))
    if size <= width:
        return content
    narrow = size // max(lines, -(-size // width))
    for limit in range(narrow, width if size < 20 * width else narrow):
        if len(list(_breaks(text_of(content), limit))) < lines:
            return wrapped(content, limit, newline)
    return wrapped(content, width, newline)


def _breaks(text: str, width: int) -> Iterator[tuple[int, int]]:
    begin = 0
    last: tuple[int, int] | None = None
    for start, end in [*(m.span() for m in _BREAK.finditer(text)), (len(text), len(text))]:
        if start - begin > width and last is not None:
            yield last
            begin, last = last[1], None
        if begin < start < len(text):
            last = (start, end)
