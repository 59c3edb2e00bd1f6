"""Placeholders, addresses and other texts that a translation must bear unchanged.

`with_units` finds them in a content; `find` finds them again in a translation, or says that the
translation lost, changed, doubled or invented one.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from m4nmt.documents.place import text_of
from m4nmt.documents.types import Close, Content, Item, Open, Unit

# Lengths are bounded, so that no text makes these patterns slow.
_PATTERN = re.compile(
    r"""
      (?:https?|ftp)://[^\s<>"'`]{1,2000}(?<![.,;:!?)\]}…。，、])
    | \bwww\.[\w-]{1,63}\.[^\s<>"'`]{1,2000}(?<![.,;:!?)\]}…。，、])
    | (?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,5}
    | \{\{[^{}\n]{0,200}\}\}
    | \{%[^{}\n]{0,200}%\}
    | \{[:.\#][^{}\n]{0,200}\}
    | (?<![\w:]):[a-z][a-z0-9_+-]{1,40}:(?![\w:])
    | \{\w{1,50},\s?(?:plural|select|selectordinal|number|date|time|choice)\b
        (?:[^{}]|\{(?:[^{}]|\{[^{}]{0,200}\}){0,500}\}){0,500}\}
    | [$%\#]?\{[\w.:,!@$%^*/\[\]-]{0,100}\}
    | (?<!%)%(?:\(\w{1,50}\)|\d{1,2}\$)?[-+\#0]?\d{0,3}(?:\.\d{1,3})?
        (?:hh?|ll?|[Lzjt])?[diouxXeEfFgGcrsa@](?![a-z])
    | %%
    | \$[A-Za-z_]\w{0,50}\b
    | %[A-Z_]{2,30}%
    """,
    re.VERBOSE,
)
# Of texts without markup of their own: code, tags, character references.
_IN_RAW_TEXT = re.compile(
    r"`[^`\n]{1,500}`|</?[A-Za-z][^<>\n]{0,1000}>|&(?:\#\d{1,7}|\#x[0-9A-Fa-f]{1,6}|\w{1,31});"
)
_ANY_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,1000}>")
_TAG = re.compile(r"<(/?)([A-Za-z][\w:.-]*)(?![^>]*/>)")
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}  # full-width forms


def with_units(content: Content) -> Content:
    """The content with its placeholders as units, which are written as plain text."""
    items: list[Item] = []
    for item in content:
        items += _cut(item, _PATTERN) if isinstance(item, str) else [item]
    return tuple(items)


def raw_text(text: str) -> Content:
    """A text that may hold code and tags but gives them no meaning of its own.

    Tags that close are pairs, all others units. What a translation says beyond them goes through
    `without_tags`.
    """
    items: list[Item] = []
    path: list[tuple[str, int]] = []  # name and place of tags that are open
    for item in _cut(text, _IN_RAW_TEXT):
        tag = _TAG.match(item.text) if isinstance(item, Unit) else None
        if tag is None:
            items.append(item)
        elif not tag.group(1):
            path.append((tag.group(2).lower(), len(items)))
            items.append(item)
        elif path and path[-1][0] == tag.group(2).lower():
            at = path.pop()[1]
            items[at] = Open(at, text_of((items[at],)))
            items.append(Close(at, tag.string))
        else:
            items.append(item)
    return tuple(items)


def without_tags(text: str) -> str:
    """A text that can bring no tag into a format that does not escape them."""
    return _ANY_TAG.sub("", text)


def _cut(text: str, pattern: re.Pattern[str]) -> Iterator[str | Unit]:
    at = 0
    for match in pattern.finditer(text):
        if match.start() > at:
            yield text[at : match.start()]
        yield Unit(match.group(), match.group() if pattern is _IN_RAW_TEXT else "")
        at = match.end()
    if at < len(text):
        yield text[at:]


def invents(text: str) -> bool:
    """Whether a translation of a text without placeholders holds one."""
    return _PATTERN.search(text) is not None


def find(target: str, units: Sequence[Unit]) -> list[tuple[int, int, int]] | None:
    """Where the units stand in a translation: (start, end, number of the unit), by place.

    None if one is missing, or if there are more than there should be.
    """
    free = target.translate(_NARROW)
    places: list[tuple[int, int, int]] = []
    for text in sorted(Counter(u.text for u in units), key=lambda t: (-len(t), t)):
        numbers = [i for i, unit in enumerate(units) if unit.text == text]
        spans = _exactly(free, text)
        if len(spans) < len(numbers):
            spans += _nearly(_without(free, spans), text)
        if len(spans) != len(numbers):
            return None
        places += [(a, b, i) for (a, b), i in zip(sorted(spans), numbers, strict=True)]
        free = _without(free, spans)
    return None if invents(free) else sorted(places)


def _exactly(free: str, text: str) -> list[tuple[int, int]]:
    text = text.translate(_NARROW)
    if not text.strip():
        return []
    before = r"(?<![A-Za-z0-9_])" if _word(text[0]) else ""
    after = r"(?![A-Za-z0-9_])" if _word(text[-1]) else ""
    return [m.span() for m in re.finditer(before + re.escape(text) + after, free)]


def _nearly(free: str, text: str) -> list[tuple[int, int]]:
    """Placeholders that came out with other spaces, case or width: "{ 0 }", "% S"."""
    if all(map(_word, text)) or len(text) > 60:
        return []
    pattern = r"[ \u00a0]?".join(map(re.escape, text.translate(_NARROW).replace(" ", "")))
    ends = (r"(?<![A-Za-z0-9_])" * _word(text[0]), r"(?![A-Za-z0-9_])" * _word(text[-1]))
    whole = re.compile(ends[0] + pattern + ends[1], re.IGNORECASE)
    return [m.span() for m in whole.finditer(free)]


def _word(character: str) -> bool:
    return character == "_" or (character.isascii() and character.isalnum())


def _without(free: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with spans taken out, other characters where they were."""
    out, at = [], 0
    for start, end in sorted(spans):
        out += [free[at:start], "\0" * (end - start)]
        at = end
    return "".join([*out, free[at:]])
