"""The inline rules of CommonMark (and ~~strike~~): a paragraph's text to tokens.

Code, autolinks, $math$ and images are units and points; links and emphasis are pairs; labels of
footnotes and the marks of definitions, which many dialects have, are walls. Time is linear in the
text but for emphasis, whose search is bounded as the specification proposes. Not its job: blocks,
and what reference labels are defined (it is told).
"""

import html
import re
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from unicodedata import category

from m4nmt.documents.inline import Token

_SPECIAL = re.compile(
    r"""
      (?P<escape>\\[!-/:-@\[-`{-~])
    | (?P<hard>(?:\\|[ ]{2,})\n[ ]*)
    | (?P<label>(?:\A|\n)[ ]{0,3}(?:\[\^[^\s\[\]]{1,100}\])?:[ \t]+(?=\S))
    | (?P<math>\$\$[^$]{1,1000}\$\$
        | (?<![\w$])\$(?![\s$])[^$\n]{0,499}[^\s$\\]\$(?![\w$]))
    | (?P<code>`+)
    | (?P<auto><(?:[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]{0,2000}|[\w.+-]{1,64}@[\w.-]{1,200})>)
    | (?P<comment><!--)
    | (?P<tag></?(?P<name>[A-Za-z][A-Za-z0-9-]{0,50})(?:\s[^<>]{0,2000})?/?>)
    | (?P<note>\[\^[^\s\[\]]{1,100}\])
    | (?P<image>!\[)
    | (?P<open>\[)
    | (?P<close>\])
    | (?P<run>\*+|_+|~~+)
    """,
    re.VERBOSE,
)
_TARGET = re.compile(
    r"""\(\s*+(?:<[^<>\n]{0,2000}>|[^\s()<]{0,2000}+(?:\([^\s()]{0,500}+\)[^\s()]{0,500}+){0,20}+)
        (?:\s++(?:"[^"]{0,500}"|'[^']{0,500}'|\([^()]{0,500}\)))?\s*+\)""",
    re.VERBOSE,
)
_LABEL = re.compile(r"\[([^\[\]]{0,500})\]")
_VOID = ("img", "wbr", "input")
_NESTED = 100  # brackets in each other, beyond which they are text


@dataclass(slots=True)
class _Run:
    """A run of emphasis marks of which [start, end) are not used yet."""

    start: int
    end: int
    mark: str
    opens: bool
    closes: bool
    size: int


def normal(label: str) -> str:
    """A reference label as they are compared."""
    return " ".join(label.split()).casefold()


def tokens(text: str, labels: Collection[str] = ()) -> list[Token]:
    """The tokens of a paragraph without its block's marks.

    Args:
        labels: those of references that are defined, made `normal`.
    """
    return _Parser(text, labels).parse()


class _Parser:
    def __init__(self, text: str, labels: Collection[str]) -> None:
        self._text = text
        self._labels = labels
        self._found: list[Token] = []
        self._runs: list[_Run] = []
        self._brackets: list[tuple[int, int, bool]] = []  # start, runs before it, image
        self._comments = True  # whether there may be an end of one still
        self._ticks: dict[int, list[int]] = {}
        for match in re.finditer("`+", text):
            self._ticks.setdefault(len(match.group()), []).append(match.start())

    def parse(self) -> list[Token]:
        at = 0
        while match := _SPECIAL.search(self._text, at):
            at = self._special(match)
        self._emphasis(0)
        return list(self._with_texts())

    def _special(self, match: re.Match[str]) -> int:
        """Take note of something; where to go on."""
        start, end = match.span()
        kind = match.lastgroup if match.lastgroup != "name" else "tag"
        if kind in ("hard", "label"):
            self._add("wall", start, end)
        elif kind == "math":
            self._add("unit", start, end, match.group())
        elif kind == "code":
            return self._code(start, end)
        elif kind == "auto":
            self._add("unit", start, end, match.group()[1:-1])
        elif kind == "comment":
            stop = self._text.find("-->", end) if self._comments else -1
            self._comments = stop >= 0
            end = stop + 3 if self._comments else end
            self._add("point" if self._comments else "text", start, end, match.group())
        elif kind == "note":
            self._add("point", start, end)
        elif kind == "tag":
            self._tag(match)
        elif kind in ("open", "image") and len(self._brackets) < _NESTED:
            self._brackets.append((start, len(self._runs), kind == "image"))
        elif kind == "close":
            return self._bracket(start)
        elif kind == "run":
            self._runs.append(self._run(start, end))
        return end

    def _add(self, kind: str, start: int, end: int, text: str = "", name: str = "") -> None:
        self._found.append(Token(kind, start, end, text, name))  # type: ignore[arg-type]

    def _code(self, start: int, end: int) -> int:
        places = self._ticks.get(end - start, [])
        at = bisect_left(places, end)
        if at == len(places):
            return end
        stop = places[at] + end - start
        self._add("unit", start, stop, self._text[end : places[at]])
        return stop

    def _tag(self, match: re.Match[str]) -> None:
        name = match.group("name").lower()
        if name == "br":
            self._add("wall", *match.span())
        elif name in _VOID or match.group().endswith("/>"):
            self._add("point", *match.span())
        else:
            kind = "close" if match.group().startswith("</") else "open"
            self._add(kind, *match.span(), name=f"<{name}")

    def _bracket(self, at: int) -> int:
        """A "]": of a link, of an image, or only itself."""
        if not self._brackets:
            return at + 1
        start, runs, image = self._brackets.pop()
        target = _TARGET.match(self._text, at + 1)
        label = _LABEL.match(self._text, at + 1)
        inside = self._text[start + 1 + image : at]
        if target:
            end, raw = target.end(), ""
        elif label and normal(label.group(1) or inside) in self._labels:
            end, raw = label.end(), "" if label.group(1) else f"][{inside}]"
        elif normal(inside) in self._labels and len(inside) < 500:
            end, raw = at + 1, f"][{inside}]"
        else:
            return at + 1
        if image:
            while self._found and self._found[-1].start > start:
                self._found.pop()
            del self._runs[runs:]
            self._add("point", start, end)
        else:
            self._emphasis(runs)
            self._add("open", start, start + 1, name=f"[{start}")
            self._add("close", at, end, raw, name=f"[{start}")
            self._brackets = [b for b in self._brackets if b[2]]  # no link holds a link
        return end

    def _run(self, start: int, end: int) -> _Run:
        """Whether marks can open and close (CommonMark 6.2, "flanking")."""
        before, after = self._text[start - 1 : start] or " ", self._text[end : end + 1] or " "
        left = not after.isspace() and (not _mark(after) or before.isspace() or _mark(before))
        right = not before.isspace() and (not _mark(before) or after.isspace() or _mark(after))
        mark = self._text[start]
        if mark == "_":
            opens, closes = (
                left and (not right or _mark(before)),
                right and (not left or _mark(after)),
            )
        else:
            opens, closes = left, right
        return _Run(start, end, mark, opens, closes, end - start)

    def _emphasis(self, bottom: int) -> None:
        """Pair the runs from `bottom` on, and let go of them."""
        openers: list[_Run] = []
        lowest: dict[tuple[str, bool, int], int] = {}  # below it there is no opener for such
        for run in self._runs[bottom:]:
            while run.closes and run.start < run.end:
                key = (run.mark, run.opens, run.size % 3)
                at = len(openers) - 1
                while at >= lowest.get(key, 0) and not _fits(openers[at], run):
                    at -= 1
                if at < lowest.get(key, 0):
                    lowest[key] = len(openers)
                    break
                opener = openers[at]
                many = 2 if min(opener.end - opener.start, run.end - run.start) > 1 else 1
                many = 2 if run.mark == "~" else many
                name = f"*{run.start}"
                self._add("open", opener.end - many, opener.end, name=name)
                self._add("close", run.start, run.start + many, name=name)
                opener.end -= many
                run.start += many
                del openers[at + (opener.start < opener.end) :]
                lowest = {k: min(v, len(openers)) for k, v in lowest.items()}
            if run.opens and run.start < run.end:
                openers.append(run)
        del self._runs[bottom:]

    def _with_texts(self) -> Iterator[Token]:
        """All tokens in order, with what lies between as texts."""
        at = 0
        for token in sorted(self._found, key=lambda t: t.start):
            if token.start < at:
                continue
            if at < token.start:
                yield Token("text", at, token.start, plain(self._text[at : token.start]))
            yield token
            at = token.end
        if at < len(self._text):
            yield Token("text", at, len(self._text), plain(self._text[at:]))


def _mark(character: str) -> bool:
    return category(character)[0] in "PS"


def _fits(opener: _Run, closer: _Run) -> bool:
    if opener.mark != closer.mark:
        return False
    if closer.mark == "~":
        return min(opener.end - opener.start, closer.end - closer.start) > 1
    both = opener.closes or closer.opens
    thirds = (opener.size + closer.size) % 3 == 0 and (opener.size % 3 or closer.size % 3)
    return not (both and thirds)


def plain(text: str) -> str:
    """What a reader sees of a text without markup."""
    parts = re.split(r"\\([!-/:-@\[-`{-~])", text)
    return "".join(part if i % 2 else html.unescape(part) for i, part in enumerate(parts))
