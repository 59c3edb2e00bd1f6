"""Get the files of a manifest: plain downloads, or through the `datasets` library.

A file whose hash the manifest does not know is noted at the first fetch (`fetched.json`, beside the
files) and must be the same ever after. What is there and right is left alone. Not its job: the
bytes of one address (download.py), what the files mean.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from m4nmt.core.files import sha256_file, write_atomic
from m4nmt.data.manifest import Fetch, Manifest
from m4nmt.data.manifests.download import (
    FetchError,
    Heard,
    OneFileError,
    download,
    holding,
    offline,
)

NOTES = "fetched.json"
# What `datasets` and its parts raise where there is no network.
_OFFLINE = ("Connection", "Offline", "Timeout", "LocalEntryNotFound", "MaxRetry", "NewConnection")


def _silent(item: Fetch, held: int, in_all: int) -> None:
    """Nobody wants to hear how far a file is."""


def fetch(manifest: Manifest, root: Path, heard: Heard = _silent) -> Iterator[tuple[Fetch, str]]:
    """Get what is not there; (file, what was done: "is there", "noted" or "fetched") one by one.

    What is wrong with one file alone (the server does not have it, its hash differs) is said at the
    end, after all others.

    Args:
        manifest: with its fetches.
        root: folder of the files.
        heard: told now and then how far a file is.

    Raises:
        FetchError: no network, no room, or files that cannot be got or have another hash than the
            manifest's or the noted one.
    """
    if not manifest.fetches:
        raise FetchError(
            f"the manifest {manifest.name} does not say where its files come from; look at "
            f"{manifest.url or 'its source'}, and put them below {root}"
        )
    notes = _Notes(root / NOTES)
    wrong: list[OneFileError] = []
    for item in manifest.fetches:
        try:
            yield item, _one(item, root / item.file, notes, heard)
        except OneFileError as error:
            wrong.append(error)
    if len(wrong) > 1:
        told = "\n".join(f"- {error}" for error in wrong)
        raise FetchError(f"{len(wrong)} of {len(manifest.fetches)} files are missing:\n{told}")
    if wrong:
        raise wrong[0]


def _one(item: Fetch, path: Path, notes: "_Notes", heard: Heard) -> str:
    """See to one file; what was done."""
    expected = item.sha256 or notes.sha256(item)
    if not path.is_file():
        part = path.with_name(f".{path.name}.part")
        with holding(part):
            if not path.is_file():  # another fetch may just have ended
                _get(item, path, part, expected, notes, heard)
                return "fetched"
    digest, size = _measured(path)
    if _unlike(item, digest, size, expected):
        raise OneFileError(
            f"{path}: {_differs(item, digest, size, expected)}: the file is damaged, or another "
            f"version. Delete it and fetch again; to keep it, change {_said_by(item)}"
        )
    if expected:
        return "is there"
    notes.add(item, digest, size)
    return "noted"


def _get(item: Fetch, path: Path, part: Path, expected: str, notes: "_Notes", heard: Heard) -> None:
    if item.dataset:
        _dataset(item, path, part)
    else:
        download(item, path, part, heard)
    digest, size = _measured(part)
    if _unlike(item, digest, size, expected):
        part.unlink()
        raise OneFileError(
            f"{item.url or item.dataset['hub']}: {_differs(item, digest, size, expected)}: its "
            f"source has changed. Nothing was kept; to take what there is now, change "
            f"{_said_by(item)}"
        )
    if not size:
        raise OneFileError(f"{item.url}: is empty; look for the file at the corpus's page")
    notes.add(item, digest, size)
    part.replace(path)


def _measured(file: Path) -> tuple[str, int]:
    return sha256_file(file), file.stat().st_size


def _unlike(item: Fetch, digest: str, size: int, expected: str) -> bool:
    return expected not in ("", digest) or item.size not in (0, size)


def _said_by(item: Fetch) -> str:
    return "the manifest" if item.sha256 or item.size else NOTES


def _differs(item: Fetch, digest: str, size: int, expected: str) -> str:
    """How a file is not what was expected."""
    if expected in ("", digest):
        return f"it has {size:,} bytes, the manifest says {item.size:,}"
    said = "the manifest says" if item.sha256 else "the first fetch noted"
    return f"its sha256 is {digest}, {said} {expected}"


class _Notes:
    """What was fetched, with hashes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._items = self._read()

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self._path.is_file():
            return {}
        try:
            return dict(json.loads(self._path.read_text("utf-8")))
        except ValueError as error:
            raise FetchError(
                f"{self._path}: damaged ({error}): it says which bytes were fetched; delete it to "
                "take the files as they are now"
            ) from error

    def sha256(self, item: Fetch) -> str:
        return str(self._items.get(item.file, {}).get("sha256", ""))

    def add(self, item: Fetch, sha256: str, size: int) -> None:
        self._items = self._read()  # another fetch may have noted other files
        source = item.url or dict(item.dataset)
        self._items[item.file] = {"sha256": sha256, "size": size, "source": source}
        write_atomic(self._path, json.dumps(self._items, indent=1, sort_keys=True) + "\n")


def _dataset(item: Fetch, path: Path, part: Path) -> None:
    """A split of a dataset as Parquet. Code that comes with a dataset is never run."""
    import datasets  # half a second

    about = item.dataset
    try:
        found = datasets.load_dataset(
            about["hub"],
            about.get("config") or None,
            split=about.get("split", "train"),
            revision=about.get("revision") or None,
        )
    except Exception as error:  # the library passes on whatever its parts raise
        if any(word in type(error).__name__ for word in _OFFLINE):
            raise FetchError(offline(f"the hub for {about['hub']}", path, error)) from error
        raise OneFileError(
            f"{about['hub']}: `datasets` cannot load it: {type(error).__name__}: {error}"
        ) from error
    found.to_parquet(str(part))
