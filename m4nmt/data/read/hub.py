"""Whatever the `datasets` library opens: a folder or file of its formats, or a name on the hub.

Always streaming: nothing is downloaded whole and no cache is filled. A dataset on the hub is named
with its commit, so that it is the same tomorrow. Code that comes with a dataset is never run. Not
its job: fields (records.py).
"""

import hashlib
import re
from pathlib import Path
from typing import Any

from m4nmt.core.files import sha256_file
from m4nmt.data.read import records
from m4nmt.data.read.types import Dataset, Faults, FormatError, Rows, Source

_COMMIT = re.compile(r"[0-9a-f]{40}")


def read(source: Source, faults: Faults) -> Rows:
    """A row for each example, in the order of the dataset.

    Raises:
        FormatError: it cannot be opened, or lacks a column.
    """
    name = label(source)
    try:
        found = _open(source)
        first = True
        for number, record in enumerate(found, start=1):
            if first:
                records.check(record, source)
                first = False
            yield records.row(record, source, faults, f"{name}:{number}")
    except FormatError:
        raise
    except Exception as error:  # the library passes on whatever its readers raise
        raise FormatError(
            f"{name}: `datasets` cannot read it: {type(error).__name__}: {error}"
        ) from error


def label(source: Source) -> str:
    """What messages call a dataset."""
    kind = source.kind
    assert isinstance(kind, Dataset)
    return f"{kind.hub or source.path} ({kind.split})"


def _open(source: Source) -> Any:
    import datasets  # half a second

    kind = source.kind
    assert isinstance(kind, Dataset)
    if kind.hub:
        return datasets.load_dataset(
            kind.hub,
            kind.config or None,
            split=kind.split,
            revision=_commit(kind),
            streaming=True,
        )
    if source.path.is_dir() and (source.path / "dataset_info.json").is_file():
        return datasets.load_from_disk(str(source.path)).to_iterable_dataset()
    if source.path.is_dir() and (source.path / "dataset_dict.json").is_file():
        return datasets.load_from_disk(str(source.path))[kind.split].to_iterable_dataset()
    return datasets.load_dataset(
        str(source.path), kind.config or None, split=kind.split, streaming=True
    )


def _commit(kind: Dataset) -> str:
    if not _COMMIT.fullmatch(kind.revision):
        raise FormatError(
            f"{kind.hub}: give its revision, the commit of 40 hexadecimal digits that its page "
            "shows: a name alone is another dataset whenever somebody changes it"
        )
    return kind.revision


def files(source: Source) -> list[Path]:
    """The files of a dataset on this machine, sorted; none of one on the hub.

    Raises:
        FormatError: there is nothing.
    """
    kind = source.kind
    if isinstance(kind, Dataset) and kind.hub:
        return []
    if source.path.is_dir():
        return sorted(path for path in source.path.rglob("*") if path.is_file())
    return [source.path]


def sha256(source: Source) -> str:
    """Of all files with their names; of a dataset on the hub, of its name and commit."""
    kind = source.kind
    if isinstance(kind, Dataset) and kind.hub:
        parts = [kind.hub, kind.config, kind.split, _commit(kind)]
    else:
        parts = [f"{path.relative_to(source.path)} {sha256_file(path)}" for path in files(source)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
