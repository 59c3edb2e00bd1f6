"""The manifest of a training checkpoint: every file with size and sha256, and its verification.

torch.save, safetensors and DCP all load a file with one flipped bit without a word, so nothing of a
checkpoint is read before its manifest agrees.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from m4nmt.core.config import ConfigError, parse_json
from m4nmt.core.files import sha256_file

NAME = "manifest.json"
FORMAT = 1
VISIBLE_SECONDS = 60.0  # network file systems show a new name to other machines after a while
_RETRY_SECONDS = 0.1


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or may not be read; says what, where, and what stands."""


class LostRanksError(CheckpointError):
    """The ranks of the run can no longer agree, as one is gone or hangs: restart them all."""


class Manifest(NamedTuple):
    """Of one checkpoint.

    Attributes:
        step: training steps behind it.
        files: path inside the folder -> (size in bytes, sha256).
    """

    step: int
    files: dict[str, tuple[int, str]]

    def encode(self) -> str:
        """The one spelling of this manifest."""
        files = {name: list(self.files[name]) for name in sorted(self.files)}
        data = {"format": FORMAT, "step": self.step, "files": files}
        return json.dumps(data, separators=(",", ":"), ensure_ascii=True)


def folder_name(step: int) -> str:
    """Name of the checkpoint of a step."""
    return f"step-{step:010d}"


def entry(path: Path) -> tuple[int, str]:
    """Size and sha256 of a file."""
    return path.stat().st_size, sha256_file(path)


def describe(
    folder: Path, step: int, known: Mapping[str, tuple[int, str]] | None = None
) -> Manifest:
    """Hash every file below a folder.

    Args:
        known: entries that need no hashing here.
    """
    files = dict(known or {})
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name not in files:
            files[name] = entry(path)
    return Manifest(step, files)


def decode(text: str) -> Manifest:
    """Read a manifest; only the spelling that `encode` writes is accepted.

    Raises:
        ValueError: anything else.
    """
    data = parse_json(text, NAME)
    try:
        files = {name: (int(size), str(digest)) for name, (size, digest) in data["files"].items()}
        manifest = Manifest(int(data["step"]), files)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"not a manifest: {error!r}") from error
    if manifest.encode() != text:
        raise ValueError(f"not a manifest of format {FORMAT}, or damaged")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint, which belongs to its folder.

    Raises:
        CheckpointError: says what is wrong with it.
    """
    try:
        manifest = decode((folder / NAME).read_bytes().decode("utf-8"))
    except OSError as error:
        raise CheckpointError(f"{NAME}: {error.strerror}") from error
    except (ConfigError, ValueError) as error:
        raise CheckpointError(f"{NAME}: {error}") from error
    if folder_name(manifest.step) != folder.name:
        raise CheckpointError(f"{NAME}: it is of step {manifest.step}, not of {folder.name}")
    return manifest


def verify(folder: Path, *, from_disk: bool = False, part: int = 0, parts: int = 1) -> Manifest:
    """Check every file of a checkpoint against its manifest.

    Args:
        from_disk: drop the files from the page cache first, to read what the disk really holds.
        part: which of `parts` equal parts to check, where others check the rest.

    Raises:
        CheckpointError: names the first file that is wrong and how.
    """
    manifest = read_manifest(folder)
    names = list(manifest.files)[part::parts]
    for name in names:
        path, (size, _) = folder / name, manifest.files[name]
        if not path.is_file():
            raise CheckpointError(f"{name}: missing")
        if path.stat().st_size != size:
            raise CheckpointError(f"{name}: {path.stat().st_size} bytes, {size} were written")
    for name in names:
        try:
            if from_disk:
                _forget(folder / name)
            if sha256_file(folder / name) != manifest.files[name][1]:
                raise CheckpointError(f"{name}: sha256 differs from the manifest")
        except OSError as error:
            raise CheckpointError(f"{name}: {error.strerror}") from error
    return manifest


def wait_for(path: Path) -> None:
    """Wait until a path that another machine has made shows here, too.

    Raises:
        CheckpointError: it does not within `VISIBLE_SECONDS`.
    """
    until = time.monotonic() + VISIBLE_SECONDS
    while not path.exists():
        if time.monotonic() > until:
            raise CheckpointError(
                f"does not see {path} after {VISIBLE_SECONDS:.0f} s; the folder of a run must be "
                "on a file system that all machines share"
            )
        time.sleep(_RETRY_SECONDS)


def _forget(path: Path) -> None:
    """Ask the kernel to drop a (synced) file from its cache."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)
