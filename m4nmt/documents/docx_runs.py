"""One paragraph of a Word document as contents, and written again as runs.

Runs of equal format are one; the format of most of the text is the ground, the others are pairs of
tags, as are hyperlinks and other wrappers. Tabs and breaks are walls. Pictures, notes and what else
stands in a line are points. Fields are units, but the text of a HYPERLINK is translated.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from m4nmt.documents.place import joined
from m4nmt.documents.road import has_text
from m4nmt.documents.types import (
    Close,
    Content,
    Item,
    Meter,
    Open,
    Point,
    Result,
    Slot,
    Unit,
)
from m4nmt.documents.xml import Node, escape

_WRAPPERS = (
    "hyperlink",
    "ins",
    "moveTo",
    "smartTag",
    "customXml",
    "sdt",
    "sdtContent",
    "dir",
    "bdo",
)
_STARTS = ("bookmarkStart", "commentRangeStart", "permStart", "moveToRangeStart")
_ENDS = ("bookmarkEnd", "commentRangeEnd", "permEnd", "moveToRangeEnd")
# States of a program, and where a word could be broken: stale once text changes.
_DROPPED = ("proofErr", "lastRenderedPageBreak", "softHyphen")
_BREAKS = ("tab", "br", "cr", "ptab")
_STALE = re.compile(r"<\w+:(?:lang|noProof)\b[^>]*/>")
_EMPTY = re.compile(r"<(\w+:rPr)(?:/>|></\1>)")


class _Atom(NamedTuple):
    kind: Literal["text", "open", "close", "point", "unit", "wall", "before", "after"]
    raw: str = ""
    text: str = ""
    format: str = ""  # of text: the properties of its run


class _Part(NamedTuple):
    """Something that stays, or a content with the formats of its pairs and its ground."""

    raw: str = ""
    content: Content = ()
    formats: dict[int, str] = {}  # noqa: RUF012 - never changed
    ground: str = ""


def slot(data: bytes, paragraph: Node, meter: Meter, numbers: Iterator[int]) -> Iterator[Slot]:
    """The slot of a paragraph, if there is text in it. `numbers` are for its tags.

    Raises:
        DocumentError: too much for the meter.
    """
    nodes = [n for n in paragraph.items if isinstance(n, Node) and n.name != "pPr"]
    if not nodes:
        return
    parts = list(_parts(list(_Reader(data).atoms(nodes)), numbers))
    contents = tuple(part.content for part in parts if has_text(part.content))
    if not contents:
        return
    meter.add(contents)
    prefix = paragraph.tag[:-1]

    def written(results: Sequence[Result]) -> str:
        following = iter(results)
        out = []
        for part in parts:
            content = next(following).content if has_text(part.content) else part.content
            out.append(part.raw + _runs(content, part, prefix))
        return "".join(out)

    yield Slot(nodes[0].start, nodes[-1].end, contents, written)


class _Reader:
    """Nodes of a paragraph to atoms."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def atoms(self, nodes: Sequence[Node]) -> Iterator[_Atom]:
        """Raw texts of all atoms but texts, in order, with text between."""
        at = 0
        while at < len(nodes):
            node = nodes[at]
            field = _field(nodes, at) if node.name == "r" else None
            if field is not None:
                yield from self._field(nodes[at : field + 1])
                at = field + 1
                continue
            yield from self._node(node)
            at += 1

    def _raw(self, start: int, end: int) -> str:
        return self._data[start:end].decode()

    def _node(self, node: Node) -> Iterator[_Atom]:
        raw = self._raw(node.start, node.end)
        if node.name == "r":
            yield from self._run(node)
        elif node.name in _WRAPPERS and node.inner < node.outer:
            inside = [n for n in node.items if isinstance(n, Node)]
            kept = [n for n in inside if n.name.endswith("Pr")]
            begin = kept[-1].end if kept else node.inner
            yield _Atom("open", self._raw(node.start, begin))
            yield from self.atoms([n for n in inside if n not in kept])
            yield _Atom("close", self._raw(node.outer, node.end))
        elif node.name in _STARTS:
            yield _Atom("before", raw)
        elif node.name in _ENDS:
            yield _Atom("after", raw)
        elif node.name == "fldSimple":
            yield _Atom("unit", raw, _text(node))
        elif node.name not in _DROPPED:
            yield _Atom("point", raw)

    def _run(self, run: Node) -> Iterator[_Atom]:
        properties = "".join(self._raw(n.start, n.end) for n in run.children("rPr"))
        kept = _EMPTY.sub("", _STALE.sub("", properties))
        opening, closing = self._raw(run.start, run.inner), self._raw(run.outer, run.end)
        for node in run.items:
            if not isinstance(node, Node) or node.name in ("rPr", *_DROPPED):
                continue
            if node.name == "t":
                yield _Atom("text", text=_text(node), format=kept)
                continue
            if node.name == "noBreakHyphen":
                yield _Atom("text", text="-", format=kept)
                continue
            raw = f"{opening}{properties}{self._raw(node.start, node.end)}{closing}"
            wall = node.name in (*_BREAKS, "fldChar", "instrText")
            yield _Atom("wall" if wall else "point", raw)

    def _field(self, nodes: Sequence[Node]) -> Iterator[_Atom]:
        """A complex field, from its begin to its end."""
        separate = next((i for i, n in enumerate(nodes) if "separate" in _marks(n)), None)
        raw = self._raw(nodes[0].start, nodes[-1].end)
        if separate is None:
            yield _Atom("point", raw)
            return
        order = "".join(map(_instruction, nodes[:separate])).split()
        inner = nodes[separate + 1 : -1]
        if order[:1] == ["HYPERLINK"] and inner:
            yield _Atom("open", self._raw(nodes[0].start, nodes[separate].end))
            yield from self.atoms(inner)
            yield _Atom("close", self._raw(nodes[-1].start, nodes[-1].end))
        else:
            yield _Atom("unit", raw, "".join(map(_text, inner)))


def _parts(atoms: Sequence[_Atom], numbers: Iterator[int]) -> Iterator[_Part]:
    """Contents between walls. A pair that holds a wall is one; marks of ranges go to the edges."""
    walls = _walls(atoms)
    run: list[_Atom] = []
    before: list[str] = []
    after: list[str] = []
    for i, atom in enumerate(atoms):
        if i in walls:
            yield _part(run, before, numbers)
            yield _Part("".join(after) + atom.raw)
            run, before, after = [], [], []
        elif atom.kind == "before":
            before.append(atom.raw)
        elif atom.kind == "after":
            after.append(atom.raw)
        else:
            run.append(atom)
    yield _part(run, before, numbers)
    yield _Part("".join(after))


def _walls(atoms: Sequence[_Atom]) -> set[int]:
    walls: set[int] = set()
    path: list[tuple[int, int]] = []
    for i, atom in enumerate(atoms):
        if atom.kind == "wall":
            walls.add(i)
        elif atom.kind == "open":
            path.append((i, len(walls)))
        elif atom.kind == "close":
            at, seen = path.pop()
            if len(walls) > seen:
                walls |= {at, i}
    return walls


def _part(run: Sequence[_Atom], before: Sequence[str], numbers: Iterator[int]) -> _Part:
    """The content of atoms, with formats other than the ground's as pairs."""
    ground = _ground(run)
    items: list[Item] = []
    formats: dict[int, str] = {}
    path: list[int] = []  # pairs of wrappers
    here: Close | None = None  # of the pair of a format that is open
    now = ground
    for atom in run:
        changes = atom.kind == "text" and atom.format != now and bool(atom.text.strip())
        if here is not None and (changes or atom.kind in ("open", "close")):
            items.append(here)
            here, now = None, ground
        if changes and atom.format != ground:
            number = next(numbers)
            formats[number] = atom.format
            items.append(Open(number, ""))
            here, now = Close(number, ""), atom.format
        if atom.kind == "open":
            path.append(next(numbers))
            items.append(Open(path[-1], atom.raw))
        elif atom.kind == "close":
            items.append(Close(path.pop(), atom.raw))
        elif atom.kind == "text":
            items.append(atom.text)
        elif atom.kind == "unit" and atom.text.strip():
            items.append(Unit(" ".join(atom.text.split()), atom.raw))
        else:
            items.append(Point(next(numbers), atom.raw))
    return _Part("".join(before), joined([*items, *([here] if here else [])]), formats, ground)


def _ground(run: Sequence[_Atom]) -> str:
    """The format of most of the text outside wrappers; within them, if there is none outside."""
    sizes: Counter[str] = Counter()
    depth = 0
    for atom in run:
        depth += {"open": 1, "close": -1}.get(atom.kind, 0)
        size = len(atom.text.strip()) if atom.kind == "text" else 0
        sizes[atom.format] += size if depth else size * 1_000_000
    return max(sizes, key=lambda f: sizes[f], default="")


def _runs(content: Content, part: _Part, prefix: str) -> str:
    """A content as runs."""
    out = []
    format = part.ground
    for item in content:
        if isinstance(item, str):
            text = f'<{prefix}t xml:space="preserve">{escape(item)}</{prefix}t>'
            out.append(f"<{prefix}r>{format}{text}</{prefix}r>")
        elif isinstance(item, Open | Close) and item.id in part.formats:
            format = part.formats[item.id] if isinstance(item, Open) else part.ground
        else:
            out.append(item.raw)
    return "".join(out)


def _field(nodes: Sequence[Node], at: int) -> int | None:
    """Where the field ends that begins in a run; None if none does, or it ends elsewhere."""
    if "begin" not in _marks(nodes[at]):
        return None
    depth = 0
    for i in range(at, len(nodes)):
        for mark in _marks(nodes[i]):
            depth += {"begin": 1, "end": -1}.get(mark, 0)
        if depth == 0:
            return i
    return None


def _marks(node: Node) -> list[str]:
    return [n.attributes.get("fldCharType", "") for n in node.children("fldChar")]


def _instruction(node: Node) -> str:
    return "".join(_text(n, "instrText") for n in node.children("instrText"))


def _text(node: Node, name: str = "t") -> str:
    """What a reader sees of it."""
    if node.name == name:
        return "".join(item for item in node.items if isinstance(item, str))
    return "".join(_text(n, name) for n in node.items if isinstance(n, Node))
