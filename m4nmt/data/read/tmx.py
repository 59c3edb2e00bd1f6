"""Translation memories (TMX 1.1 to 1.4): a row for each unit.

A unit has a text for each language; where it has two in one language, the first counts. Native
codes (bpt, ept, it, ph, ut) are left out, highlighting (hi) is passed through. Not its job: XML.
"""

from m4nmt.data.language import normalise
from m4nmt.data.read import types
from m4nmt.data.read.lines import one_line
from m4nmt.data.read.types import TOO_LONG, Faults, FormatError, Row, Rows, Source
from m4nmt.data.read.xml import BAD_CHARACTERS, MARK

# Elements whose content is no text: codes of the program that the text comes from.
CODES = frozenset({"bpt", "ept", "it", "ph", "ut", "sub"})
_SHOWN = 20
SECOND = "a second text in one language: the first is taken"


class Text:
    """Collects the text of an element, up to a length.

    Attributes:
        problem: what is wrong with it; empty where nothing is.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._left = types.LONGEST_TEXT
        self.codes = 0  # how deep in codes
        self.problem = ""

    def add(self, text: str) -> None:
        """Some more of it."""
        if self.codes:
            return
        self._left -= len(text.encode())
        if self._left < 0:
            self.problem, self._parts = TOO_LONG, []
        elif MARK in text:
            self.problem = BAD_CHARACTERS
        else:
            self._parts.append(text)

    def whole(self) -> str:
        """All of it, as one line."""
        return one_line("".join(self._parts))


class TmxReader:
    """Makes a row of each <tu>."""

    row = "tu"

    def __init__(self, source: Source, faults: Faults) -> None:
        self._source, self._faults = source, faults
        self._wanted = [str(field) for field in source.fields]
        self._columns: dict[str, int | None] = {}
        self._rows: list[Row] = []
        self._root = self._where = ""
        self._all = True
        self._found: dict[int, Text] = {}
        self._column: int | None = None
        self._seg: Text | None = None

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        if not self._root:
            self._root = name
            if name != "tmx":
                raise FormatError(f"{self._source}:{line}: is <{name}>, not <tmx>: no TMX")
        if name == "tu":
            self._begin(f"{self._source}:{line}")
        elif name == "tuv":
            self._column = self._at(attributes.get("xml:lang") or attributes.get("lang") or "")
        elif name == "seg" and self._column is not None:
            if self._column in self._found:
                self._faults.add(SECOND, self._where)
            else:
                self._seg = self._found[self._column] = Text()
        elif name in CODES and self._seg is not None:
            self._seg.codes += 1

    def end(self, name: str) -> None:
        if name == "seg":
            self._seg = None
        elif name == "tuv":
            self._column = None
        elif name == "tu":
            self._rows.append(tuple(self._text(i) for i in range(len(self._wanted))))
            self._begin(self._where)
        elif name in CODES and self._seg is not None:
            self._seg.codes -= 1

    def text(self, text: str) -> None:
        if self._seg is not None:
            self._seg.add(text)

    def take(self) -> Rows:
        rows, self._rows = self._rows, []
        yield from rows

    def passed(self) -> None:
        """Units are passed over, and what is begun with them."""
        self._all = False
        self._begin("")

    def finish(self) -> None:
        """See that every wanted language was there, if all units were seen."""
        seen = set(self._columns.values())
        absent = [self._wanted[i] for i in range(len(self._wanted)) if i not in seen]
        if absent and self._columns and self._all:
            raise FormatError(
                f"{self._source}: no unit has a text in {absent[0]}; the languages are "
                f"{', '.join(list(self._columns)[:_SHOWN])}"
            )

    def _begin(self, where: str) -> None:
        """No unit hangs on another, nor on what is between them."""
        self._where, self._found, self._column, self._seg = where, {}, None, None

    def _text(self, column: int) -> str | None:
        text = self._found.get(column)
        if text is None:
            return ""
        if text.problem:
            self._faults.add(text.problem, self._where)
            return None
        return text.whole()

    def _at(self, label: str) -> int | None:
        """The column of a language; as it is written, or as the code that it means."""
        if label not in self._columns:
            self._columns[label] = column_of(label, self._wanted)
        return self._columns[label]


def column_of(label: str, wanted: list[str]) -> int | None:
    """Which of the wanted languages a label in a file means; None for another one."""
    folded = [code.casefold().replace("_", "-") for code in wanted]
    if (plain := label.casefold().replace("_", "-")) in folded:
        return folded.index(plain)
    try:
        code = normalise(label)
    except ValueError:
        return None
    return wanted.index(code) if code in wanted else None
