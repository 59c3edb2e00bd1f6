"""XLIFF 1.2 and 2: a row for each unit (1.2) or segment (2), its source and its target.

A target that is not translated yet by its own state is no text. Alternatives, suggestions and notes
are passed over, native codes left out. Not its job: XML.
"""

from m4nmt.data.read.tmx import CODES, Text
from m4nmt.data.read.types import Faults, FormatError, Row, Rows, Source

UNFINISHED = frozenset({"new", "initial", "needs-translation", "needs-l10n"})
_ASIDE = frozenset({"alt-trans", "note", "notes", "metadata", "ignorable", "matches", "glossary"})


class XliffReader:
    """Makes a row of each <trans-unit> or <segment>."""

    row = ""  # its state hangs on what it is in

    def __init__(self, source: Source, faults: Faults) -> None:
        self._source, self._faults = source, faults
        unknown = [f for f in source.fields if f not in ("source", "target")]
        if unknown:
            raise FormatError(f"{source}: XLIFF has source and target, no {unknown[0]!r}")
        self._rows: list[Row] = []
        self._root = self._where = self._state = ""
        self._found: dict[str, Text] = {}
        self._side: Text | None = None
        self._aside = 0

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        if not self._root:
            self._root = name
            if name != "xliff":
                raise FormatError(f"{self._source}:{line}: is <{name}>, not <xliff>: no XLIFF")
        if name in _ASIDE:
            self._aside += 1
        elif self._aside:
            return
        elif name in ("trans-unit", "segment"):
            self._where, self._found = f"{self._source}:{line}", {}
            self._state = attributes.get("state", "")
        elif name in ("source", "target") and self._where:
            self._side = self._found[name] = Text()
            self._state = attributes.get("state", self._state)
        elif name in CODES and self._side is not None:
            self._side.codes += 1

    def end(self, name: str) -> None:
        if name in _ASIDE:
            self._aside -= 1
        elif self._aside:
            return
        elif name in ("source", "target"):
            self._side = None
        elif name in ("trans-unit", "segment"):
            self._judge()
            self._rows.append(tuple(self._text(str(f)) for f in self._source.fields))
            self._where = ""
        elif name in CODES and self._side is not None:
            self._side.codes -= 1

    def text(self, text: str) -> None:
        if self._side is not None and not self._aside:
            self._side.add(text)

    def take(self) -> Rows:
        rows, self._rows = self._rows, []
        yield from rows

    def passed(self) -> None:
        pass

    def finish(self) -> None:
        pass

    def _judge(self) -> None:
        """Count targets that are not taken, or that someone was still to look at."""
        if "target" in self._found and self._state in UNFINISHED:
            self._faults.add(f'target not taken: state="{self._state}"', self._where)
        elif self._state.startswith("needs-"):
            self._faults.add(f'target taken: state="{self._state}"', self._where)

    def _text(self, side: str) -> str | None:
        text = self._found.get(side)
        if text is None or (side == "target" and self._state in UNFINISHED):
            return ""
        if text.problem:
            self._faults.add(text.problem, self._where)
            return None
        return text.whole()
