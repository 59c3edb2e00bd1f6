"""The words that all readers share: what a source is, what a row is, what went wrong.

Not its job: reading.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# A text for each wanted field: "" where there is none, None where it could not be read.
Row = tuple[str | None, ...]
Rows = Iterator[Row]
# Longest text, in bytes. What is longer is put aside while it is read, and never held.
LONGEST_TEXT = 1 << 20
# Between the path of an archive and the name of a file in it.
INSIDE = "!/"
_SAMPLES = 5

NOT_UTF8 = "not UTF-8"
TOO_LONG = "a text over 1 MiB"


class FormatError(ValueError):
    """A file that cannot be read as what it is said to be; names file, line and mend."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """One text a line. It has one field, 0."""


@dataclass(frozen=True, kw_only=True)
class Tsv:
    """Texts between tabs; a quote is a quote. Fields are numbers of columns, or names of a header.

    Attributes:
        width: columns; 0: as many as the first line.
        header: whether the first line holds names.
    """

    width: int = 0
    header: bool = False


@dataclass(frozen=True, kw_only=True)
class Csv:
    """Texts between delimiters, in quotes where need be (RFC 4180). Fields as for Tsv."""

    width: int = 0
    header: bool = False
    delimiter: str = ","


@dataclass(frozen=True, kw_only=True)
class JsonLines:
    """A JSON object a line. Fields are keys, with dots into objects: "translation.en"."""


@dataclass(frozen=True, kw_only=True)
class Columnar:
    """Parquet, Arrow files and Arrow streams. Fields are names of columns, with dots."""


@dataclass(frozen=True, kw_only=True)
class Tmx:
    """Translation memories. Fields are languages: as in xml:lang, or codes that it means."""


@dataclass(frozen=True, kw_only=True)
class Xliff:
    """XLIFF 1.2 and 2. Fields are "source" and "target"."""


@dataclass(frozen=True, kw_only=True)
class Po:
    """Gettext catalogues. Fields are "source" and "target"."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Whatever the `datasets` library opens. Fields are names of columns, with dots.

    Attributes:
        hub: its name on the hub; empty: the source's path is a folder or file.
        config, split: as in `datasets.load_dataset`.
        revision: commit of a dataset on the hub.
    """

    hub: str = ""
    config: str = ""
    split: str = "train"
    revision: str = ""


NAMES: dict[type, str] = {
    Lines: "plain lines",
    Tsv: "TSV",
    Csv: "CSV",
    JsonLines: "JSON lines",
    Columnar: "Parquet or Arrow",
    Tmx: "TMX",
    Xliff: "XLIFF",
    Po: "PO",
    Dataset: "datasets",
}
Kind = Lines | Tsv | Csv | JsonLines | Columnar | Tmx | Xliff | Po | Dataset


@dataclass(frozen=True)
class Source:
    """One file and the fields wanted of it.

    Attributes:
        path: of the file, or of the archive it is in; gz, bz2, xz and zst are unpacked.
        fields: those wanted, as `kind` says.
        kind: its format.
        member: name of the file in the archive; empty for an archive with one file in it.
        where: field -> text; of a table or of records, only rows that have these are read.
        spool: folder in which files of a packed tar may lie unpacked; it changes nothing but time.
    """

    path: Path
    fields: tuple[int | str, ...] = (0,)
    kind: Kind = Lines()
    member: str = ""
    where: tuple[tuple[str, str], ...] = ()
    spool: Path | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.path}{INSIDE}{self.member}" if self.member else str(self.path)

    @property
    def nothing(self) -> Row:
        """The row that stands where one could not be read."""
        return (None,) * len(self.fields)


@dataclass
class Skip:
    """Rows that are passed over, told to a reader between two rows.

    Attributes:
        rows: how many of the next ones are still to be passed over; the reader counts down.
    """

    rows: int = 0


@dataclass
class Faults:
    """Rows and texts that were not taken as they are: how many by kind, and where the first are."""

    counts: Counter[str] = field(default_factory=Counter)
    samples: list[str] = field(default_factory=list)

    def add(self, kind: str, where: str) -> None:
        """One more of this kind at "file:line"."""
        self.counts[kind] += 1
        if self.counts[kind] <= _SAMPLES:
            self.samples.append(f"{where}: {kind}")

    def merge(self, other: "Faults") -> None:
        """Take over what another has counted."""
        self.counts.update(other.counts)
        self.samples.extend(other.samples)
