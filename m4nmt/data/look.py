"""Look into a prepared store: whether it is whole, what is in it, and some of its examples.

Not its job: making it (prepare.py), mixing it (overview.py).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from m4nmt.core.files import sha256_file
from m4nmt.core.seeds import numpy_generator
from m4nmt.data.columns.column import read_arrow
from m4nmt.data.columns.ragged import in_order
from m4nmt.data.settings import Infill, Mass, Noise
from m4nmt.data.store import Store, column_name, read_about
from m4nmt.data.stream.plan import Reader
from m4nmt.data.tokenizer import MASK, Tokenizer
from m4nmt.data.types import Direction, Split

_NAMED = 8  # directions that a message names


def damages(out: Path) -> Iterator[tuple[str, str]]:
    """Each file of a store with what is wrong with it; "" where nothing is. Reads every byte.

    Raises:
        StoreError: not prepared.
    """
    for name, (size, digest) in sorted(read_about(out)["files"].items()):
        path = out / name
        if not path.is_file():
            yield name, "is missing"
        elif path.stat().st_size != size:
            yield name, f"has {path.stat().st_size} bytes instead of {size}"
        elif all(sha256_file(path) != digest for _ in range(2)):
            yield name, "not the bytes that were written"
        else:
            yield name, ""


@dataclass(frozen=True)
class Shard:
    """A column: the lines of one language of one corpus.

    Attributes:
        corpus, split, language: whose it is.
        lines: all of them, and `good` those that no filter of lines dropped.
        pieces: of the good lines.
        bytes: of its file.
        licence: of its text.
    """

    corpus: str
    split: str
    language: str
    lines: int
    good: int
    pieces: int
    bytes: int
    licence: str


def shards(store: Store) -> list[Shard]:
    """All columns of a store, in the order of the manifest, languages sorted."""
    about = read_about(store.out)
    licences, found = store.licences, []
    for corpus in about["corpora"]:
        key = corpus["key"]
        start, end = f"store/{key}.", ".arrow"
        codes = [
            name.removeprefix(start).removesuffix(end)
            for name in sorted(about["files"])
            if name.startswith(start) and name.endswith(end)
        ]
        for code in (c for c in codes if "." not in c and "_" in c):
            path = store.out / "store" / column_name(key, code)
            batch, _ = read_arrow(path)
            good = int(np.count_nonzero(batch.column("flag").to_numpy() == 0))
            pieces = len(batch.column("pieces").values)
            licence = licences.get(f"{key}/{code}", licences.get(key, ""))
            size = about["files"][f"store/{path.name}"][0]
            split = corpus["split"]
            found.append(Shard(key, split, code, len(batch), good, pieces, size, licence))
    return found


def facts(store: Store) -> dict[str, Any]:
    """A store in a few numbers."""
    licences = Counter(store.licences.values())
    return {
        "folder": str(store.out),
        "fingerprint": store.fingerprint,
        "languages": len(store.languages),
        "directions": len(store.directions),
        "held_out": len(store.held_out),
        "examples": sum(store.size(direction) for direction in store.directions),
        "files": len(store.files),
        "bytes": sum(size for size, _ in store.files.values()),
        "vocabulary": store.tokenizer.size,
        "tokenizer": store.tokenizer.sha256,
        "licences": dict(sorted(licences.items())),
    }


def examples(
    store: Store,
    direction: Direction,
    split: Split,
    count: int,
    seed: int,
    noises: Sequence[Noise] = (Mass(), Infill()),
) -> list[tuple[int, str, str]]:
    """Some examples of a direction as the model sees them, tags and masks included: number, source,
    target.

    Args:
        noises: of denoising directions; those of the first epoch are shown.

    Raises:
        ValueError: none are wanted, or the split has no example of it; names those that it has.
    """
    if count < 1:
        raise ValueError(f"{count} examples cannot be shown; ask for 1 or more")
    size = store.size(direction, split)
    if not size:
        known = [d for d in store.split_directions(split) if d.src == direction.src]
        there = [str(d) for d in known if d.tgt == direction.tgt] or [str(d) for d in known]
        has = f"; it has {', '.join(there[:_NAMED])}" if there else ""
        raise ValueError(f"{store.out} has no {split} example of {direction}{has}")
    reader = Reader(store, [direction], split, noises, seed)
    number_N = np.sort(numpy_generator(seed, "look").permutation(size)[:count]).astype(np.int64)
    sides = []
    for slices in reader.tokens(np.zeros_like(number_N), number_N):
        side = in_order(slices)
        rows = [row.tolist() for row in np.split(side.values, side.offsets[1:-1])]
        sides.append([_text(store.tokenizer, row) for row in rows])
    tags = " ".join(store.tokenizer.pieces(store.tokenizer.prefix(direction)))
    return [(int(n), f"{tags} {src}", tgt) for n, src, tgt in zip(number_N, *sides, strict=True)]


def _text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of a row, with its masks."""
    if MASK not in tokenizer.extra:
        return tokenizer.decode([ids])[0]
    parts: list[list[int]] = [[]]
    for one in ids:
        if one == tokenizer.mask:
            parts.append([])
        else:
            parts[-1].append(one)
    return " ".join(f" {MASK} ".join(tokenizer.decode(parts)).split())
