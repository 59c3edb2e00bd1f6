"""Where tags and points of a content go in its translation.

A pair of tags goes around the run of words that best fits the words it stood around: the run in
which words linked into the pair most outnumber words linked elsewhere. Pairs keep their nesting
and never overlap; each goes out exactly once. The time taken grows with (words + tags) times depth.

Not its job: what belongs to what (words.py guesses, a model knows better), placeholders
(units.py).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from m4nmt.documents.parts import parted
from m4nmt.documents.types import Close, Content, Item, Link, Open, Point, Unit
from m4nmt.documents.words import Span, anchors, guess, words

Places = Sequence[tuple[int, int, int]]  # start, end, number of the unit


@dataclass(slots=True, eq=False)
class _Node:
    """A pair or a point: source words [first, last), then target words [begin, end)."""

    opens: Open | Point | None
    first: int
    last: int = -1
    closes: Close | None = None
    glued: bool = False  # a point that follows a word without a space
    leads: bool = False  # a point that a word follows without a space
    held: bool = False  # a pair with text in it
    children: list["_Node"] = field(default_factory=list)
    begin: int = 0
    end: int = 0


def text_of(content: Content) -> str:
    """What a translator is given."""
    return "".join(
        item if isinstance(item, str) else item.text
        for item in content
        if isinstance(item, str | Unit)
    )


def place(
    content: Content, target: str, places: Places, links: Sequence[Link] = ()
) -> tuple[Content, bool]:
    """The translation with the content's tags, points and units in it.

    Args:
        content: of the source; its tags are well nested.
        target: the translation.
        places: where the units stand in it, by place.
        links: between characters of `text_of(content)` and of `target`; none: guessed.

    Returns:
        The content, and whether every pair that held words found words to hold.
    """
    units = [item for item in content if isinstance(item, Unit)]
    if not any(isinstance(item, Open | Point) for item in content):
        return _filled(target, places, units, [], []), True
    source = text_of(content)
    unit_spans = _unit_spans(content)
    kept = [(start, end) for start, end, _ in places]
    ours, theirs = words(source, unit_spans), words(target, kept)
    ours, theirs, same = parted(source, ours, target, theirs, _tags(content), set(kept))
    if links:
        linked = anchors(ours, theirs, links)
    else:
        linked = guess(source, ours, target, theirs)
    for t, s in same:
        linked[t] = s
    index = {start: i for i, (start, _) in enumerate(theirs)}
    for start, _, number in places:  # a unit belongs to itself, whatever a model says
        linked[index[start]] = bisect_left(ours, unit_spans[number])
    root = _tree(content, ours)
    good = _Placer(linked).lay(root, len(ours), len(theirs))
    return _filled(target, places, units, theirs, _emit(root)), good


def _unit_spans(content: Content) -> list[Span]:
    spans, at = [], 0
    for item in content:
        if isinstance(item, Unit):
            spans.append((at, at + len(item.text)))
        if isinstance(item, str | Unit):
            at += len(item if isinstance(item, str) else item.text)
    return spans


def _tags(content: Content) -> Iterator[int]:
    """Where tags and points stand in the text."""
    at = 0
    for item in content:
        if isinstance(item, str | Unit):
            at += len(item if isinstance(item, str) else item.text)
        else:
            yield at


def _tree(content: Content, ours: Sequence[Span]) -> _Node:
    """Pairs and points over source words, below a root that covers them all."""
    starts = [start for start, _ in ours]
    root = _Node(None, 0, len(ours))
    path = [root]
    at, glued = 0, False
    for item in content:
        if isinstance(item, str | Unit):
            text = item if isinstance(item, str) else item.text
            at += len(text)
            glued = not text[-1:].isspace() if text else glued
            path[-1].held |= bool(text.strip())
        elif isinstance(item, Close):
            path[-1].last, path[-1].closes = bisect_left(starts, at), item
            path.pop()
        else:
            word = bisect_left(starts, at)
            leads = isinstance(item, Point) and not glued and not item.spaced
            node = _Node(item, word, word, glued=glued, leads=leads)
            path[-1].children.append(node)
            if isinstance(item, Open):
                path.append(node)
    return root


class _Placer:
    """Lays pairs over target words, from the outermost inwards."""

    def __init__(self, linked: Sequence[int | None]) -> None:
        """`linked`: the source word of each target word."""
        self._by_source = sorted((s, t) for t, s in enumerate(linked) if s is not None)
        self._known = [0]  # how many target words before each have a link
        for s in linked:
            self._known.append(self._known[-1] + (s is not None))

    def lay(self, root: _Node, ours: int, theirs: int) -> bool:
        """Set begin and end of every node; False where a pair lost all its words."""
        root.begin, root.end = 0, theirs
        good = True
        todo = [(root, 0, ours)]
        while todo:
            node, first, last = todo.pop()
            good &= self._children(node, first, last)
            todo += [(c, c.first, c.last) for c in node.children if c.children]
        return good

    def _children(self, parent: _Node, first: int, last: int) -> bool:
        pairs = [c for c in parent.children if isinstance(c.opens, Open)]
        inside = {id(c): self._inside(c, parent) for c in pairs}
        # The small first, or a large one may swallow all they have; those without words last.
        pairs.sort(key=lambda c: len(inside[id(c)]) or len(self._known))
        taken = _Taken()
        good = True
        for child in pairs:
            if child.first == first and child.last == last and first < last and not taken:
                child.begin, child.end = parent.begin, parent.end
            else:
                child.begin, child.end = self._best(inside[id(child)], taken)
            if child.begin == child.end:
                child.begin = child.end = self._position(child, parent, first, last, taken)
                if child.first < child.last:
                    child.end = self._adjacent(child, parent, taken)
                good &= child.end > child.begin or not child.held
            taken.add(child.begin, child.end)
        for child in parent.children:
            if isinstance(child.opens, Point):
                child.begin = child.end = self._position(child, parent, first, last, taken)
        return good

    def _inside(self, node: _Node, parent: _Node) -> list[int]:
        """Target words linked into the node, within its parent, in order."""
        low = bisect_left(self._by_source, (node.first, -1))
        high = bisect_left(self._by_source, (node.last, -1))
        found = (t for _, t in self._by_source[low:high])
        return sorted(t for t in found if parent.begin <= t < parent.end)

    def _best(self, inside: Sequence[int], taken: "_Taken") -> Span:
        """The run with the most words inside less those linked outside; (0, 0) without any."""
        best, span = 0, (0, 0)
        low, gap, start = 0, -1, 0
        for j, t in enumerate(inside):
            here = taken.gap(t)
            if here is None:
                gap = -1
                continue
            value = 2 * j - self._known[t]
            if here != gap or value <= low:
                gap, low, start = here, value, t
            score = 2 * (j + 1) - self._known[t + 1] - low
            if score > best:
                best, span = score, (start, t + 1)
        return span

    def _position(self, node: _Node, parent: _Node, first: int, last: int, taken: "_Taken") -> int:
        """The gap between target words where something empty belongs."""
        if node.first <= first:
            return parent.begin
        if node.last >= last:
            return parent.end
        at = bisect_left(self._by_source, (node.first, -1))
        if node.leads and at < len(self._by_source) and self._by_source[at][0] == node.first:
            before = self._by_source[at][1]
            return taken.start(min(max(before, parent.begin), parent.end))
        at -= 1
        after = self._by_source[at][1] + 1 if at >= 0 else 0
        return taken.outside(min(max(after, parent.begin), parent.end))

    def _adjacent(self, node: _Node, parent: _Node, taken: "_Taken") -> int:
        """End of the node if it takes the word at its place, or (moving begin) the one before."""
        at = node.begin
        if at < parent.end and taken.gap(at) is not None:
            return at + 1
        if at > parent.begin and taken.gap(at - 1) is not None:
            node.begin = at - 1
        return at


class _Taken:
    """Disjoint runs of target words that pairs have taken."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._starts)

    def add(self, begin: int, end: int) -> None:
        if begin < end:
            at = bisect_left(self._starts, begin)
            self._starts.insert(at, begin)
            self._ends.insert(at, end)

    def gap(self, word: int) -> int | None:
        """Number of the free gap in which a word lies; None if it is taken."""
        at = bisect_right(self._starts, word)
        return None if at and word < self._ends[at - 1] else at

    def start(self, boundary: int) -> int:
        """The boundary, or the start of the run it lies in."""
        at = bisect_left(self._starts, boundary)
        inside = at and boundary < self._ends[at - 1]
        return self._starts[at - 1] if inside else boundary

    def outside(self, boundary: int) -> int:
        """The boundary, or the end of the run it lies in."""
        at = bisect_left(self._starts, boundary)
        return max(boundary, self._ends[at - 1]) if at else boundary


def _emit(root: _Node) -> list[tuple[int, bool, Item]]:
    """Tags and points in order: (boundary between words, whether before the space, item)."""
    out: list[tuple[int, bool, Item]] = []
    todo: list[_Node | Close] = [root]
    ends: list[int] = []
    while todo:
        node = todo.pop()
        if isinstance(node, Close):
            out.append((ends.pop(), True, node))
            continue
        if node.opens is not None:
            empty = node.begin == node.end
            out.append((node.begin, empty and node.glued, node.opens))
            if isinstance(node.opens, Point) and node.opens.spaced:
                space = (node.begin, False, " ")
                out.insert(len(out) - (node.begin == root.end > 0), space)
        if node.closes is not None:
            todo.append(node.closes)
            ends.append(node.end)
        order = sorted(node.children, key=lambda c: (c.begin, c.begin < c.end))
        todo += reversed(order)
    return out


def _filled(
    target: str,
    places: Places,
    units: Sequence[Unit],
    theirs: Sequence[Span],
    marks: Sequence[tuple[int, bool, Item]],
) -> Content:
    """The target's text with marks between its words and units in their places."""
    out: list[Item] = []
    at, unit = 0, 0

    def text_until(end: int) -> None:
        nonlocal at, unit
        while unit < len(places) and places[unit][1] <= end:
            start, stop, number = places[unit]
            out.append(target[at:start])
            out.append(units[number])
            at, unit = stop, unit + 1
        out.append(target[at:end])
        at = max(at, end)

    for boundary, before_space, mark in marks:
        text_until(_character(boundary, before_space, theirs, len(target), at))
        out.append(mark)
    text_until(len(target))
    return joined(out)


def _character(boundary: int, before: bool, theirs: Sequence[Span], size: int, at: int) -> int:
    """Where in the text the boundary is: after the word before it, or before the word after."""
    if boundary == 0:
        return max(at, 0)
    if boundary >= len(theirs):
        return size
    place = theirs[boundary - 1][1] if before else theirs[boundary][0]
    return max(at, place)


def joined(items: Sequence[Item]) -> Content:
    """Without empty texts, and with neighbouring texts as one."""
    out: list[Item] = []
    texts: list[str] = []
    for item in items:
        if isinstance(item, str):
            texts.append(item)
            continue
        if any(texts):
            out.append("".join(texts))
        texts = []
        out.append(item)
    if any(texts):
        out.append("".join(texts))
    return tuple(out)
