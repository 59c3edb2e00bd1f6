"""Tokens of a marked-up text to slots: what stands between two walls is one content.

A wall is what a sentence cannot cross: a block's tag, a line break, a tag without its partner, a
pair that holds a wall. Not its job: telling tokens apart (each format), or where tags go (place).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from m4nmt.documents.place import joined
from m4nmt.documents.road import has_text
from m4nmt.documents.types import Close, Content, Item, Meter, Open, Point, Result, Slot, Unit

_SPACES = " \t\r\n\f"


class Token(NamedTuple):
    """A stretch [start, end) of a document.

    Attributes:
        text: of "text" and "unit", as a reader sees it; of "close", how it is written where it
            needs another form than it has.
        name: of "open" and "close"; a pair has the same.
    """

    kind: Literal["text", "open", "close", "point", "unit", "wall"]
    start: int
    end: int
    text: str = ""
    name: str = ""


def slots(
    document: str, tokens: Iterable[Token], render: Callable[[Content], str], meter: Meter
) -> Iterator[Slot]:
    """The slots of a document, in order.

    Args:
        tokens: in order; what lies between them is left alone, but is no wall.
        render: a content as the format writes it.

    Raises:
        DocumentError: too much for the meter.
    """
    run: list[Token] = []
    for token in tokens:
        if token.kind == "wall":
            yield from _of_run(document, run, render, meter)
            run = []
        else:
            run.append(token)
            meter.waiting(len(run))
    yield from _of_run(document, run, render, meter)


def write(content: Content, escape: Callable[[str], str]) -> str:
    """The content as its format writes it."""
    return "".join(escape(item) if isinstance(item, str) else item.raw for item in content)


def _of_run(
    document: str, run: Sequence[Token], render: Callable[[Content], str], meter: Meter
) -> Iterator[Slot]:
    """A run without walls, cut at tags that have no partner in it."""
    partner = _pairs(run)
    open_now = 0
    for i, token in enumerate(run):
        if i in partner:
            open_now += 1 if token.kind == "open" else -1
            meter.depth(open_now)
    part: list[tuple[Token, int]] = []  # with the number of the pair
    for i, token in enumerate(run):
        if token.kind in ("open", "close") and i not in partner:
            yield from _of_part(document, part, render, meter)
            part = []
        else:
            part.append((token, min(i, partner.get(i, i))))
    yield from _of_part(document, part, render, meter)


def _pairs(run: Sequence[Token]) -> dict[int, int]:
    """Index of the partner of each tag; none for tags without one or around such a tag."""
    partner: dict[int, int] = {}
    path: list[int] = []
    waiting: Counter[str] = Counter()
    for i, token in enumerate(run):
        if token.kind == "open":
            path.append(i)
            waiting[token.name] += 1
        elif token.kind == "close" and waiting[token.name]:
            while True:
                at = path.pop()
                waiting[run[at].name] -= 1
                if run[at].name == token.name:
                    break
            partner[at], partner[i] = i, at
    walls = 0
    seen: dict[int, int] = {}  # walls before each opening tag
    for i, token in enumerate(run):
        if token.kind == "open":
            seen[i] = walls
            walls += i not in partner
        elif token.kind == "close":
            at = partner.get(i, -1)
            if at < 0:
                walls += 1
            elif seen[at] != walls:
                del partner[at], partner[i]
    return partner


def _of_part(
    document: str,
    part: Sequence[tuple[Token, int]],
    render: Callable[[Content], str],
    meter: Meter,
) -> Iterator[Slot]:
    """One slot, without white space and points at its edges, if there is text in it."""
    first, last = 0, len(part)
    while first < last and _edge(part[first][0]):
        first += 1
    while first < last and _edge(part[last - 1][0]):
        last -= 1
    if first < last:
        part = [*part[first:last]]
        first, last = 0, len(part)
        part[0] = (_trimmed(document, part[0][0], True), part[0][1])
        part[-1] = (_trimmed(document, part[-1][0], False), part[-1][1])
    content = joined([_item(document, token, number) for token, number in part[first:last]])
    if not has_text(content):
        return
    meter.add([content])

    def written(results: Sequence[Result]) -> str:
        return render(results[0].content)

    yield Slot(part[first][0].start, part[last - 1][0].end, (content,), written)


def _edge(token: Token) -> bool:
    return token.kind == "point" or (token.kind == "text" and not token.text.strip())


def _trimmed(document: str, token: Token, left: bool) -> Token:
    """Without white space at an edge, which stays in the document."""
    if token.kind != "text":
        return token
    raw = document[token.start : token.end]
    if left:
        start = token.end - len(raw.lstrip(_SPACES))
        return token._replace(start=start, text=token.text.lstrip(_SPACES))
    end = token.start + len(raw.rstrip(_SPACES))
    return token._replace(end=end, text=token.text.rstrip(_SPACES))


def _item(document: str, token: Token, number: int) -> Item:
    raw = document[token.start : token.end]
    match token.kind:
        case "text":
            return token.text
        case "open":
            return Open(number, raw)
        case "close":
            return Close(number, token.text or raw)
        case "unit" if token.text.strip():
            return Unit(" ".join(token.text.split()), raw)
        case _:
            return Point(number, raw)
