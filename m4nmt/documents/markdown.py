"""Markdown: CommonMark with tables, strike-through and front matter.

markdown-it says where the blocks are; in each paragraph, heading and cell the inline rules
(markdown_inline) say what is text. Code, HTML blocks, definitions, front matter, images and the
targets of links stay. A paragraph that changes comes out on one line, but for its hard breaks.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token as Block

from m4nmt.documents.inline import Token, slots, write
from m4nmt.documents.markdown_inline import normal, tokens
from m4nmt.documents.types import Close, Content, DocumentError, Item, Meter, Open, Result, Slot

_FRONT = re.compile(r"\ufeff?---[ \t]*\r?\n(?:.*\n)*?---[ \t]*(?:\r?\n|\Z)")
_LINES = 50_000
_STARS = {"_": ("*", "*"), "__": ("**", "**")}
_TAGS = {
    **dict.fromkeys(("*", "_"), ("<em>", "</em>")),
    **dict.fromkeys(("**", "__"), ("<strong>", "</strong>")),
    "~~": ("<del>", "</del>"),
}
_START = re.compile(r"(?:#{1,6}(?=\s|$)|[-+](?=\s|$)|>|=+\s*$|-+\s*$|~~~|(\d{1,9})[.)](?=\s|$))")
_TASK = re.compile(r"\[[ xX]\]\s")
_SPECIAL = re.compile(
    r"[\\`|\[\]]|\*(?=\S)|(?<=\S)\*|(?<!\w)_|_(?!\w)|~(?=~)|<(?=[A-Za-z/!?])|&(?=#?\w{1,31};)"
)


def split(document: str, meter: Meter) -> Iterator[Slot]:
    """The slots of a document.

    Raises:
        DocumentError: too much for the meter.
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", document)
    if len(lines) > _LINES:
        raise DocumentError(f"the document has more than {_LINES} lines; cut it into several")
    front = _FRONT.match(document)
    skipped = front.group().count("\n") if front else 0
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.disable(["inline", "text_join"])
    environment: dict[str, dict[str, object]] = {}
    blocks = parser.parse("\n" * skipped + "".join(lines[skipped:]), environment)
    labels = {normal(label) for label in environment.get("references", {})}
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    at = 0  # how far in a row of a table
    for before, block in pairwise(blocks):
        if block.type == "tr_open":
            at = 0
        elif block.type == "inline" and block.map:
            if before.type in ("th_open", "td_open"):
                line, start = lines[block.map[0]], starts[block.map[0]]
                flat = block.content.strip().replace("|", "\\|")
                place = line.find(flat, at)
                if flat and place >= 0:
                    at = place + len(flat)
                    yield from _slot(flat, start + place, start + at, "", labels, meter)
            else:
                yield from _block(lines, starts, block, labels, meter)


def _block(
    lines: Sequence[str],
    starts: Sequence[int],
    block: Block,
    labels: Collection[str],
    meter: Meter,
) -> Iterator[Slot]:
    """A paragraph or heading. Each line of it stands in a line of the document, after the marks
    of lists and quotations; where it cannot be found the block stays."""
    assert block.map is not None
    first = block.map[0]
    texts = block.content.split("\n")
    spans = []
    for line, text in zip(lines[first:], texts, strict=False):
        at = line.rfind(text.strip())
        if at < 0:
            return
        spans.append((at, at + len(text.strip())))
    if len(spans) < len(texts) or not block.content.strip():
        return
    start = starts[first] + spans[0][0]
    end = starts[first + len(spans) - 1] + spans[-1][1]
    ending = "\r\n" if lines[first].endswith("\r\n") else "\n"
    following = lines[first + 1][: spans[1][0]] if len(spans) > 1 else ""
    yield from _slot(block.content.strip(), start, end, ending + following, labels, meter)


def _slot(
    flat: str, start: int, end: int, newline: str, labels: Collection[str], meter: Meter
) -> Iterator[Slot]:
    """One slot for a block whose text, without the marks of its lines, is `flat`."""
    meter.paragraph(len(flat))
    found = tokens(flat, labels)
    task = _TASK.match(flat)
    if task and found[0].kind == "text":
        text = found[0]
        found[:1] = [
            Token("wall", 0, task.end()),
            Token("text", task.end(), text.end, text.text[task.end() :]),
        ]
    inner = list(slots(flat, found, lambda c: _written(c, labels), meter))
    if not inner:
        return

    def written(results: Sequence[Result]) -> str:
        out, at = [], 0
        for slot, result in zip(inner, results, strict=True):
            out.append(flat[at : slot.start])
            out.append(slot.write([result]) if result.changed else flat[slot.start : slot.end])
            at = slot.end
        whole = "".join([*out, flat[at:]]).split("\n")
        return newline.join(_line(line.lstrip(" ") if i else line) for i, line in enumerate(whole))

    contents = tuple(content for slot in inner for content in slot.contents)
    yield Slot(start, end, contents, written)


def _line(line: str) -> str:
    """A line that begins no list, heading or quotation by the chance of translation."""
    start = _START.match(line)
    if not start:
        return line
    cut = len(start.group(1) or "")
    return f"{line[:cut]}\\{line[cut:]}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda m: "&amp;" if m.group() == "&" else f"\\{m.group()}", text)


def _written(content: Content, labels: Collection[str]) -> str:
    """The content with marks that are read as they are meant: where * or _ would not be, because
    of what stands beside them, as HTML tags."""
    marks = content
    for marks in (content, _with(content, _STARS), _with(content, _TAGS)):
        text = write(marks, _escaped)
        if _read(text, labels) == _meant(marks):
            return text
    return write(marks, _escaped)


def _with(content: Content, other: Mapping[str, tuple[str, str]]) -> Content:
    """Emphasis written with other marks."""
    items: list[Item] = []
    for item in content:
        if isinstance(item, Open) and item.raw in other:
            items.append(Open(item.id, other[item.raw][0]))
        elif isinstance(item, Close) and item.raw in other:
            items.append(Close(item.id, other[item.raw][1]))
        else:
            items.append(item)
    return tuple(items)


def _read(text: str, labels: Collection[str]) -> list[tuple[str, str]]:
    """The tags, points and units that a reader will see."""
    return [(t.kind, text[t.start : t.end]) for t in tokens(text, labels) if t.kind != "text"]


def _meant(content: Content) -> list[tuple[str, str]]:
    return [(type(i).__name__.lower(), i.raw) for i in content if not isinstance(i, str)]
