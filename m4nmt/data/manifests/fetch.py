"""Get the files of a manifest: plain downloads, or through the `datasets` library.

A file whose hash the manifest does not know is noted at the first fetch (`fetched.json`, beside the
files) and must be the same ever after. A download that broke off goes on where it was, if the
server still has the same bytes: what it calls their version (ETag, or the date) is kept beside the
part and sent along (RFC 9110, section 13.1.5). What is there and right is left alone. Not its job:
what the files mean.
"""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from m4nmt.core.files import sha256_file, write_atomic
from m4nmt.data.manifest import Fetch, Manifest

NOTES = "fetched.json"
_TIMEOUT = 60.0
_CHUNK = 1 << 20
_HERE = ("localhost", "127.0.0.1")
_GOES_ON = "; fetch again, it goes on from there"
# What `datasets` and its parts raise where there is no network.
_OFFLINE = ("Connection", "Offline", "Timeout", "LocalEntryNotFound", "MaxRetry", "NewConnection")


class FetchError(RuntimeError):
    """A file cannot be got, or is not the one that was expected; says what to do."""


def fetch(manifest: Manifest, root: Path) -> Iterator[tuple[Fetch, str]]:
    """Get what is not there; (file, what was done: "is there", "noted" or "fetched") one by one.

    Args:
        manifest: with its fetches.
        root: folder of the files.

    Raises:
        FetchError: no network, or a hash that differs from the manifest's or the noted one.
    """
    if not manifest.fetches:
        raise FetchError(
            f"the manifest {manifest.name} does not say where its files come from; look at "
            f"{manifest.url or 'its source'}, and put them below {root}"
        )
    notes = _Notes(root / NOTES)
    for item in manifest.fetches:
        path = root / item.file
        expected = item.sha256 or notes.sha256(item)
        if path.is_file():
            yield item, _look(item, path, expected, notes)
            continue
        part = path.with_name(f".{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        if item.dataset:
            _dataset(item, path, part)
        else:
            _download(item, path, part)
        try:
            digest = _checked(item, part, path, expected)
        except FetchError:
            part.unlink()
            raise
        notes.add(item, digest, part.stat().st_size)
        part.replace(path)
        yield item, "fetched"


def _look(item: Fetch, path: Path, expected: str, notes: "_Notes") -> str:
    """A file that is there already."""
    digest = _checked(item, path, path, expected)
    if expected:
        return "is there"
    notes.add(item, digest, path.stat().st_size)
    return "noted"


def _checked(item: Fetch, file: Path, path: Path, expected: str) -> str:
    """The hash of a file that is, or becomes, `path`."""
    digest, size = sha256_file(file), file.stat().st_size
    if expected not in ("", digest) or item.size not in (0, size):
        raise FetchError(_differs(item, path, (digest, size), expected))
    return digest


class _Notes:
    """What was fetched, with hashes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._items: dict[str, dict[str, Any]] = {}
        if path.is_file():
            try:
                self._items = dict(json.loads(path.read_text("utf-8")))
            except ValueError as error:
                raise FetchError(
                    f"{path}: damaged ({error}): it says which bytes were fetched; delete it to "
                    "take the files as they are now"
                ) from error

    def sha256(self, item: Fetch) -> str:
        return str(self._items.get(item.file, {}).get("sha256", ""))

    def add(self, item: Fetch, sha256: str, size: int) -> None:
        source = item.url or dict(item.dataset)
        self._items[item.file] = {"sha256": sha256, "size": size, "source": source}
        write_atomic(self._path, json.dumps(self._items, indent=1, sort_keys=True) + "\n")


def _differs(item: Fetch, path: Path, found: tuple[str, int], expected: str) -> str:
    digest, size = found
    said = "the manifest says" if item.sha256 or not expected else "the first fetch noted"
    what = f"its sha256 is {digest}, {said} {expected}"
    if expected in ("", digest):
        what = f"it has {size:,} bytes, the manifest says {item.size:,}"
    return (
        f"{path}: {what}: its source has changed, or the file is damaged. Delete it and fetch "
        f"again; to take a new version, change the manifest or {NOTES}"
    )


def _download(item: Fetch, path: Path, part: Path) -> None:
    """All bytes of an address, after those that an earlier try left."""
    start = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(item.url, headers={"User-Agent": "m4nmt"})
    version = part.with_name(f"{part.name}.version")
    if start:
        request.add_header("Range", f"bytes={start}-")
        if version.is_file():
            request.add_header("If-Range", version.read_text("utf-8"))
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            _check_address(item, answer.url)
            goes_on = start > 0 and answer.status == 206
            left = int(answer.headers.get("Content-Length") or 0)
            _note_version(answer.headers, version)
            total = _write(answer.read1, part, "ab" if goes_on else "wb")
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing is left to send: the part may be whole, or not
            part.unlink()
            _download(item, path, part)
            return
        raise FetchError(
            f"{item.url}: the server says {error.code} {error.reason}; look for the file at the "
            f"corpus's page and put it at {path}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        if part.is_file() and part.stat().st_size > start:
            raise FetchError(f"{item.url}: broke off ({_reason(error)}){_GOES_ON}") from error
        raise FetchError(_offline(urlsplit(item.url).hostname or item.url, path, error)) from error
    held = part.stat().st_size
    if (left and total != left) or held < item.size:
        raise FetchError(
            f"{item.url}: ended after {held} of {item.size or held - total + left} bytes{_GOES_ON}"
        )
    version.unlink(missing_ok=True)


def _note_version(headers: Mapping[str, str], version: Path) -> None:
    """What the server calls these bytes; weak names do not say that they are the same."""
    tag = headers.get("ETag") or ""
    name = tag if tag.startswith('"') else headers.get("Last-Modified") or ""
    if name:
        version.write_text(name, "utf-8")
    else:
        version.unlink(missing_ok=True)


def _write(read: Callable[[int], bytes], part: Path, mode: str) -> int:
    """Append or write what is read, and tell a full disk from a broken line."""
    total = 0
    with part.open(mode) as stream:
        while chunk := read(_CHUNK):
            try:
                stream.write(chunk)
                stream.flush()
            except OSError as error:
                raise FetchError(
                    f"{part}: cannot be written ({error.strerror or error}): make room{_GOES_ON}"
                ) from error
            total += len(chunk)
    return total


def _check_address(item: Fetch, final: str) -> None:
    """No road from https to anything else."""
    parts = urlsplit(final)
    if parts.scheme != "https" and parts.hostname not in _HERE:
        raise FetchError(f"{item.url}: leads to {final}, which is not https")


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
            raise FetchError(_offline(f"the hub for {about['hub']}", path, error)) from error
        raise FetchError(
            f"{about['hub']}: `datasets` cannot load it: {type(error).__name__}: {error}"
        ) from error
    found.to_parquet(str(part))


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error)) or type(error).__name__


def _offline(host: str, path: Path, error: Exception) -> str:
    return (
        f"cannot reach {host} ({_reason(error)}). Without a network: get the file on another "
        f"machine, put it at {path}, and fetch again; it is then checked and noted"
    )
