"""The bytes of one address, into a part that a later try goes on with.

A download that broke off goes on where it was, if the server still has the same bytes: what it
calls their version (ETag, or the date) is kept beside the part and sent along (RFC 9110, section
13.1.5). The part is held while it is written, so that two fetches at once do not write into each
other's. Not its job: hashes, and which files there are (fetch.py).
"""

import fcntl
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from m4nmt.data.manifest import Fetch

Heard = Callable[[Fetch, int, int], None]  # file, bytes that are there, bytes in all or 0
_TIMEOUT = 60.0
_CHUNK = 1 << 20
_HERE = ("localhost", "127.0.0.1")
_GOES_ON = "; fetch again, it goes on from there"
_LATER = (408, 425, 429, 500, 502, 503, 504)
_NOTHING_LEFT = 416


class FetchError(RuntimeError):
    """A file cannot be got, or is not the one that was expected; says what to do."""


class OneFileError(FetchError):
    """The same of one file alone: the others may do."""


@contextmanager
def holding(part: Path) -> Iterator[None]:
    """Hold a part for this process; an empty one is taken away at the end.

    Raises:
        FetchError: another fetch holds it, or the folder cannot be written.
    """
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        stream = part.open("ab")
    except OSError as error:
        raise FetchError(
            f"{part.parent}: cannot be written ({error.strerror or error}): name another folder"
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FetchError(f"{part}: another fetch is getting this file; wait for it") from error
        try:
            yield
        finally:
            if part.is_file() and part.stat().st_size == 0:
                part.unlink()


def download(item: Fetch, path: Path, part: Path, heard: Heard) -> None:
    """All bytes of an address, after those that an earlier try left in the part.

    Args:
        path: where the file will lie, for messages.
        heard: told now and then how far it is.

    Raises:
        FetchError: no network, no room, or it broke off.
        OneFileError: the server does not give this file.
    """
    start = part.stat().st_size if part.is_file() else 0
    version = part.with_name(f"{part.name}.version")
    try:
        with urllib.request.urlopen(_request(item, start, version), timeout=_TIMEOUT) as answer:
            _check_answer(item, path, answer)
            goes_on = start > 0 and answer.status == 206
            if goes_on and not (answer.headers.get("Content-Range") or "").startswith(
                f"bytes {start}-"
            ):  # another part than was asked for
                _anew(item, path, part, heard)
                return
            left = int(answer.headers.get("Content-Length") or 0)
            _note_version(answer.headers, version)
            begun = start if goes_on else 0
            in_all = begun + left if left else item.size
            with part.open("ab" if goes_on else "wb") as stream:
                for total in _copied(answer.read1, stream.write, stream.flush, part):
                    heard(item, begun + total, in_all)
    except urllib.error.HTTPError as error:
        if error.code == _NOTHING_LEFT and start:  # the part may be whole, or not
            _anew(item, path, part, heard)
            return
        raise _refused(item, path, error) from error
    except (OSError, http.client.HTTPException) as error:
        if part.is_file() and part.stat().st_size > start:
            raise FetchError(f"{item.url}: broke off ({_reason(error)}){_GOES_ON}") from error
        raise FetchError(offline(urlsplit(item.url).hostname or item.url, path, error)) from error
    held = part.stat().st_size
    if held < in_all and (not left or held - begun != left):
        raise FetchError(f"{item.url}: ended after {held} of {in_all} bytes{_GOES_ON}")
    version.unlink(missing_ok=True)


def _request(item: Fetch, start: int, version: Path) -> urllib.request.Request:
    request = urllib.request.Request(item.url, headers={"User-Agent": "m4nmt"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        if version.is_file():
            request.add_header("If-Range", version.read_text("utf-8"))
    return request


def _anew(item: Fetch, path: Path, part: Path, heard: Heard) -> None:
    os.truncate(part, 0)  # not taken away: it is held
    download(item, path, part, heard)


def _refused(item: Fetch, path: Path, error: urllib.error.HTTPError) -> FetchError:
    said = f"{item.url}: the server says {error.code} {str(error.reason).partition(chr(10))[0]}"
    if error.code in _LATER:
        return FetchError(f"{said}; try again later")
    return OneFileError(f"{said}; look for the file at the corpus's page and put it at {path}")


def _note_version(headers: Mapping[str, str], version: Path) -> None:
    """What the server calls these bytes; weak names do not say that they are the same."""
    tag = headers.get("ETag") or ""
    name = tag if tag.startswith('"') else headers.get("Last-Modified") or ""
    if name:
        version.write_text(name, "utf-8")
    else:
        version.unlink(missing_ok=True)


def _copied(
    read: Callable[[int], bytes],
    write: Callable[[bytes], int],
    flush: Callable[[], None],
    part: Path,
) -> Iterator[int]:
    """Bytes written so far, chunk after chunk; tells a full disk from a broken line."""
    total = 0
    while chunk := read(_CHUNK):
        try:
            write(chunk)
            flush()
        except OSError as error:
            raise FetchError(
                f"{part}: cannot be written ({error.strerror or error}): make room{_GOES_ON}"
            ) from error
        total += len(chunk)
        yield total


def _check_answer(item: Fetch, path: Path, answer: http.client.HTTPResponse) -> None:
    """No road from https to anything else, and no page for people in place of a file."""
    check_address(item, answer.url)
    page = answer.headers.get_content_type() == "text/html"
    if page and not item.sha256 and path.suffix not in (".html", ".htm"):
        raise OneFileError(
            f"{item.url}: answers with a web page, not with the file; look at it in a browser, get "
            f"the file, and put it at {path}"
        )


def check_address(item: Fetch, final: str) -> None:
    """Raises:
    OneFileError: a redirect led away from https.
    """
    parts = urlsplit(final)
    if parts.scheme != "https" and parts.hostname not in _HERE:
        raise OneFileError(f"{item.url}: leads to {final}, which is not https")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error)) or type(error).__name__


def offline(host: str, path: Path, error: Exception) -> str:
    """What to do where a host cannot be reached."""
    return (
        f"cannot reach {host} ({_reason(error)}). Without a network: get the file on another "
        f"machine, put it at {path}, and fetch again; it is then checked and noted"
    )
