"""XML read without building a document: the elements asked for, with where they stand in the bytes.

A document type or an entity is refused, as no format here needs one (this is what defusedxml does;
but only expat itself tells byte positions, which let all else stay as it is). Not its job: what
elements mean.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pyexpat import ErrorString, ExpatError, ParserCreate
from xml.sax.saxutils import escape as _escape

from m4nmt.documents.types import DocumentError, Meter


@dataclass(slots=True, eq=False)
class Node:
    """An element: `<w:p a="1">` is bytes [start, inner), `</w:p>` is bytes [outer, end).

    Attributes:
        name: local name.
        space: namespace.
        tag: as written, with its prefix.
        items: texts and elements in it.
    """

    name: str
    space: str
    tag: str
    attributes: dict[str, str]
    start: int
    inner: int = -1
    outer: int = -1
    end: int = -1
    items: list["Node | str"] = field(default_factory=list)

    def children(self, *names: str) -> Iterator["Node"]:
        """Elements of these names directly in it."""
        return (n for n in self.items if isinstance(n, Node) and n.name in names)


def escape(text: str) -> str:
    """Text as XML."""
    return _escape(text)


def read(
    data: bytes, wanted: Callable[[Node, list[Node]], bool], meter: Meter
) -> Iterator[tuple[Node, list[Node]]]:
    """The outermost elements that are `wanted`, whole, with their ancestors (which are bare).

    Raises:
        DocumentError: not well formed, not UTF-8, a document type, too deep, too large a paragraph.
    """
    if b"\0" in data[:4] or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DocumentError("the XML is not UTF-8; save it as UTF-8")
    reader = _Reader(data, wanted, meter)
    parser = ParserCreate("UTF-8", " ")
    parser.namespace_prefixes = True
    parser.buffer_text = False
    reader.attach(parser)
    view = memoryview(data)
    step = 1 << 16
    try:
        for at in range(0, len(data), step):
            parser.Parse(view[at : at + step], False)
            yield from reader.take()
        parser.Parse(b"", True)
    except ExpatError as error:
        reason = ErrorString(error.code)
        raise DocumentError(
            f"the XML is broken at line {error.lineno}, column {error.offset}: {reason}"
        ) from error
    yield from reader.take()


class _Reader:
    """Handlers of the parser. Ancestors of wanted elements are kept as a path only."""

    def __init__(
        self, data: bytes, wanted: Callable[[Node, list[Node]], bool], meter: Meter
    ) -> None:
        self._data = data
        self._wanted = wanted
        self._meter = meter
        self._path: list[Node] = []
        self._top = -1  # depth of the wanted element that is being read
        self._nodes = 0
        self._open: Node | None = None  # whose opening tag ended where the next event begins
        self._closed: list[Node] = []
        self._ready: list[tuple[Node, list[Node]]] = []
        self._place: Callable[[], int] = lambda: 0

    def attach(self, parser: object) -> None:
        """Listen to a parser."""
        self._place = lambda: int(parser.CurrentByteIndex)  # type: ignore[attr-defined]
        handlers = {
            "StartElementHandler": self._start,
            "EndElementHandler": self._end,
            "CharacterDataHandler": self._text,
            "DefaultHandler": self._other,
            "StartDoctypeDeclHandler": _refuse,
        }
        for name, handler in handlers.items():
            setattr(parser, name, handler)

    def take(self) -> list[tuple[Node, list[Node]]]:
        """What is complete."""
        ready, self._ready = self._ready, []
        return ready

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        at = self._place()
        self._settle(at)
        space, local, prefix = [*name.split(" "), "", ""][:3] if " " in name else ("", name, "")
        plain = {key.split(" ")[1] if " " in key else key: v for key, v in attributes.items()}
        node = Node(local, space, f"{prefix}:{local}" if prefix else local, plain, at)
        if self._top >= 0:
            self._path[-1].items.append(node)
            self._count()
        elif self._wanted(node, self._path):
            self._top, self._nodes = len(self._path), 0
        self._path.append(node)
        self._meter.depth(len(self._path))
        self._open = node

    def _end(self, name: str) -> None:
        at = self._place()
        self._settle(at)
        node = self._path.pop()
        if node.inner == at and self._data[at - 2 : at] == b"/>":
            node.outer = node.end = at
        else:
            node.outer, node.end = at, self._data.index(b">", at) + 1
        if self._top == len(self._path):
            self._top = -1
            self._ready.append((node, [*self._path]))

    def _text(self, text: str) -> None:
        self._settle(self._place())
        if self._top >= 0:
            self._path[-1].items.append(text)
            self._count()

    def _other(self, _: str) -> None:
        self._settle(self._place())

    def _count(self) -> None:
        self._nodes += 1
        self._meter.waiting(self._nodes)

    def _settle(self, at: int) -> None:
        """The tag that was opened last ends here."""
        if self._open is not None:
            self._open.inner = at
            self._open = None


def _refuse(*_: object) -> None:
    raise DocumentError(
        "the XML declares a document type, and with it perhaps entities, which can make it expand "
        "without end or read other files; remove the declaration"
    )
