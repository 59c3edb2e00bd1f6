"""Look into a prepared store: whether it is whole, what is in it, and some of its examples.

Not its job: making it (prepare.py), mixing it (overview.py).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from m4nmt.core.files import sha256_file
from m4nmt.core.seeds import numpy_generator
from m4nmt.data.columns.column import read_arrow
from m4nmt.data.store import Store, column_name, read_about
from m4nmt.data.types import Direction, Split


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
    store: Store, direction: Direction, split: Split, count: int, seed: int
) -> list[tuple[int, str, str]]:
    """Some examples of a direction as the model sees them: number, source, target.

    Raises:
        ValueError: the split has no example of it.
    """
    found = store.examples(direction, split)
    if not len(found):
        raise ValueError(f"{store.out} has no {split} example of {direction}")
    chosen = numpy_generator(seed, "look").permutation(len(found))[:count]
    numbers = np.sort(chosen).astype(np.int64)
    sides = []
    for side in found.tokens(numbers):
        ids = np.split(side.values, side.offsets[1:-1])
        sides.append(store.tokenizer.decode([row.tolist() for row in ids]))
    return list(zip(numbers.tolist(), *sides, strict=True))
