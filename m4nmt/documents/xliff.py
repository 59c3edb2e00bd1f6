"""XLIFF 1.2 and 2: empty targets are filled from their sources, with inline tags in place.

What is marked translate="no", approved or already translated stays. Not its job: segmenting.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import count, groupby

from m4nmt.documents.inline import write
from m4nmt.documents.place import joined
from m4nmt.documents.road import has_text
from m4nmt.documents.types import (
    Close,
    Content,
    DocumentError,
    Item,
    Meter,
    Open,
    Point,
    Result,
    Slot,
    Unit,
)
from m4nmt.documents.xml import Node, escape, read

_VERSION_1 = "urn:oasis:names:tc:xliff:document:1.2"
_VERSION_2 = "urn:oasis:names:tc:xliff:document:2."
_OPEN_STATES = ("new", "needs-translation", "initial")
_BREAK = re.compile(r"\s*<br\s*/?>\s*\Z", re.IGNORECASE)
_LINE_END = re.compile(r"([ \t]*\n\s*)")
# Empty elements that open and close a stretch, with the attributes that tell partners.
_OPENS = {"bpt": ("rid", "id"), "bx": ("rid", "id"), "sc": ("id",), "sm": ("id",)}
_CLOSES = {"ept": ("rid", "id"), "ex": ("rid", "id"), "ec": ("startRef",), "em": ("startRef",)}


def split(data: bytes, meter: Meter) -> Iterator[Slot]:
    """The slots of the targets.

    Raises:
        DocumentError: not XLIFF, broken XML, or too much for the meter.
    """
    numbers = count()
    for node, path in read(data, lambda n, _: n.name in ("trans-unit", "segment"), meter):
        if not _is_xliff(path):
            raise DocumentError("not XLIFF 1.2 or 2: its root is another")
        if not _kept([*path, node]):
            yield from _slot(data, node, meter, numbers, _keeps_lines([*path, node]))


def language(data: bytes, code: str) -> bytes:
    """The document with its target language, where it says none."""

    root = re.search(rb"<xliff(?=\s)[^<>]*>", data)
    newer = root is not None and b"srcLang" in root.group()
    element, name = (b"xliff", b"trgLang") if newer else (b"file", b"target-language")

    def named(match: re.Match[bytes]) -> bytes:
        tag = match.group()
        if name in tag:
            return tag
        cut = len(element) + 1
        return tag[:cut] + b' %s="%s"' % (name, code.encode()) + tag[cut:]

    return re.sub(rb"<%s(?=\s)[^<>]*>" % element, named, data)


def _is_xliff(path: Sequence[Node]) -> bool:
    root = path[0] if path else None
    return (
        root is not None
        and root.name == "xliff"
        and (root.space in ("", _VERSION_1) or root.space.startswith(_VERSION_2))
    )


def _kept(path: Sequence[Node]) -> bool:
    """Whether a unit is not to be translated; the innermost word on it counts."""
    if path[-1].attributes.get("approved") == "yes" or any(n.name == "alt-trans" for n in path):
        return True
    said = (n.attributes["translate"] for n in reversed(path) if "translate" in n.attributes)
    return next(said, "yes") == "no"


def _keeps_lines(path: Sequence[Node]) -> bool:
    """Whether line ends in the texts below are meant; the innermost word on it counts."""
    said = (n.attributes["space"] for n in reversed(path) if "space" in n.attributes)
    return next(said, "default") == "preserve"


def _slot(
    data: bytes, node: Node, meter: Meter, numbers: Iterator[int], lines: bool
) -> Iterator[Slot]:
    source = next(node.children("source"), None)
    target = next(node.children("target"), None)
    if source is None or _done(node, target):
        return
    segmented = next(node.children("seg-source"), source)
    parts = list(_parts(data, segmented, numbers, lines))
    contents = tuple(p for p in parts if not isinstance(p, str) and has_text(p))
    if not contents:
        return
    meter.add(contents)
    start, end = node.start, target.end if target else segmented.end

    def written(results: Sequence[Result]) -> str:
        if any(r.doubt and not r.changed for r in results):
            return data[start:end].decode()
        following = iter(results)
        inner = "".join(
            part if isinstance(part, str) else _written(part, following) for part in parts
        )
        return _filled(data, node, target, inner, any(r.doubt for r in results))

    yield Slot(start, end, contents, written, fills=True)


def _done(node: Node, target: Node | None) -> bool:
    """Whether someone has translated it before."""
    of = target if node.name == "trans-unit" else node
    state = of.attributes.get("state", "") if of is not None else ""
    return target is not None and bool(target.items) and state not in _OPEN_STATES


def _written(content: Content, results: Iterator[Result]) -> str:
    return write(next(results).content if has_text(content) else content, escape)


def _filled(data: bytes, node: Node, target: Node | None, inner: str, unsure: bool) -> str:
    """The unit from its opening tag to the end of its target."""
    source = next(node.children("source"))
    segmented = next(node.children("seg-source"), source)
    opening = data[node.start : node.inner].decode()
    name = source.tag.replace("source", "target")
    if target is not None:
        tag = data[target.start : target.inner].decode().replace("/>", ">")
        between = data[node.inner : target.start].decode()
    else:
        tag = f"<{name}>"
        gap = data[node.inner : source.start].decode()
        between = data[node.inner : segmented.end].decode() + ("" if gap.strip() else gap)
    if node.name == "segment":
        opening = _with(opening, "state", "initial" if unsure else "translated")
    else:
        tag = _with(tag, "state-qualifier", "mt-suggestion")
        tag = _with(tag, "state", "needs-review-translation" if unsure else "translated")
    return f"{opening}{between}{tag}{inner}</{name}>"


def _with(tag: str, name: str, value: str) -> str:
    """An opening tag with an attribute."""
    without = re.sub(rf"""\s+{name}\s*=\s*("[^"]*"|'[^']*')""", "", tag)
    cut = re.match(r"<[^\s/>]+", without)
    at = cut.end() if cut else 0
    return f'{without[:at]} {name}="{value}"{without[at:]}'


def _parts(data: bytes, node: Node, numbers: Iterator[int], lines: bool) -> Iterator[Content | str]:
    """The contents of a source, and what stands between them; of a segmented one, in order."""
    if node.name != "seg-source":
        yield from _stretches(data, node.items, numbers, lines)
        return
    for item in node.items:
        if isinstance(item, str):
            yield escape(item)
        elif item.attributes.get("mtype") == "seg":
            yield data[item.start : item.inner].decode()
            yield from _stretches(data, item.items, numbers, lines)
            yield data[item.outer : item.end].decode()
        else:
            yield data[item.start : item.end].decode()


def _stretches(
    data: bytes, nodes: Sequence[Node | str], numbers: Iterator[int], lines: bool
) -> Iterator[Content | str]:
    """Contents between line breaks: those that stand for one, and line ends where these count."""
    stretch: list[Node | str] = []
    for node in _whole_texts(nodes):
        if isinstance(node, str):
            first, *others = _LINE_END.split(node) if lines else [node]
            stretch.append(first)
            for gap, text in zip(others[::2], others[1::2], strict=True):
                yield joined(list(_items(data, stretch, numbers)))
                yield gap
                stretch = [text]
        elif _is_break(node):
            yield joined(list(_items(data, stretch, numbers)))
            yield data[node.start : node.end].decode()
            stretch = []
        else:
            stretch.append(node)
    yield joined(list(_items(data, stretch, numbers)))


def _whole_texts(nodes: Sequence[Node | str]) -> Iterator[Node | str]:
    """With texts that stand side by side as one: a parser ends them at line ends."""
    for is_text, run in groupby(nodes, lambda node: isinstance(node, str)):
        if is_text:
            yield "".join(node for node in run if isinstance(node, str))
        else:
            yield from run


def _is_break(node: Node) -> bool:
    said = node.attributes
    kind = said.get("ctype") or said.get("subType", "")
    shown = said.get("equiv-text") or said.get("equiv") or _text(node)
    return node.name in ("x", "ph") and (kind in ("lb", "xlf:lb") or bool(_BREAK.match(shown)))


def _items(data: bytes, nodes: Sequence[Node | str], numbers: Iterator[int]) -> Iterator[Item]:
    partner = _pairs(nodes)
    for i, node in enumerate(nodes):
        if isinstance(node, str):
            yield node
            continue
        raw = data[node.start : node.end].decode()
        text = _text(node)
        if node.name == "mrk" and _protected(node) and text.strip():
            yield Unit(" ".join(text.split()), raw)
        elif node.name in ("g", "pc", "mrk") and node.inner < node.outer:
            number = next(numbers)
            yield Open(number, data[node.start : node.inner].decode())
            yield from _items(data, node.items, numbers)
            yield Close(number, data[node.outer : node.end].decode())
        elif i in partner and i < partner[i]:
            yield Open(-1 - nodes[i].start, raw)  # type: ignore[union-attr]
        elif i in partner:
            yield Close(-1 - nodes[partner[i]].start, raw)  # type: ignore[union-attr]
        else:
            yield Point(next(numbers), raw)


def _pairs(nodes: Sequence[Node | str]) -> dict[int, int]:
    """Index of the partner of each empty tag that has one, well nested, beside it."""
    partner: dict[int, int] = {}
    path: list[tuple[str, int]] = []
    for i, node in enumerate(nodes):
        if isinstance(node, str):
            continue
        if node.name in _OPENS:
            path.append((_key(node, _OPENS[node.name]), i))
        elif node.name in _CLOSES and path and path[-1][0] == _key(node, _CLOSES[node.name]):
            at = path.pop()[1]
            partner[at], partner[i] = i, at
    return partner


def _key(node: Node, names: Sequence[str]) -> str:
    return next((node.attributes[name] for name in names if name in node.attributes), "")


def _protected(node: Node) -> bool:
    return node.attributes.get("mtype") == "protected" or node.attributes.get("translate") == "no"


def _text(node: Node) -> str:
    return "".join(item if isinstance(item, str) else _text(item) for item in node.items)
