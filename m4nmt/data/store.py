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
from m4nmt.data.columns.column import StoreError as StoreError
from m4nmt.data.columns.rows import PairRows, group_words
from m4nmt.data.columns.stored import DirectionExamples, PairExamples, StoredCorpus, pair_of
from m4nmt.data.columns.stored import column_name as column_name
from m4nmt.data.columns.stored import keep_name as keep_name
from m4nmt.data.columns.stored import pairs_name as pairs_name
from m4nmt.data.directions import Pair
from m4nmt.data.preparing import clean
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction, Examples, Split

FORMAT = 1
STORE_FILE = "store.json"
_HASH_ALL = 1 << 30  # bytes of a store up to which all of it is hashed when it is opened
_HASH_ALWAYS = 1 << 24  # and of a file that is always
Numbers = NDArray[np.int64]


class Store:
    """What `prepare` made of a corpus. Open it with `Store.open`.

    Attributes:
        out: the folder.
        asked: trained directions that were asked for, sorted.
        directions: those of them that have examples.
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
        self._corpora = [StoredCorpus(out / "store", item) for item in about["corpora"]]
        self._rows: dict[StoredCorpus, PairRows] = {}
        self._with_pair: dict[Pair, list[StoredCorpus]] = {}
        for corpus in self._corpora:
            for pair in corpus.pair_number:
                self._with_pair.setdefault(pair, []).append(corpus)
        self.asked = tuple(Direction.parse(text) for text in about["trained"])
        self.directions = tuple(d for d in self.asked if self.size(d) > 0)

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

    def _having(self, direction: Direction, split: Split, corpus: str | None) -> list[StoredCorpus]:
        return [
            c
            for c in self._with_pair.get(pair_of(direction), ())
            if c.split == split and corpus in (None, c.name) and c.gives(direction)
        ]

    def size(self, direction: Direction, split: Split = "train", corpus: str | None = None) -> int:
        """Examples of a direction, without opening anything."""
        return sum(c.size(direction) for c in self._having(direction, split, corpus))

    def examples(
        self, direction: Direction, split: Split = "train", corpus: str | None = None
    ) -> Examples:
        """The examples of a direction; none where the split does not have it."""
        return DirectionExamples(self.many([direction], split, corpus))

    def many(
        self, directions: Sequence[Direction], split: Split = "train", corpus: str | None = None
    ) -> PairExamples:
        """The examples of directions, to be read together; none where the split has none."""
        givers = [self._having(direction, split, corpus) for direction in directions]
        needed = dict.fromkeys(c for given in givers for c in given)
        return PairExamples(directions, givers, {c: self._rows_of(c) for c in needed})

    @cached_property
    def _group(self) -> int:
        return group_words(sum(corpus.words for corpus in self._corpora))

    def _rows_of(self, corpus: StoredCorpus) -> PairRows:
        if corpus not in self._rows:  # two threads may both make them, and count alike
            self._rows[corpus] = corpus.rows(self._group)
        return self._rows[corpus]

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
