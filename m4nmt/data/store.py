"""The token store: every direction's examples, computed from memory-mapped columns.

On disk (written by prepare.py): `tokenizer/`, `report.json` and `store/` with one Arrow file per
corpus and language, the bitmaps of good rows and the table of pairs of each corpus, and
`store.json`, which comes last and lists all others with size and sha256. n languages give
n (n - 1) directions without as many files; memory does not grow with the corpus.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m4nmt.core.files import sha256_file
from m4nmt.data import clean, origin
from m4nmt.data.column import Column, read_arrow
from m4nmt.data.column import StoreError as StoreError
from m4nmt.data.directions import Pair
from m4nmt.data.rows import Directory, PairRows, Words
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction, Examples, Ragged, Split

FORMAT = 1
STORE_FILE = "store.json"
_HASH_ALL = 1 << 30  # bytes of a store up to which all of it is hashed when it is opened
_HASH_ALWAYS = 1 << 24  # and of a file that is always
Numbers = NDArray[np.int64]


def column_name(corpus: str, language: str) -> str:
    """File of a column in the store's folder."""
    return f"{corpus}.{language}.arrow"


def keep_name(corpus: str) -> str:
    """File of a corpus's bitmaps."""
    return f"{corpus}.keep.arrow"


def pairs_name(corpus: str) -> str:
    """File of a corpus's pairs."""
    return f"{corpus}.pairs.arrow"


class _Corpus:
    """One corpus of the store, opened piece by piece as it is needed."""

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.key: str = about["key"]
        self.name: str = about["name"]
        self.split: Split = about["split"]
        self._domain: str = about.get("domain", "")
        self._synthetic: tuple[str, ...] = tuple(about.get("synthetic", ()))
        self._folder = folder
        self._columns: dict[str, Column] = {}
        table, _ = read_arrow(folder / pairs_name(self.key))
        ones, others = (table.column(side).to_pylist() for side in ("one", "other"))
        self._pair_number = {p: i for i, p in enumerate(zip(ones, others, strict=True))}
        self.kept: NDArray[np.int64] = table.column("kept").to_numpy()
        shift = table.column("shift")
        self._shift_values = shift.values.to_numpy()
        self._shift_offsets = shift.offsets.to_numpy()

    @cached_property
    def _words(self) -> dict[str, Words]:
        table, _ = read_arrow(self._folder / keep_name(self.key))
        words = table.column("words")
        values, offsets = words.values.to_numpy(), words.offsets.to_numpy()
        names = table.column("language").to_pylist()
        return {name: values[offsets[i] : offsets[i + 1]] for i, name in enumerate(names)}

    def size(self, pair: Pair) -> int:
        """Examples of a pair; 0 where the corpus does not have it."""
        number = self._pair_number.get(pair)
        return 0 if number is None else int(self.kept[number])

    def column(self, language: str) -> Column:
        """The column of a language."""
        if language not in self._columns:
            self._columns[language] = Column(self._folder / column_name(self.key, language))
        return self._columns[language]

    def has(self, pair: Pair) -> bool:
        """Whether the pair may be drawn from this corpus."""
        return pair in self._pair_number

    def gives(self, direction: Direction) -> bool:
        """Whether it has examples of this direction, with just these tags. Test sets have no tags,
        and lines without a partner carry none."""
        if not self.has(_pair(direction)):
            return False
        if self.split != "train" or direction.task != "translate":
            return not direction.tags
        synthetic = self._synthetic
        tags = origin.tags(self._domain, synthetic, direction.src)
        return direction.tgt not in synthetic and direction.tags == tags

    def rows(self, pair: Pair, directory: Directory) -> PairRows:
        """The rows of a pair."""
        number = self._pair_number[pair]
        shift = self._shift_values[self._shift_offsets[number] : self._shift_offsets[number + 1]]
        one, other = (self._words[name] for name in pair)
        return PairRows(one, other, shift, self.size(pair), (self.key, *pair), directory)


class PairExamples:
    """The examples of one direction, from several corpora one after another."""

    def __init__(self, parts: Sequence[tuple[PairRows, Column, Column]]) -> None:
        self._rows = [rows for rows, _, _ in parts]
        self._sides = [[src for _, src, _ in parts], [tgt for _, _, tgt in parts]]
        self._starts = np.cumsum([0, *(len(rows) for rows in self._rows)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _find(
        self, numbers: NDArray[np.int64]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For each part: positions in `numbers` that fall into it, and their rows."""
        numbers = np.asarray(numbers, np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"examples are numbered from 0 to {len(self) - 1}")
        part = np.searchsorted(self._starts, numbers, side="right") - 1
        found = []
        for index, rows in enumerate(self._rows):
            here = np.flatnonzero(part == index)
            found.append((here, rows.select(numbers[here] - self._starts[index])))
        return found

    def lengths(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(source, target) pieces of these examples."""
        found = self._find(rows)
        one, other = (self._lengths(side, found, len(rows)) for side in self._sides)
        return one, other

    def tokens(self, rows: NDArray[np.int64]) -> tuple[Ragged, Ragged]:
        """(source, target) ids of these examples."""
        found = self._find(rows)
        one, other = (self._tokens(side, found, len(rows)) for side in self._sides)
        return one, other

    @staticmethod
    def _lengths(columns: Sequence[Column], found: Any, total: int) -> NDArray[np.int32]:
        lengths = np.zeros(total, np.int32)
        for column, (here, rows) in zip(columns, found, strict=True):
            lengths[here] = column.offsets[rows + 1] - column.offsets[rows]
        return lengths

    def _tokens(self, columns: Sequence[Column], found: Any, total: int) -> Ragged:
        lengths = self._lengths(columns, found, total)
        offsets = np.zeros(total + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        values = np.empty(offsets[-1], np.int32)
        for column, (here, rows) in zip(columns, found, strict=True):
            sizes = lengths[here]
            values[_spans(offsets[here], sizes)] = column.values[
                _spans(column.offsets[rows], sizes)
            ]
        return Ragged(values, offsets)


def _spans(starts: NDArray[np.int64], lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    """Indices of all elements of these spans, one span after another."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    places: NDArray[np.int64] = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return places


class Store:
    """What `prepare` made of a corpus. Open it with `Store.open`.

    Attributes:
        out: the folder.
        directions: trained directions that have examples, sorted.
        held_out: directions that are never trained but may be evaluated, sorted.
        languages: of the trained directions, sorted.
        fingerprint: sha256 of all that decides the examples.
        request: key of what `prepare` was asked for.
        licences: corpus, or corpus and language, -> licence.
    """

    def __init__(self, out: Path, about: Mapping[str, Any]) -> None:
        self.out = out
        self._about = about
        self.fingerprint: str = about["fingerprint"]
        self.request: str = about["request"]
        self.languages: tuple[str, ...] = tuple(about["languages"])
        self.licences: dict[str, str] = dict(about["licences"])
        self.held_out = tuple(Direction.parse(text) for text in about["held_out"])
        self._corpora = [_Corpus(out / "store", item) for item in about["corpora"]]
        self._directory = Directory()
        trained = (Direction.parse(text) for text in about["trained"])
        self.directions = tuple(d for d in trained if self.size(d) > 0)

    @classmethod
    def open(cls, out: Path | str) -> "Store":
        """Open a prepared folder.

        Sizes of its files are checked always, and their hashes, but for large files where there
        is more than 1 GiB of them in all (`verify` reads those too).

        Raises:
            StoreError: not prepared, not whole, or of a newer version; names the file.
        """
        out = Path(out)
        about = read_about(out)
        total = 0
        for name, (size, _) in about["files"].items():
            path = out / name
            found = path.stat().st_size if path.is_file() else -1
            if found != size:
                what = "is missing" if found < 0 else f"has {found} bytes instead of {size}"
                raise StoreError(f"{path} {what}; {_mend(out)}")
            total += size
        _verify(out, about, at_most=total if total <= _HASH_ALL else _HASH_ALWAYS)
        return cls(out, about)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Store, (self.out, self._about))

    @property
    def files(self) -> dict[str, tuple[int, str]]:
        """File, relative to `out` -> bytes, sha256."""
        return {name: (size, digest) for name, (size, digest) in self._about["files"].items()}

    def verify(self) -> None:
        """Read every file and compare its hash.

        Raises:
            StoreError: names the file that changed.
        """
        _verify(self.out, self._about)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the pieces."""
        return Tokenizer.load(self.out / "tokenizer")

    @property
    def translated(self) -> tuple[Direction, ...]:
        """Trained directions that translate, without tags, sorted."""
        return tuple(sorted({d.plain for d in self.directions if d.task == "translate"}))

    def corpora(self, split: Split) -> tuple[str, ...]:
        """Names of the corpora (test sets) of a split, in the order of the manifest."""
        return tuple(corpus.name for corpus in self._corpora if corpus.split == split)

    def _having(self, direction: Direction, split: Split, corpus: str | None) -> list[_Corpus]:
        return [
            c
            for c in self._corpora
            if c.split == split and corpus in (None, c.name) and c.gives(direction)
        ]

    def size(self, direction: Direction, split: Split = "train", corpus: str | None = None) -> int:
        """Examples of a direction, without opening anything."""
        pair = _pair(direction)
        return sum(c.size(pair) for c in self._having(direction, split, corpus))

    def examples(
        self, direction: Direction, split: Split = "train", corpus: str | None = None
    ) -> Examples:
        """The examples of a direction; none where the split does not have it."""
        pair = _pair(direction)
        return PairExamples(
            [
                (c.rows(pair, self._directory), c.column(direction.src), c.column(direction.tgt))
                for c in self._having(direction, split, corpus)
            ]
        )

    def split_directions(self, split: Split, corpus: str | None = None) -> tuple[Direction, ...]:
        """Directions that a split has, sorted: of "train" all that are trained; of the others those
        that translate, trained or held out, without tags."""
        if split == "train":
            return self.directions
        wanted = sorted({*self.translated, *self.held_out})
        return tuple(d for d in wanted if self.size(d, split, corpus) > 0)

    def text(
        self, direction: Direction, split: Split, corpus: str | None = None
    ) -> tuple[list[str], list[str]]:
        """Raw (source, target) lines of a dev or test split, whatever their length."""
        src: list[str] = []
        tgt: list[str] = []
        for item in self._having(direction, split, corpus):
            sides = item.column(direction.src), item.column(direction.tgt)
            absent = (clean.UNREADABLE, clean.EMPTY)
            present = ~np.isin(sides[0].flags, absent) & ~np.isin(sides[1].flags, absent)
            rows = np.flatnonzero(present)
            src += sides[0].text(rows)
            tgt += sides[1].text(rows)
        return src, tgt


def _pair(direction: Direction) -> Pair:
    return min(direction.src, direction.tgt), max(direction.src, direction.tgt)


def _mend(out: Path) -> str:
    return f"run prepare again: it makes what is missing (or delete {out} first)"


def read_about(out: Path) -> dict[str, Any]:
    """What store.json says.

    Raises:
        StoreError: not prepared, damaged, or of another version.
    """
    path = out / "store" / STORE_FILE
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{out} holds no finished store; run m4nmt prepare") from None
    except ValueError as error:
        raise StoreError(f"{path}: damaged: {error}; {_mend(out)}") from error
    if about.get("format") != FORMAT:
        raise StoreError(
            f"{path} has format {about.get('format')}, this m4nmt reads {FORMAT}; prepare it anew"
        )
    return about


def _verify(out: Path, about: Mapping[str, Any], at_most: int | None = None) -> None:
    """Hash the files of at most this size; one that seems damaged is read once more."""
    for name, (size, digest) in about["files"].items():
        if at_most is not None and size > at_most:
            continue
        if all(sha256_file(out / name) != digest for _ in range(2)):
            raise StoreError(f"{out / name}: not the bytes that were written; {_mend(out)}")
